//! Issuers: which one an account's answers have to come from, and whether one that is named is that one.
//!
//! An answer from somebody else is how a sign-in is led astray (RFC 9207 section 1). Pure functions; knows nothing of
//! requests.

use url::Url;

use super::Question;
use crate::config::AccountSettings;
use crate::providers;
use crate::said::Said;

/// What Entra's shared tenants put in the place of the tenant that somebody will have signed in to.
const ANY_TENANT: &str = "{tenantid}";

/// The placeholder of our own table.
const TENANT: &str = "{tenant}";

/// Checks that a browser's answer comes from whom the question was put to (RFC 9207 section 2.4). Where that is not
/// known nothing is compared; where it is, an answer that names nobody is refused only if the provider promised a name.
pub fn prove_answer(question: &Question, said: Option<&str>) -> Result<(), Said> {
    match (question.issuer.as_deref(), said) {
        (Some(expected), Some(said)) if !is_same(expected, said) => Err(Said::new(format!(
            "the answer comes from `{}` but the question was put to `{expected}`; it is not used. Sign in again, and only \
             at the address shown here",
            Said::from(said).short(),
        ))),
        (Some(expected), None) if question.issuer_is_sent => Err(Said::new(format!(
            "the answer does not say who sent it, although `{expected}` promises to say so (`iss`); it is not used. Sign \
             in again, and only at the address shown here"
        ))),
        _ => Ok(()),
    }
}

/// Returns the issuer that an account's answers come from, as far as that is known without asking anybody: the file's
/// own, or that of the provider whose endpoints the file names. May hold `{tenantid}` in the place of any tenant.
pub(super) fn known_to(account: &AccountSettings) -> Option<String> {
    let host = |issuer: &str| Url::parse(issuer).ok()?.host().map(|host| host.to_owned());
    match (account.issuer.as_deref(), by_endpoints(account)) {
        // An issuer that the account inherits while its own endpoints are somebody else's.
        (Some(said), Some(theirs)) if host(said) != host(&theirs) => Some(theirs),
        (Some(said), _) => Some(widened(said)),
        (None, theirs) => theirs,
    }
}

/// Returns the issuer of the provider whose endpoints an account names.
fn by_endpoints(account: &AccountSettings) -> Option<String> {
    let asked_at = account.permission_url.as_deref();
    let provider = providers::by_endpoint(&account.token_url)?;
    let issuer = provider.issuer?;
    if provider.tenant.is_none() {
        let same = |url| providers::by_endpoint(url) == Some(provider);
        return asked_at.is_none_or(same).then(|| issuer.to_owned());
    }
    // Older endpoints on the same hosts have other issuers.
    let tenant = tenant(provider.token, &account.token_url)?;
    let asked_there = |url| {
        let known = [Some(provider.authorize), provider.device];
        let mut known = known.into_iter().flatten();
        known.any(|template| self::tenant(template, url).is_some())
    };
    asked_at
        .is_none_or(asked_there)
        .then(|| issuer.replace(TENANT, guid_or_any(tenant)))
}

/// Returns whether an issuer that was named is the expected one: the same text but for a slash at the end, and any
/// tenant's id in the place of `{tenantid}`.
pub(super) fn is_same(expected: &str, said: &str) -> bool {
    let bare = |text| str::trim_end_matches(text, '/');
    let (expected, said) = (bare(expected), bare(said));
    match expected.split_once(ANY_TENANT) {
        None => expected == said,
        Some((before, after)) => said
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(is_guid),
    }
}

/// Puts a tenant in the place of `{tenantid}`. Issuers without it are returned as they are.
pub(super) fn at_tenant(issuer: &str, tenant: &str) -> String {
    issuer.replace(ANY_TENANT, tenant)
}

/// Returns whether a discovery document that calls its issuer `said` is the one of `configured`: the same text but for
/// a slash at the end, with `{tenantid}` for the tenant, or with the tenant's id where the file has its name and the
/// provider is known to do so.
pub(super) fn describes(said: &str, configured: &str) -> bool {
    let bare = |text| str::trim_end_matches(text, '/');
    if bare(said) == bare(configured) {
        return true;
    }
    let (theirs, ours) = (bare(said).split('/'), bare(configured).split('/'));
    let shared = theirs.clone().count() == ours.clone().count()
        && theirs
            .zip(ours)
            .all(|(theirs, ours)| theirs == ours || (theirs == ANY_TENANT && !ours.is_empty()));
    shared
        || templates().any(|template| {
            tenant(template, bare(configured)).is_some()
                && tenant(template, bare(said)).is_some_and(is_guid)
        })
}

/// Returns whether a text is a GUID.
pub(super) fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(hex)
}

/// Allows any tenant's id where an issuer of the table is named by a tenant that is no id.
fn widened(issuer: &str) -> String {
    let issuer = issuer.trim_end_matches('/');
    let found = templates().find_map(|template| Some((template, tenant(template, issuer)?)));
    match found {
        Some((template, tenant)) => template.replace(TENANT, guid_or_any(tenant)),
        None => issuer.to_owned(),
    }
}

fn guid_or_any(tenant: &str) -> &str {
    if is_guid(tenant) { tenant } else { ANY_TENANT }
}

/// The table's issuers that have tenants.
fn templates() -> impl Iterator<Item = &'static str> {
    let issuers = providers::all().filter_map(|provider| provider.issuer);
    issuers.filter(|issuer| issuer.contains(TENANT))
}

/// Returns what stands for `{tenant}` in an address of a template's shape.
fn tenant<'a>(template: &str, address: &'a str) -> Option<&'a str> {
    let (before, after) = template.split_once(TENANT)?;
    let bare = address.split(['?', '#']).next()?;
    // The scheme and the host are as good in capitals.
    let there = bare.get(..before.len())?;
    if !there.eq_ignore_ascii_case(before) || Url::parse(address).is_err() {
        return None;
    }
    let tenant = bare.get(before.len()..)?.strip_suffix(after)?;
    (!tenant.is_empty() && !tenant.contains('/')).then_some(tenant)
}
