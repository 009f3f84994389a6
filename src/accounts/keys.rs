//! The store key: 32 bytes that open every account's data key without a password, and where they are kept.
//!
//! Knows files, systemd credentials and the keyring; what the key opens is decided elsewhere. It never makes a new key
//! where something was closed with another.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::vault::{self, DataKey, Wrap};
use crate::config::{self, ownership};
use crate::secret::Secret;

/// How people call it.
const WHAT: &str = "the store key";

/// The most bytes that are read of a key's file.
const MOST: u64 = 1_024;

/// What to do where no key may be made.
const BRING_BACK: &str = "bring that key back; or, if it is lost, make a new one by hand: the accounts then stay locked until their next login";

/// The key, in memory.
#[derive(Debug)]
pub(super) struct StoreKey(Secret<[u8; 32]>);

impl StoreKey {
    /// Gets the key from where the configuration says. `may_make` allows a new one where there is none.
    ///
    /// The error is for a person.
    pub(super) fn fetch(from: &config::StoreKey, may_make: bool) -> Result<Self, String> {
        match from {
            config::StoreKey::File(path) => of_file(path, may_make),
            config::StoreKey::Credential(name) => of_credential(name),
            config::StoreKey::Keyring => keyring::fetch(may_make),
        }
    }

    /// Closes an account's data key.
    pub(super) fn wrap(&self, account: &str, key: &DataKey) -> Result<Wrap, &'static str> {
        key.wrap_by_store(account, &self.0)
    }

    /// Opens an account's data key, where one of the wraps is by this key.
    pub(super) fn open(&self, account: &str, wraps: &[Wrap]) -> Option<DataKey> {
        let mut opened = wraps
            .iter()
            .map(|wrap| wrap.open_by_store(account, &self.0));
        opened.find_map(|key| key)
    }

    /// Closes a text for a purpose.
    pub(super) fn seal(&self, purpose: &str, text: &Secret<String>) -> Option<String> {
        vault::seal(self.0.reveal(), "", purpose, text.reveal().as_bytes()).ok()
    }

    /// Opens a text that was closed for this purpose.
    pub(super) fn unseal(&self, purpose: &str, sealed: &str) -> Option<Secret<String>> {
        let plain = vault::open(self.0.reveal(), "", purpose, sealed)?;
        Some(Secret::from(std::str::from_utf8(plain.reveal()).ok()?))
    }
}

/// Reads a key as 32 bytes, 64 hexadecimal digits or base64; a line end behind it does not matter.
fn parse(bytes: &[u8]) -> Option<StoreKey> {
    let bare = match bytes {
        [rest @ .., b'\r', b'\n'] | [rest @ .., b'\n'] if bytes.len() > 32 => rest,
        all => all,
    };
    let key = if bare.len() == 64 {
        let mut key = Zeroizing::new([0; 32]);
        for (to, digits) in key.iter_mut().zip(bare.chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            *to = u8::from_str_radix(digits, 16).ok()?;
        }
        key
    } else if bare.len() == 32 {
        Zeroizing::new(bare.try_into().ok()?)
    } else {
        let ways = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
        let decoded = ways.iter().find_map(|way| way.decode(bare).ok())?;
        let decoded = Zeroizing::new(decoded);
        Zeroizing::new(decoded.as_slice().try_into().ok()?)
    };
    Some(StoreKey(Secret::new(*key)))
}

/// Makes a key, and its text.
fn make() -> Result<(StoreKey, Zeroizing<String>), String> {
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).map_err(|_| "the system gives no random numbers".to_owned())?;
    let text = Zeroizing::new(STANDARD.encode(key.as_slice()) + "\n");
    Ok((StoreKey(Secret::new(*key)), text))
}

