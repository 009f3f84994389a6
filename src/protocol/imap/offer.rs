//! IMAP capabilities: what of the server's is offered to a client, and what of our own is put to it.
//!
//! Pure: knows neither connection nor where the words came from.

use crate::protocol::{Abilities, Local, Offer};

/// Words that concern the hop to the server, or that are ours to say.
const NOT_PASSED_ON: [&str; 7] = [
    "IMAP4REV1",
    "STARTTLS",
    "LOGINDISABLED",
    "SASL-IR",
    "LOGIN-REFERRALS",
    "UNAUTHENTICATE",
    "AUTH",
];

/// What a server said it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities(Vec<String>);

impl Capabilities {
    /// Reads the words behind `CAPABILITY`; what cannot be one is left out.
    pub(super) fn read(words: &[u8]) -> Self {
        let fit = |word: &&[u8]| {
            let graphic = |byte: &u8| byte.is_ascii_graphic() && !b"[](){}\"\\".contains(byte);
            !word.is_empty() && word.iter().all(graphic)
        };
        Self(
            words
                .split(|&byte| byte == b' ')
                .filter(fit)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect(),
        )
    }

    /// Reads the response code `[CAPABILITY ...]` at the beginning of a status text, if there is one.
    ///
    /// Exchange greets with a bracket of base64 at the end of its text, which is none.
    pub(super) fn in_code(text: &[u8]) -> Option<Self> {
        let inside = text.strip_prefix(b"[")?;
        let end = inside.iter().position(|&byte| byte == b']')?;
        Self::in_response(inside.get(..end)?)
    }

    /// Reads an untagged response `CAPABILITY ...`, if it is one.
    pub(super) fn in_response(text: &[u8]) -> Option<Self> {
        let (word, words) = text.split_at_checked(b"CAPABILITY ".len())?;
        word.eq_ignore_ascii_case(b"CAPABILITY ")
            .then(|| Self::read(words))
    }

    /// Returns whether a word is among them.
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|found| found.eq_ignore_ascii_case(word))
    }

    /// Returns the SASL mechanisms, upper case.
    pub(super) fn mechanisms(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|word| word.to_ascii_uppercase())
            .filter_map(|word| word.strip_prefix("AUTH=").map(str::to_owned))
            .collect()
    }

    /// Returns what of them a login needs, and what clients are told.
    pub(super) fn abilities(&self) -> Abilities {
        Abilities {
            offer: self.offer(),
            mechanisms: self.mechanisms(),
            initial_response: self.has("SASL-IR"),
        }
    }

    /// Returns what a client may be offered of them.
    pub(super) fn offer(&self) -> Offer {
        let ours = |word: &str| {
            let name = word.split('=').next().unwrap_or_default();
            NOT_PASSED_ON
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(name))
        };
        Offer(self.0.iter().filter(|word| !ours(word)).cloned().collect())
    }
}

/// Lists what a client can do here: `IMAP4rev1` first, the server's own words, then ours.
pub(super) fn shown(local: &Local<'_>) -> String {
    let ours: &[&str] = if local.starttls {
        &["STARTTLS", "LOGINDISABLED"]
    } else {
        &["AUTH=PLAIN", "AUTH=LOGIN", "SASL-IR"]
    };
    let mut words = vec!["IMAP4rev1"];
    words.extend(local.offer.0.iter().map(String::as_str));
    words.extend(ours);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_other_hop_is_not_offered() {
        let exchange = Capabilities::read(
            b"IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+",
        );
        assert_eq!(exchange.mechanisms(), ["PLAIN", "XOAUTH2"]);
        assert!(exchange.has("sasl-ir"));
        assert_eq!(
            exchange.offer().0,
            [
                "IMAP4",
                "UIDPLUS",
                "ID",
                "UNSELECT",
                "CHILDREN",
                "IDLE",
                "NAMESPACE",
                "LITERAL+"
            ]
        );
        let other = Capabilities::read(
            b"imap4rev1 starttls LoginDisabled auth=plain LOGIN-REFERRALS UNAUTHENTICATE COMPRESS=DEFLATE XAUTHX",
        );
        assert_eq!(other.offer().0, ["COMPRESS=DEFLATE", "XAUTHX"]);
    }

    #[test]
    fn capabilities_are_found_where_they_may_be() {
        let words = |found: Option<Capabilities>| found.map(|found| found.0);
        assert_eq!(
            words(Capabilities::in_code(b"[CAPABILITY IMAP4rev1 IDLE] ready")),
            Some(vec!["IMAP4rev1".into(), "IDLE".into()])
        );
        assert_eq!(
            words(Capabilities::in_response(b"capability IMAP4rev1")),
            Some(vec!["IMAP4rev1".into()])
        );
        for none in [
            &b"The Microsoft Exchange IMAP4 service is ready. [TQBSADEA==]"[..],
            b"[TQBSADEAUAAyADYANABDAEEAMAAwADMA==]",
            b"[CAPABILITY IMAP4rev1",
            b"[ALERT] hi",
            b"",
        ] {
            assert_eq!(words(Capabilities::in_code(none)), None, "{none:?}");
        }
        assert_eq!(words(Capabilities::in_response(b"CAPABILITYX a")), None);
    }

    #[test]
    fn words_cannot_break_out_of_our_greeting() {
        let bad = Capabilities::read(b"IDLE a]b [x \"q\" \x01 t\xe4 {3} OK");
        assert_eq!(bad.offer().0, ["IDLE", "OK"]);
    }

    #[test]
    fn our_own_words_follow_the_servers() {
        let offer = Offer(vec!["IDLE".into(), "UIDPLUS".into()]);
        let local = |starttls| Local {
            offer: &offer,
            starttls,
            onlooker: None,
        };
        assert_eq!(
            shown(&local(false)),
            "IMAP4rev1 IDLE UIDPLUS AUTH=PLAIN AUTH=LOGIN SASL-IR"
        );
        assert_eq!(
            shown(&local(true)),
            "IMAP4rev1 IDLE UIDPLUS STARTTLS LOGINDISABLED"
        );
    }
}
