//! POP3 capabilities: what of the server's is offered to a client, and what of our own is put to it (RFC 2449).
//!
//! Pure: knows neither connection nor where the lines came from.

use crate::protocol::{Local, Offer};

/// Capabilities that concern the hop to the server, or that are ours to offer. UTF8 and LANG would have to be said to the
/// server before the login (RFC 6856).
const NOT_PASSED_ON: [&str; 5] = ["STLS", "UTF8", "LANG", "SASL", "USER"];

/// The longest line passed on, in bytes, as RFC 2449 section 4 has it for replies.
const MAX_LINE: usize = 510;

/// Returns what a client may be offered of a server's CAPA lines.
pub(super) fn offered(lines: &[Vec<u8>]) -> Offer {
    Offer(
        lines
            .iter()
            .filter_map(|line| std::str::from_utf8(line.trim_ascii()).ok())
            .filter(|line| {
                let name = line.split(' ').next().unwrap_or_default();
                let fit = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
                !line.is_empty()
                    && line.len() <= MAX_LINE
                    && !line.starts_with('.')
                    && line.bytes().all(fit)
                    && !NOT_PASSED_ON
                        .iter()
                        .any(|ours| ours.eq_ignore_ascii_case(name))
            })
            .map(str::to_owned)
            .collect(),
    )
}

/// Returns the SASL mechanisms of a server's CAPA lines, upper case.
pub(super) fn mechanisms(lines: &[Vec<u8>]) -> Vec<String> {
    lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).to_ascii_uppercase())
        .filter_map(|line| {
            let words = line.strip_prefix("SASL ")?;
            Some(words.split_ascii_whitespace().map(str::to_owned).collect())
        })
        .collect::<Vec<Vec<String>>>()
        .concat()
}

/// Returns the answer to CAPA: the server's lines, then ours.
pub(super) fn shown(local: &Local<'_>) -> String {
    let ours: &[&str] = if local.starttls {
        &["STLS"]
    } else {
        &["USER", "SASL PLAIN LOGIN"]
    };
    let mut lines = vec!["+OK capability list follows"];
    lines.extend(local.offer.0.iter().map(String::as_str));
    lines.extend(ours);
    lines.push(".\r\n");
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Vec<u8>> {
        text.lines().map(|line| line.as_bytes().to_vec()).collect()
    }

    #[test]
    fn what_belongs_to_the_other_hop_is_not_offered() {
        let google = lines(
            "USER\nRESP-CODES\nEXPIRE 0\nLOGIN-DELAY 300\nTOP\nUIDL\nX-GOOGLE-RICO\nSASL PLAIN XOAUTH2 OAUTHBEARER",
        );
        assert_eq!(
            offered(&google).0,
            [
                "RESP-CODES",
                "EXPIRE 0",
                "LOGIN-DELAY 300",
                "TOP",
                "UIDL",
                "X-GOOGLE-RICO"
            ]
        );
        assert_eq!(mechanisms(&google), ["PLAIN", "XOAUTH2", "OAUTHBEARER"]);
        let other = lines(
            "stls\nUTF8 USER\nlang\nsasl xoauth2\nIMPLEMENTATION x y\n..x\nt\u{e4}\na\tb\n\nTOP ",
        );
        assert_eq!(offered(&other).0, ["IMPLEMENTATION x y", "TOP"]);
        assert_eq!(mechanisms(&other), ["XOAUTH2"]);
        assert!(mechanisms(&lines("TOP\nSASL")).is_empty());
    }

    #[test]
    fn our_own_lines_follow_the_servers() {
        let offer = Offer(vec!["TOP".into()]);
        let local = |starttls| Local {
            offer: &offer,
            starttls,
            onlooker: None,
        };
        assert_eq!(
            shown(&local(false)),
            "+OK capability list follows\r\nTOP\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n"
        );
        assert_eq!(
            shown(&local(true)),
            "+OK capability list follows\r\nTOP\r\nSTLS\r\n.\r\n"
        );
    }
}