/// Reads the key in a file, or makes one there.
fn of_file(path: &Path, may_make: bool) -> Result<StoreKey, String> {
    let at = path.display();
    let fail = |why: String| format!("could not read the store key in {at}: {why}");
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && may_make => return new_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!(
                "the store key {at} is not there, and the store may hold what was closed with it; {BRING_BACK} (`head -c 32 /dev/urandom > FILE; chmod 600 FILE`)"
            ));
        }
        Err(error) => return Err(fail(error.to_string())),
    };
    let about = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !about.is_file() {
        return Err(fail("it is no file".into()));
    }
    judge_mode(path, &about)?;
    let mut bytes = Zeroizing::new(Vec::new());
    (&mut file)
        .take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(error.to_string()))?;
    parse(&bytes).ok_or_else(|| {
        fail(
            "it holds neither 32 bytes nor 64 hexadecimal digits nor 44 characters of base64"
                .into(),
        )
    })
}

/// Makes a key in a new file of the owner's alone.
fn new_file(path: &Path) -> Result<StoreKey, String> {
    let fail =
        |error: std::io::Error| format!("could not make the store key {}: {error}", path.display());
    let (key, text) = make()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key would be in the way of a whole one.
        drop(fs::remove_file(path));
        return Err(fail(error));
    }
    #[cfg(unix)]
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fail)?;
    }
    tracing::info!(
        "made a new store key in {}; whoever has it and the store has the tokens, and without it accounts stay locked until their next login",
        path.display()
    );
    Ok(key)
}

/// Refuses a key of ours that others may read. One that somebody else put there for us has the modes of its mount.
fn judge_mode(path: &Path, about: &fs::Metadata) -> Result<(), String> {
    ownership::judge_way(WHAT, path)?;
    if !ownership::is_mounted(path, about) {
        return ownership::judge_file(WHAT, path, about)
            .map_err(|why| format!("{why}, or make a new one if somebody may have read it"));
    }
    if ownership::is_open(about) {
        let at = path.display();
        tracing::warn!(
            "the store key {at} may be read by others; only this program should be able to"
        );
    }
    Ok(())
}

/// Reads the key in a credential that systemd passes.
fn of_credential(name: &str) -> Result<StoreKey, String> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|at| !at.is_empty()) else {
        return Err(format!(
            "there is no systemd credential {name}: the service manager passes none (CREDENTIALS_DIRECTORY is not set); add LoadCredentialEncrypted={name}:/etc/emailproxy/{name}.cred to the unit, or use store_key = file:PATH"
        ));
    };
    of_file(&Path::new(&folder).join(name), false).map_err(|why| {
        format!(
            "{why} (the systemd credential {name}; see LoadCredential= and `systemd-creds encrypt`)"
        )
    })
}

/// The operating system's keyring: the Secret Service of a desktop session.
///
/// The kernel's keyring is not used: it forgets at a reboot, and a forgotten key locks every account.
#[cfg(feature = "keyring")]
mod keyring {
    use std::sync::mpsc;
    use std::time::Duration;

    use keyring_core::Error;
    use keyring_core::api::CredentialStoreApi;
    use zbus_secret_service_keyring_store::Store;

    use super::{BRING_BACK, StoreKey, make, parse};
    use crate::said::Said;

    /// How long the keyring may take: it may ask a person to unlock it.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// What to use instead.
    const ELSE: &str =
        "on a machine without a desktop use store_key = credential:NAME (systemd) or file:PATH";

    /// Gets the key, or makes it there.
    pub(super) fn fetch(may_make: bool) -> Result<StoreKey, String> {
        let (answers, answer) = mpsc::channel();
        // A keyring that hangs keeps this thread, and nothing else.
        std::thread::spawn(move || answers.send(ask(may_make)).ok());
        answer.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            Err(format!(
                "the keyring did not answer within {} s (is it locked?); {ELSE}",
                PATIENCE.as_secs()
            ))
        })
    }

    fn ask(may_make: bool) -> Result<StoreKey, String> {
        let fail = |error: Error| {
            let error = Said::new(error.to_string());
            format!("the store key cannot be had from the keyring: {error}; {ELSE}")
        };
        let store = Store::new().map_err(fail)?;
        let entry = store.build("emailproxy", "store key", None).map_err(fail)?;
        match entry.get_secret() {
            Ok(bytes) => {
                let bytes = zeroize::Zeroizing::new(bytes);
                parse(&bytes).ok_or_else(|| {
                    "the keyring's entry `store key` of emailproxy holds no key; remove it there".to_owned()
                })
            }
            Err(Error::NoEntry) if may_make => {
                let (key, text) = make()?;
                entry.set_secret(text.trim_end().as_bytes()).map_err(fail)?;
                tracing::info!(
                    "made a new store key in the keyring (entry `store key` of emailproxy)"
                );
                Ok(key)
            }
            Err(Error::NoEntry) => Err(format!(
                "the keyring has no store key, and the store may hold what was closed with one; {BRING_BACK}"
            )),
            Err(error) => Err(fail(error)),
        }
    }
}

