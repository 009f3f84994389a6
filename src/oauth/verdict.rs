//! What kills what: each sign that a token endpoint may give, and what becomes of the tokens held.
//!
//! | verdict | refresh token | access token | a person is asked | the login meanwhile |
//! | --- | --- | --- | --- | --- |
//! | `Dead` | dropped, where it was what was handed in | used to its end | by the next login that has no token left | waits for consent |
//! | `Denied` | kept | used to its end | no | refused for good, with what to change |
//! | `Later` | kept | used to its end | no | refused for now |
//! | `Pending`, `Slower` | there is none yet | there is none yet | is being asked | goes on waiting |
//!
//! Where nothing was handed in that can die (client credentials, a password), `Dead` means `Denied`. `accounts::flight`
//! carries the verdicts out: `src/accounts/tests/tokens.rs` proves each row of this table, `src/oauth/tests/verdicts.rs`
//! each row of the one below against an endpoint's answer. A wrong local password is no sign at all, as nobody is asked:
//! `src/accounts/tests/passwords.rs`, `a_wrong_password_changes_nothing_and_asks_nobody`.
//!
//! Data only; what a person can do about it is in `providers::catalogue`. The numbers are Microsoft Entra's AADSTS codes
//! (learn.microsoft.com/entra/identity-platform/reference-error-codes), the words those of RFC 6749 section 5.2, `OpenID`
//! Connect Core section 3.1.2.6, RFC 8628 section 3.5 and Entra's own
//! (learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code).

#![expect(
    clippy::unreadable_literal,
    reason = "the codes stand as the provider writes them, so that they can be searched for"
)]

/// What a sign means for what was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is dead for good; only a new consent helps.
    Dead,
    /// Configuration or policy forbids; what was handed in may still be good.
    Denied,
    /// It may work later.
    Later,
    /// Nobody has approved the device code yet (RFC 8628 section 3.5).
    Pending,
    /// As `Pending`, and the polls come too fast.
    Slower,
}

/// A sign that an endpoint gives, or that the way to it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The `error` of an answer with a status below 500 other than 429.
    Word(&'static str),
    /// An AADSTS code; it says more than the word beside it.
    Code(u32),
    /// HTTP 5xx, whatever words come with it.
    ServerTrouble,
    /// HTTP 429, whatever words come with it.
    TooMany,
    /// A redirection: a captive portal's, or a wrong address.
    Redirected,
    /// An answer in an encoding that was not asked for.
    Encoded,
    /// An answer that is no JSON object: a captive portal's page, a proxy's.
    NoJson,
    /// A good answer without a token.
    NoToken,
    /// A token of a type other than Bearer.
    OddType,
    /// A token with characters that would break out of a login.
    OddToken,
    /// An answer longer than 64 KiB.
    TooLong,
    /// An answer that ended early.
    BrokeOff,
    /// Something other than HTTP.
    NotHttp,
    /// A connection dropped before an answer came.
    Dropped,
    /// No answer in time.
    Silent,
    /// A name that is not found.
    NoName,
    /// No connection.
    NoConnection,
    /// No TLS, or a certificate that nobody vouches for.
    NoTls,
}

use Sign::{
    BrokeOff, Code, Dropped, Encoded, NoConnection, NoJson, NoName, NoTls, NoToken, NotHttp,
    OddToken, OddType, Redirected, ServerTrouble, Silent, TooLong, TooMany, Word,
};
use Verdict::{Dead, Denied, Later, Pending, Slower};

