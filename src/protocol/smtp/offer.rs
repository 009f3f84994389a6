//! What an EHLO reply offers: sorted into what the client may hear, what we use ourselves, and what stays on its hop.
//!
//! Pure functions over the reply's lines.

use crate::protocol::Offer;

use super::reply::Reply;

/// The longest entry passed on, in bytes: it must fit a reply line of 512 (RFC 5321 section 4.5.3.1.5).
const MAX_ENTRY: usize = 500;

/// What belongs to the hop between us and the server, or to before login.
const HOP: [&str; 6] = [
    "STARTTLS",
    "AUTH",
    "XCLIENT",
    "XFORWARD",
    "X-EXPS",
    "X-ANONYMOUSTLS",
];

/// Sorts an EHLO reply, whose first line is the server's name and greeting: the offer for the client, and the SASL
/// mechanisms in upper case. The old form `AUTH=` counts as well as `AUTH`.
pub(super) fn sort(reply: &Reply) -> (Offer, Vec<String>) {
    let mut offer = Offer::default();
    let mut mechanisms: Vec<String> = Vec::new();
    for entry in entries(reply) {
        let keyword = entry.split([' ', '=']).next().unwrap_or_default();
        if keyword.eq_ignore_ascii_case("AUTH") {
            for word in entry.split([' ', '=']).skip(1) {
                let word = word.to_ascii_uppercase();
                if !word.is_empty() && !mechanisms.contains(&word) {
                    mechanisms.push(word);
                }
            }
        } else if !HOP.iter().any(|hop| hop.eq_ignore_ascii_case(keyword)) {
            offer.0.push(entry.to_owned());
        }
    }
    (offer, mechanisms)
}

/// Returns whether an EHLO reply offers STARTTLS.
pub(super) fn has_starttls(reply: &Reply) -> bool {
    entries(reply).any(|entry| entry.eq_ignore_ascii_case("STARTTLS"))
}

/// Returns the entries fit to be repeated; others are left out, for nobody could use them.
fn entries(reply: &Reply) -> impl Iterator<Item = &str> {
    reply
        .lines
        .iter()
        .skip(1)
        .filter_map(|line| std::str::from_utf8(line.trim_ascii()).ok())
        .filter(|entry| !entry.is_empty() && entry.len() <= MAX_ENTRY)
        .filter(|entry| entry.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(lines: &[&str]) -> Reply {
        Reply {
            code: 250,
            lines: lines.iter().map(|line| line.as_bytes().to_vec()).collect(),
        }
    }

    fn sorted(lines: &[&str]) -> (Vec<String>, Vec<String>) {
        let (offer, mechanisms) = sort(&reply(lines));
        (offer.0, mechanisms)
    }

    #[test]
    fn only_what_belongs_to_the_client_is_offered() {
        let (offer, mechanisms) = sorted(&[
            "XX.outlook.office365.com Hello [192.0.2.1]",
            "SIZE 157286400",
            "PIPELINING",
            "STARTTLS",
            "AUTH LOGIN XOAUTH2",
            "xclient NAME ADDR",
            "XFORWARD NAME",
            "X-EXPS GSSAPI NTLM",
            "SMTPUTF8",
        ]);
        assert_eq!(offer, ["SIZE 157286400", "PIPELINING", "SMTPUTF8"]);
        assert_eq!(mechanisms, ["LOGIN", "XOAUTH2"]);
    }

    #[test]
    fn both_forms_of_auth_are_understood() {
        let (offer, mechanisms) = sorted(&[
            "james",
            "AUTH OAUTHBEARER xoauth2",
            "AUTH=OAUTHBEARER XOAUTH2 PLAIN",
            "auth= LOGIN",
            "AUTH",
        ]);
        assert!(offer.is_empty(), "{offer:?}");
        assert_eq!(mechanisms, ["OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"]);
    }

    #[test]
    fn a_server_may_offer_nothing_and_its_name_is_no_offer() {
        assert_eq!(sorted(&["PIPELINING"]), (vec![], vec![]));
        assert!(!has_starttls(&reply(&["STARTTLS"])));
        assert!(has_starttls(&reply(&["host", "starttls "])));
        assert!(!has_starttls(&reply(&["host", "XSTARTTLS", "STARTTLS2"])));
    }

    #[test]
    fn what_cannot_be_repeated_is_left_out() {
        let long = format!("X-LONG {}", "x".repeat(600));
        assert_eq!(
            sorted(&["host", "X-caf\u{e9}", "", " ", "a\tb", &long]).0,
            [""; 0]
        );
    }
}
