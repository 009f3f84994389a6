//! What becomes of a consent: the browser's answer, or the address a person pasted, turned into tokens.
//!
//! A state is good once and a code is never tried twice. What does not fit in every point takes nothing: the real answer may
//! still come.

use std::sync::Arc;

use url::Url;

use super::confirm::Received;
use super::consent::Consent;
use super::source::refusal;
use super::{Accounts, Answer, Outcome};
use crate::oauth::{Error, Grant, Tokens, of_browser, prove_answer};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::Secret;

impl Accounts {
    /// Takes an answer; goes on to the end even if the browser leaves.
    pub(super) async fn take_answer(self: &Arc<Self>, answer: Answer) -> Outcome {
        let Some(consent) = self.consents.peek(&answer.state) else {
            return Outcome::Unknown;
        };
        let user = Said::new(consent.account());
        let elsewhere = |accounts: &Vec<String>| !accounts.iter().any(|at| at == consent.account());
        if answer.came_to.as_ref().is_some_and(elsewhere) {
            tracing::warn!(
                "a browser brought the answer for account {user} to another account's redirect address; it is not used"
            );
            return Outcome::Unknown;
        }
        // Before anything of it is used, an error included (RFC 9207 section 2.4).
        if let Err(why) = prove_answer(&consent.question, answer.issuer.as_deref()) {
            tracing::warn!("account {user}: {why}");
            let account = consent.account().to_owned();
            return Outcome::Failed { account, why };
        }
        let Some(consent) = self.consents.take(&answer.state) else {
            return Outcome::Unknown;
        };
        let (this, asked) = (Arc::clone(self), Arc::clone(&consent));
        self.to_the_end(consent, async move {
            let tokens = this.redeem(&asked, answer).await?;
            this.receive(&asked, tokens).await
        })
        .await
    }

    /// Does what ends a consent, even if whoever waits for the outcome leaves, and words the outcome.
    pub(super) async fn to_the_end(
        self: &Arc<Self>,
        consent: Arc<Consent>,
        work: impl Future<Output = Result<Received, Refusal>> + Send + 'static,
    ) -> Outcome {
        let (told, hears) = tokio::sync::oneshot::channel();
        let (this, asked) = (Arc::clone(self), Arc::clone(&consent));
        self.underway(async move {
            let received = work.await;
            if let Err(refusal) = &received {
                this.note_failure(&asked, refusal.diagnosis(&asked.settings.known()));
            }
            this.consents.settle(&asked, &received);
            told.send(received).ok();
        });
        let account = consent.account().to_owned();
        match hears.await {
            Ok(Ok(Received::Stored)) => Outcome::Authorised { account },
            Ok(Ok(Received::Held(doubt))) => Outcome::Differs {
                account,
                signed_in: doubt.signed_in,
                confirm: doubt.confirm,
            },
            Ok(Err(refusal)) => Outcome::Failed {
                account,
                why: match refusal {
                    Refusal::ConsentRefused(said)
                    | Refusal::TokenRefused(said)
                    | Refusal::TokenUnavailable(said) => said,
                    other => Said::new(other.to_string()),
                },
            },
            Err(_) => Outcome::Failed {
                account,
                why: Said::new("the sign-in broke off"),
            },
        }
    }

    /// Turns an answer into tokens.
    async fn redeem(
        self: &Arc<Self>,
        consent: &Arc<Consent>,
        answer: Answer,
    ) -> Result<Tokens, Refusal> {
        let name = consent.account();
        let user = Said::new(name);
        let code = match (answer.error, answer.code) {
            (Some(error), _) => {
                let description = answer.error_description.unwrap_or_default();
                let why = of_browser(error.as_str(), description.as_str());
                let why = why.for_case(&consent.settings.known());
                tracing::warn!(
                    "Authorisation result error for account {user} - aborting login. {why}"
                );
                return Err(Refusal::ConsentRefused(why));
            }
            (None, Some(code)) if !code.reveal().is_empty() => code,
            _ => {
                let why = "the answer has neither code nor error message";
                tracing::warn!(
                    "Authorisation result error for account {user} - aborting login. {why}"
                );
                return Err(Refusal::ConsentRefused(Said::new(why)));
            }
        };
        let account = self.account(name).map_err(|_| gone())?;
        let secret = account.state().application_secret(None)?;
        let grant = Grant::Code {
            code,
            redirect_uri: consent.question.redirect_uri.clone(),
            verifier: consent.question.verifier.clone(),
            issuer: answer.issuer,
        };
        let world = self.world();
        let asking = world.source.ask(&consent.settings, secret.as_ref(), &grant);
        asking.await.map_err(|error| {
            tracing::warn!(
                "Authorisation result error for account {user} - aborting login. {error}"
            );
            match error {
                Error::GrantDead(said) => Refusal::ConsentRefused(said),
                other => refusal(other),
            }
        })
    }