/// The table. A word or code that is not in it is `Denied`: a definite no that kills nothing.
pub(super) const TABLE: &[(Verdict, &[Sign])] = &[
    // The four words of a dead grant, and those of a device code that nobody approved in time.
    (
        Dead,
        &[
            Word("invalid_grant"),
            Word("interaction_required"),
            Word("consent_required"),
            Word("login_required"),
            Word("expired_token"),
            Word("bad_verification_code"),
            Word("code_expired"),
        ],
    ),
    (
        Denied,
        &[
            Word("invalid_client"),
            Word("unauthorized_client"),
            Word("invalid_request"),
            Word("invalid_scope"),
            Word("unsupported_grant_type"),
            Word("access_denied"),
            Word("authorization_declined"),
            OddType,
            OddToken,
        ],
    ),
    (
        Later,
        &[Word("temporarily_unavailable"), Word("server_error")],
    ),
    (Pending, &[Word("authorization_pending"), Code(70016)]),
    (Slower, &[Word("slow_down")]),
    // The endpoint's house is in disorder, or the way there. Of these only a dropped connection is tried once more, and
    // not even that with a code, which is good for one use only (`post`).
    (
        Later,
        &[
            ServerTrouble,
            TooMany,
            Redirected,
            Encoded,
            NoJson,
            NoToken,
            TooLong,
            BrokeOff,
            NotHttp,
            Dropped,
            Silent,
            NoName,
            NoConnection,
            NoTls,
        ],
    ),
    // Spent, revoked or died of disuse or of a policy's age limit; the password was changed.
    (
        Dead,
        &[
            Code(50085),
            Code(50089),
            Code(50132),
            Code(50133),
            Code(50173),
            Code(54005),
            Code(70000),
            Code(70008),
            Code(70018),
            Code(70019),
            Code(70043),
            Code(700082),
            Code(700084),
        ],
    ),
    // A person must sign in again: another factor, a new password, their yes.
    (
        Dead,
        &[
            Code(50055),
            Code(50056),
            Code(50072),
            Code(50074),
            Code(50076),
            Code(50078),
            Code(50079),
            Code(50097),
            Code(50126),
            Code(50158),
            Code(65001),
            Code(700020),
        ],
    ),
    // An administrator's policy. They come with `invalid_grant` too, yet the refresh token lives on and works again once
    // what is in the way is changed.
    (
        Denied,
        &[
            Code(50053),
            Code(50057),
            Code(50105),
            Code(50127),
            Code(50129),
            Code(50131),
            Code(53000),
            Code(53001),
            Code(53003),
            Code(53011),
            Code(530032),
            Code(530035),
            Code(65004),
            Code(650056),
            Code(90094),
            Code(90095),
        ],
    ),
    // Settings: account, tenant, resource, scope, application and its proof, form.
    (
        Denied,
        &[
            Code(16000),
            Code(28002),
            Code(50001),
            Code(50011),
            Code(50020),
            Code(50034),
            Code(50058),
            Code(50059),
            Code(50143),
            Code(50194),
            Code(51004),
            Code(500011),
            Code(500208),
            Code(65002),
            Code(650052),
            Code(650057),
            Code(70001),
            Code(70002),
            Code(70011),
            Code(700005),
            Code(700011),
            Code(700016),
            Code(700022),
            Code(700023),
            Code(700025),
            Code(700213),
            Code(700229),
            Code(7000112),
            Code(7000215),
            Code(7000218),
            Code(7000222),
            Code(7000229),
            Code(90002),
            Code(90038),
            Code(90124),
            Code(90130),
            Code(900144),
            Code(901002),
            Code(9001023),
            Code(9002313),
            Code(9002332),
        ],
    ),
    // An assertion that is not good, mostly because this machine's clock is off.
    (
        Denied,
        &[Code(50012), Code(700024), Code(700027), Code(700030)],
    ),
    // Outages, limits, and a device code approved in another region.
    (
        Later,
        &[
            Code(40010),
            Code(50033),
            Code(50087),
            Code(50088),
            Code(50134),
            Code(50166),
            Code(50196),
            Code(70012),
            Code(80001),
            Code(80002),
            Code(80005),
            Code(80014),
            Code(90006),
            Code(90012),
            Code(90024),
            Code(90033),
            Code(90055),
            Code(90090),
            Code(90091),
        ],
    ),
];

/// Returns what a sign means.
pub(super) fn of(sign: Sign) -> Option<Verdict> {
    let row = TABLE.iter().find(|(_, signs)| signs.contains(&sign));
    row.map(|(verdict, _)| *verdict)
}

/// Returns what an error word and the AADSTS code beside it mean.
pub(super) fn of_error(word: &str, code: Option<u32>) -> Verdict {
    let is = |sign: &Sign| matches!(sign, Word(known) if *known == word);
    let by_word = || {
        let row = TABLE.iter().find(|(_, signs)| signs.iter().any(is));
        row.map(|(verdict, _)| *verdict)
    };
    let by_code = code.and_then(|code| of(Code(code)));
    by_code.or_else(by_word).unwrap_or(Denied)
}
