//! Microsoft Entra's AADSTS codes, by what has to change.
//!
//! Numbers and texts from learn.microsoft.com/entra/identity-platform/reference-error-codes and from answers that were
//! seen; Microsoft may change either at any time, so that nothing but a hint hangs on them.

mod application;
mod policy;
mod service;
mod sign_in;
mod tenant;

use super::Chapter;

/// Makes entries of codes that share a meaning: the code, the word it was seen with, what it says.
macro_rules! entries {
    ($($means:ident { $($code:literal $error:literal $text:literal)* })*) => {
        &[$($(crate::providers::catalogue::Entry {
            sign: crate::providers::catalogue::Sign::Entra { error: $error, code: $code },
            said: concat!("AADSTS", $code, ": ", $text),
            means: &$means,
        },)*)*]
    };
}
use entries;

pub(super) const SIGN_IN: Chapter = Chapter {
    title: "Microsoft Entra: sign-ins",
    entries: sign_in::ENTRIES,
};

pub(super) const POLICY: Chapter = Chapter {
    title: "Microsoft Entra: accounts and policies",
    entries: policy::ENTRIES,
};

pub(super) const APPLICATION: Chapter = Chapter {
    title: "Microsoft Entra: the application",
    entries: application::ENTRIES,
};

pub(super) const TENANT: Chapter = Chapter {
    title: "Microsoft Entra: tenant, scope and request",
    entries: tenant::ENTRIES,
};

pub(super) const SERVICE: Chapter = Chapter {
    title: "Microsoft Entra: outages and limits",
    entries: service::ENTRIES,
};
