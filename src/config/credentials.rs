//! What is odd about what proves an account's application: half a pair, two proofs at once, files that are not there.
//!
//! None of it stops the proxy: a file may come later, and other accounts go on. Knows nothing of what is in the files.

use super::account::Chain;
use super::proof::Proof;
use super::{Complaint, GrantKind, value};

/// Looks at an account's; what many inherit is said once.
pub(super) fn look(proof: &mut Proof<'_>, chain: &Chain<'_>) {
    let mut odd = half_pair(chain);
    odd.extend(idle(chain));
    odd.extend(absent(proof, chain));
    odd.extend(keyless(chain));
    for (line, text) in odd {
        let said = |known: &Complaint| known.line == line && known.text == text;
        if !proof.warnings.iter().any(said) {
            proof.warn(line, text);
        }
    }
}

/// A certificate without a key, or a key without a certificate.
fn half_pair(chain: &Chain<'_>) -> Vec<(usize, String)> {
    let pair = ["jwt_certificate_path", "jwt_key_path"].map(|key| chain.find(key));
    let ([Some(only), None] | [None, Some(only)]) = pair else {
        return Vec::new();
    };
    let text = "jwt_certificate_path and jwt_key_path only work together; neither is used";
    vec![(only.line, text.to_owned())]
}

/// What an account says itself and that has no effect, because it says something better too. What others lend is put
/// aside on purpose.
fn idle(chain: &Chain<'_>) -> Vec<(usize, String)> {
    if matches!(
        grant(chain),
        Some(GrantKind::ServiceAccount | GrantKind::ManagedIdentity)
    ) {
        return Vec::new();
    }
    let has = |key| chain.find(key).is_some();
    let certificate = has("jwt_certificate_path") && has("jwt_key_path");
    let (best, beaten): (_, &[&str]) = if has("client_assertion_file") {
        (
            "client_assertion_file",
            &[
                "jwt_certificate_path",
                "client_secret",
                "client_secret_encrypted",
            ],
        )
    } else if certificate {
        (
            "jwt_certificate_path",
            &["client_secret", "client_secret_encrypted"],
        )
    } else {
        ("client_secret", &["client_secret_encrypted"])
    };
    if !has(best) {
        return Vec::new();
    }
    let found = beaten
        .iter()
        .filter_map(|key| Some((*key, chain.find(key)?)));
    found
        .filter(|(_, found)| found.section == chain.section())
        .map(|(key, found)| {
            let text = format!("{key} has no effect beside {best}; remove one of the two");
            (found.line, text)
        })
        .collect()
}

/// A service account without a key; an imported cache may still hold one.
fn keyless(chain: &Chain<'_>) -> Option<(usize, String)> {
    let id = chain.find("client_id")?;
    let has = |key| chain.find(key).is_some();
    let wants = grant(chain) == Some(GrantKind::ServiceAccount);
    let text =
        "client_id: a service account's key is looked for in client_secret, and there is none";
    (wants && !has("client_secret") && !has("client_secret_encrypted"))
        .then(|| (id.line, text.to_owned()))
}

/// Files that cannot be read now.
fn absent(proof: &Proof<'_>, chain: &Chain<'_>) -> Vec<(usize, String)> {
    let mut absent = Vec::new();
    for key in [
        "jwt_certificate_path",
        "jwt_key_path",
        "client_assertion_file",
    ] {
        let Some(found) = chain
            .find(key)
            .filter(|found| !value::is_placeholder(found.value))
        else {
            continue;
        };
        let file = value::file(found.value, proof.path);
        let fault = value::unreadable(found.value, &file);
        absent.extend(fault.map(|fault| (found.line, format!("{key}: {fault}"))));
    }
    let key_file = grant(chain).and_then(|grant| chain.key_file(grant, proof.path));
    if let (Some(file), Some(found)) = (key_file, chain.find("client_secret"))
        && value::unreadable("", &file).is_some()
    {
        // Perhaps the key itself was put here, which must not be shown.
        let text =
            "client_secret: the service account's key file that it is to name could not be read";
        absent.push((found.line, text.to_owned()));
    }
    absent
}

fn grant(chain: &Chain<'_>) -> Option<GrantKind> {
    chain.grant().ok().map(|(grant, _)| grant)
}