#[cfg(not(feature = "keyring"))]
mod keyring {
    use super::StoreKey;

    pub(super) fn fetch(_may_make: bool) -> Result<StoreKey, String> {
        Err("this emailproxy was built without the keyring; build it with `cargo build --release --features keyring`, or use store_key = credential:NAME (systemd) or file:PATH".into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn same(one: &StoreKey, other: &StoreKey) -> bool {
        one.0.reveal() == other.0.reveal()
    }

    fn file(path: &Path, may_make: bool) -> Result<StoreKey, String> {
        StoreKey::fetch(&config::StoreKey::File(path.to_owned()), may_make)
    }

    #[test]
    fn a_key_is_read_in_all_its_forms() {
        let raw: Vec<u8> = (200..232).collect();
        let hex: Vec<String> = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        let key = parse(&raw).unwrap();
        for text in [
            hex.clone(),
            hex.to_uppercase() + "\n",
            STANDARD.encode(&raw),
            STANDARD.encode(&raw) + "\r\n",
            URL_SAFE_NO_PAD.encode(&raw) + "\n",
        ] {
            assert!(same(&parse(text.as_bytes()).unwrap(), &key), "{text}");
        }
        assert!(same(&parse(&[&raw[..], b"\n"].concat()).unwrap(), &key));
        // A key whose last byte happens to be a line end.
        assert!(parse(&[b'\n'; 32]).is_some());
        for bad in [
            &b""[..],
            b"\n",
            b"short",
            &[b'x'; 33],
            &[b'z'; 64],
            &[0; 31],
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_file_is_made_once_and_only_where_nothing_can_be_lost() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store.key");
        let error = file(&path, false).unwrap_err();
        assert!(error.contains("bring that key back"), "{error}");
        assert!(!path.exists());
        let fresh = file(&path, true).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert!(same(&file(&path, true).unwrap(), &fresh));
        assert!(same(&file(&path, false).unwrap(), &fresh));
        assert!(file(&home.path().join("no/such/folder"), true).is_err());
        assert!(file(home.path(), true).unwrap_err().contains("no file"));
    }

    #[test]
    fn r22_a_key_that_others_may_read_is_refused_unless_it_was_mounted_so() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store.key");
        fs::write(&path, [7; 32]).unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o440, true),
            (0o444, true),
            (0o640, false),
            (0o644, false),
            (0o602, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = file(&path, false);
            assert_eq!(read.is_ok(), good, "{mode:o}");
            if let Err(error) = read {
                let advice = format!("`chmod 600 {}`", path.display());
                assert!(error.contains(&advice), "{error}");
            }
        }
        // Kubernetes: root's, for everybody to read, behind links.
        let nobody = std::os::unix::fs::chown(&path, Some(65_534), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let link = home.path().join("..data");
        std::os::unix::fs::symlink(home.path(), &link).unwrap();
        let read = file(&link.join("store.key"), false);
        assert_eq!(read.is_ok(), nobody.is_ok(), "{read:?}");
    }

    #[test]
    fn texts_open_for_their_own_purpose_only() {
        let (key, other) = (make().unwrap().0, make().unwrap().0);
        let sealed = key.seal("a", &Secret::from("s3cret")).unwrap();
        assert_eq!(key.unseal("a", &sealed).unwrap().reveal(), "s3cret");
        assert!(key.unseal("b", &sealed).is_none());
        assert!(other.unseal("a", &sealed).is_none());
        assert!(key.unseal("a", "nonsense").is_none());
    }
}
