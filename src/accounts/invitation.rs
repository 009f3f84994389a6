//! What a person is shown of a consent, what a browser brings back, and what comes of it.
//!
//! Plain data; who is asked and what an answer is worth is for others.

use tokio::time::Instant;

use crate::said::Said;
use crate::secret::Secret;

/// A consent that somebody is asked for at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The account it is for.
    pub account: String,
    /// The address to visit.
    pub url: String,
    /// The redirect address registered at the provider.
    pub redirect_uri: Option<String>,
    /// Where the browser's return is heard, if not at `redirect_uri`.
    pub redirect_listen_address: Option<String>,
    /// Whether we listen for the return ourselves.
    pub listen: bool,
    /// What to type in at `url`, in the device grant: nothing returns to us then.
    pub code: Option<UserCode>,
    /// Whose sign-in waits for a yes, where somebody has signed in already.
    pub doubt: Option<Doubt>,
}

/// A device code as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCode {
    /// What to type in.
    pub code: String,
    /// Where to type it in; [`Pending::url`] may already hold the code.
    pub url: String,
    /// When it ends.
    pub until: Instant,
}

/// A sign-in of somebody else than the account's own name says; its tokens are used and stored only after a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Who signed in.
    pub signed_in: Said,
    /// The one-time value to confirm with.
    pub confirm: String,
    /// Until when a yes is taken.
    pub until: Instant,
}

/// What a browser brought back from the provider.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The one-time value; decides which consent is meant.
    pub state: String,
    /// The authorization code, on success.
    pub code: Option<Secret<String>>,
    /// `error`, on refusal.
    pub error: Option<Said>,
    /// `error_description`, on refusal.
    pub error_description: Option<Said>,
    /// `iss` (RFC 9207), where the provider sends it.
    pub issuer: Option<String>,
    /// The accounts whose redirect address it came to; nothing where a person pasted it, as that address is compared itself.
    pub came_to: Option<Vec<String>>,
}

/// What came of a consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The account is authorised.
    Authorised {
        /// The account.
        account: String,
    },
    /// Somebody else signed in than the account's own name says. Nothing is stored until
    /// [`Accounts::confirm`](super::Accounts::confirm) says yes.
    Differs {
        /// The account.
        account: String,
        /// Who signed in.
        signed_in: Said,
        /// The one-time value to confirm with.
        confirm: String,
    },
    /// The sign-in was not the one that was meant; this is where to sign in again.
    Again(Box<Pending>),
    /// No consent with this state is pending: expired, used or forged.
    Unknown,
    /// The provider or the token endpoint said no.
    Failed {
        /// The account.
        account: String,
        /// Why.
        why: Said,
    },
}
