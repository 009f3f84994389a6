//! The system calls that a running proxy never makes, and that are refused to it from the start (seccomp).
//!
//! Whoever got to run code in the process would want them: to start programs, to look into other processes, to change what
//! is mounted, to reach rarely used parts of the kernel. Everything else stays free, because libraries and threads need it.

#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
pub(super) use linux::refuse;

/// Refuses nothing, and says why.
#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
pub(super) fn refuse() -> Result<(), String> {
    Err("there is no filter for this kind of machine".to_owned())
}

#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod linux {
    use std::collections::BTreeMap;
    use std::env::consts::ARCH;

    use libc::c_long;
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch, apply_filter,
    };

    /// The calls that are refused whatever their arguments.
    const REFUSED: &[c_long] = &[
        // Other programs.
        libc::SYS_execve,
        libc::SYS_execveat,
        // Other processes.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        // Mounts, namespaces, roots.
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        // What files are by their path, which Landlock does not watch.
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_mknodat,
        // The kernel and the machine.
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_personality,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_syslog,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_fanotify_init,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
    ];

    /// `fchmodat2`, which has the same number everywhere and no name in older libraries.
    const FCHMODAT2: c_long = 452;

    /// The same, of a time before calls took a directory; younger machines do not have them.
    #[cfg(target_arch = "x86_64")]
    const OLD: &[c_long] = &[
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_mknod,
        libc::SYS_modify_ldt,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_uselib,
        libc::SYS__sysctl,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD: &[c_long] = &[];

    /// Namespaces that a new thread could open. `CLONE_NEWTIME` is none of them: it can only be asked for by `clone3`.
    const NAMESPACES: [i32; 7] = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];

    /// Refuses them to this thread and to all that it starts from now on.
    pub(in super::super) fn refuse() -> Result<(), String> {
        let fail = |error: &dyn std::fmt::Display| error.to_string();
        for program in programs().map_err(|error| fail(&error))? {
            apply_filter(&program).map_err(|error| fail(&error))?;
        }
        Ok(())
    }

    fn programs() -> Result<Vec<BpfProgram>, BackendError> {
        let machine = TargetArch::try_from(ARCH)?;
        let no = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let refused = filter(rules()?, no, machine)?;
        // What clone3 wants stands in memory, where no filter can look. Libraries go on with clone where it is not there.
        let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let mut programs = vec![refused, filter(clone3, absent, machine)?];
        #[cfg(target_arch = "x86_64")]
        programs.push(no_x32());
        Ok(programs)
    }

    fn filter(
        rules: BTreeMap<c_long, Vec<SeccompRule>>,
        action: SeccompAction,
        machine: TargetArch,
    ) -> Result<BpfProgram, BackendError> {
        SeccompFilter::new(rules, SeccompAction::Allow, action, machine)?.try_into()
    }

    /// Lists what is refused: calls, and calls with certain arguments, of which one rule suffices.
    fn rules() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
        let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = REFUSED
            .iter()
            .chain(OLD)
            .map(|call| (*call, Vec::new()))
            .collect();
        let has = |argument, bits: i32| {
            let bits = u64::from(bits.unsigned_abs());
            when(argument, SeccompCmpOp::MaskedEq(bits), bits)
        };
        // A thread may be started, a process may not.
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        let process = when(0, SeccompCmpOp::MaskedEq(thread), 0)?;
        let mut clone = vec![SeccompRule::new(vec![process])?];
        for namespace in NAMESPACES {
            clone.push(SeccompRule::new(vec![has(0, namespace)?])?);
        }
        rules.insert(libc::SYS_clone, clone);
        // Memory is never both written and run.
        let both = SeccompRule::new(vec![has(2, libc::PROT_WRITE | libc::PROT_EXEC)?])?;
        rules.insert(libc::SYS_mmap, vec![both]);
        let run = SeccompRule::new(vec![has(2, libc::PROT_EXEC)?])?;
        rules.insert(libc::SYS_mprotect, vec![run.clone()]);
        rules.insert(libc::SYS_pkey_mprotect, vec![run]);
        // Nothing is typed into the terminal for whoever sits there.
        let typing = [libc::TIOCSTI, libc::TIOCLINUX]
            .map(|what| SeccompRule::new(vec![when(1, SeccompCmpOp::Eq, what)?]))
            .into_iter()
            .collect::<Result<_, _>>()?;
        rules.insert(libc::SYS_ioctl, typing);
        rules.insert(libc::SYS_socket, sockets()?);
        Ok(rules)
    }

    /// Refuses all sockets but TCP and UDP, those on this machine, and the one by which the system's library asks which
    /// addresses there are (`NETLINK_ROUTE`).
    fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
        let family = |op, family: i32| when(0, op, u64::from(family.unsigned_abs()));
        let others = [
            libc::AF_UNIX,
            libc::AF_INET,
            libc::AF_INET6,
            libc::AF_NETLINK,
        ]
        .map(|known| family(SeccompCmpOp::Ne, known))
        .into_iter()
        .collect::<Result<_, _>>()?;
        let other_netlink = vec![
            family(SeccompCmpOp::Eq, libc::AF_NETLINK)?,
            when(2, SeccompCmpOp::Ne, 0)?,
        ];
        let raw = u64::from(libc::SOCK_RAW.unsigned_abs());
        let raw = vec![
            family(SeccompCmpOp::Ne, libc::AF_NETLINK)?,
            when(1, SeccompCmpOp::MaskedEq(0xf), raw)?,
        ];
        [others, other_netlink, raw]
            .into_iter()
            .map(SeccompRule::new)
            .collect()
    }

    fn when(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
    }

    /// The x32 calls of an x86-64 kernel are the same ones under other numbers, which no list would think of.
    #[cfg(target_arch = "x86_64")]
    fn no_x32() -> BpfProgram {
        use seccompiler::sock_filter;
        const LOAD_NUMBER: u16 = 0x20;
        const IF_AT_LEAST: u16 = 0x35;
        const RETURN: u16 = 0x06;
        let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
        vec![
            step(LOAD_NUMBER, 0, 0),
            step(IF_AT_LEAST, 1, 0x4000_0000),
            step(
                RETURN,
                0,
                libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
            ),
            step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        ]
    }
}
