//! Confines the process to the files that it needs (Landlock).
//!
//! Knows paths and what may be done with them, not what they are for.

#[cfg(target_os = "linux")]
pub(super) use linux::confine;

/// Confines nothing, and says why.
#[cfg(not(target_os = "linux"))]
pub(super) fn confine(_paths: &super::paths::Paths) -> Result<String, String> {
    Err("this system has none".to_owned())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use landlock::{
        ABI, Access as _, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
        RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
        Scope,
    };

    use super::super::paths::Paths;

    /// The kernel's rules as they were when this was written and tried. Older kernels enforce what they know of them.
    const TRIED: ABI = ABI::V7;

    /// Confines this thread and all that it starts from now on. Returns how far that goes, in words.
    pub(in super::super) fn confine(paths: &Paths) -> Result<String, String> {
        let status = enter(paths).map_err(|error| error.to_string())?;
        let known = match status.landlock {
            LandlockStatus::NotEnabled => return Err("it is not enabled in this kernel".to_owned()),
            LandlockStatus::NotImplemented => {
                return Err("this kernel has none, or it is kept from us".to_owned());
            }
            LandlockStatus::Available { effective_abi, .. } => effective_abi,
        };
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(format!("Landlock {known}")),
            RulesetStatus::PartiallyEnforced => {
                Ok(format!("Landlock {known}, an old one that leaves gaps"))
            }
            RulesetStatus::NotEnforced => Err("the kernel enforces nothing".to_owned()),
        }
    }

    fn enter(paths: &Paths) -> Result<landlock::RestrictionStatus, RulesetError> {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(TRIED))?
            // Nobody outside is sent signals.
            .scope(Scope::Signal)?;
        if !paths.abstract_sockets {
            rules = rules.scope(Scope::AbstractUnixSocket)?;
        }
        let mut rules = rules.create()?;
        for path in &paths.read {
            rules = allow(rules, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
        }
        let write = AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSock
            | AccessFs::RemoveFile;
        for path in &paths.write {
            rules = allow(rules, path, write)?;
        }
        rules.restrict_self()
    }

    /// Allows something beneath a path, as far as there is something.
    fn allow(
        rules: RulesetCreated,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> Result<RulesetCreated, RulesetError> {
        let Ok(at) = PathFd::new(path) else {
            return Ok(rules);
        };
        let access = if path.is_dir() {
            access
        } else {
            access & AccessFs::from_file(TRIED)
        };
        rules.add_rule(PathBeneath::new(at, access))
    }
}