    /// Takes an address that a person pasted.
    pub(super) async fn take_pasted(self: &Arc<Self>, text: &str) -> Result<Outcome, String> {
        let (place, answer) = read_pasted(text)?;
        if let (Some(place), Some(consent)) = (place, self.consents.peek(&answer.state)) {
            let wanted = consent.question.redirect_uri.as_deref().and_then(place_of);
            if wanted.is_some_and(|wanted| wanted != place) {
                return Err(format!(
                    "this is not the address the provider sends people back to; it should begin with {}",
                    consent.question.redirect_uri.as_deref().unwrap_or_default()
                ));
            }
        }
        Ok(self.take_answer(answer).await)
    }
}

/// The refusal for a consent whose account is no longer what it was.
pub(super) fn gone() -> Refusal {
    Refusal::Misconfigured(
        "the account's configuration changed while its sign-in was pending".into(),
    )
}

/// Host with port, and path: what two addresses of the same place share whatever their scheme.
type Place = (String, String);

/// Reads a pasted address, or only its query.
fn read_pasted(text: &str) -> Result<(Option<Place>, Answer), String> {
    let text = text.trim().trim_matches(['"', '\'', '<', '>']);
    if text.len() > 32 * 1024 {
        return Err("the pasted text is too long for an address".into());
    }
    let (before, query) = match text.split_once('?') {
        Some((before, query)) => (Some(before), query),
        None => (None, text),
    };
    let query = query.split('#').next().unwrap_or_default();
    let mut answer = Answer::default();
    let mut seen = Vec::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if ["state", "code", "error", "error_description", "iss"].contains(&&*key) {
            if seen.contains(&key) {
                return Err(format!("the address says {key} twice"));
            }
            seen.push(key.clone());
        }
        match &*key {
            "state" => answer.state = value.into_owned(),
            "code" => answer.code = Some(Secret::new(value.into_owned())),
            "error" => answer.error = Some(Said::new(&*value)),
            "error_description" => answer.error_description = Some(Said::new(&*value)),
            "iss" => answer.issuer = Some(value.into_owned()),
            _ => {}
        }
    }
    if answer.state.is_empty() || (answer.code.is_none() && answer.error.is_none()) {
        return Err(
            "no code and state in it; paste the whole address that the browser shows at the end of the sign-in"
                .into(),
        );
    }
    let place = before.filter(|text| !text.is_empty()).and_then(place_of);
    Ok((place, answer))
}

/// Returns the place of an address; its scheme may be anything or missing.
fn place_of(address: &str) -> Option<Place> {
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    let url = Url::parse(&format!("http://{bare}")).ok()?;
    let host = match url.host_str()? {
        "127.0.0.1" | "[::1]" => "localhost",
        other => other,
    };
    // Port 443 and port 80 are what no port means, with one scheme or the other.
    let port = url.port().filter(|port| *port != 443);
    let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Some((host, url.path().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_addresses_are_read_in_all_their_forms() {
        for text in [
            "http://localhost:8825/?code=a%2Fb%252B&state=s",
            " https://localhost:8825?state=s&code=a%2Fb%252B#frag \n",
            "localhost:8825/?session_state=x&code=a%2Fb%252B&state=s",
            "code=a%2Fb%252B&state=s",
            "?code=a%2Fb%252B&state=s",
            "<http://localhost:8825/?code=a%2Fb%252B&state=s>",
        ] {
            let (place, answer) = read_pasted(text).unwrap();
            assert_eq!(answer.state, "s", "{text}");
            // Decoded once, not twice.
            assert_eq!(answer.code.unwrap().reveal(), "a/b%2B", "{text}");
            if let Some(place) = place {
                assert_eq!(Some(place), place_of("http://localhost:8825"), "{text}");
            }
        }
        for bad in [
            "",
            "http://localhost/",
            "code=a",
            "state=s",
            "code=a&code=b&state=s",
            "code=a&state=s&state=t",
        ] {
            assert!(read_pasted(bad).is_err(), "{bad}");
        }
        let (_, answer) =
            read_pasted("http://x/?error=access_denied&error_description=no%0d%0aBAD&state=s")
                .unwrap();
        assert_eq!(answer.error_description.unwrap().as_str(), "no BAD");
    }

    #[test]
    fn places_are_compared_loosely() {
        let same = |a, b| place_of(a) == place_of(b);
        assert!(same("http://localhost", "https://localhost/"));
        assert!(same("http://127.0.0.1:8825/cb/", "localhost:8825/cb"));
        assert!(same(
            "https://proxy.example.org/cb",
            "http://PROXY.example.org:443/cb"
        ));
        assert!(!same("http://localhost:8825", "http://localhost:8826"));
        assert!(!same("http://localhost/cb", "http://localhost/other"));
        assert!(!same("http://localhost", "http://example.org"));
    }
}
