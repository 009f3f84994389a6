//! What the page's forms do: begin a sign-in, say who is meant, take a pasted address, leave.
//!
//! Each comes from our own page with a value that is good once. A password is for the account it stands beside; it is
//! neither logged nor kept longer than the sign-in lasts.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{Page, foreign, see};
use crate::accounts::{Accounts, Caller, Outcome, Pending};
use crate::refusal::Refusal;
use crate::said::Said;
use crate::secret::{Password, Secret};
use crate::web::Ears;
use crate::web::callback::show_when_done;
use crate::web::exchange::Asked;
use crate::web::pages::page_that_goes_on;

/// The longest name of an account, in bytes.
const LONGEST_NAME: usize = 320;

/// How long a password is given to turn out wrong where a sign-in is asked for already.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// What a form says.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// The value that is good once.
    value: String,
    /// The account it is about.
    account: String,
    /// A password.
    pub(super) password: Option<Secret<String>>,
    /// The value to confirm with.
    confirm: String,
    /// Whether somebody is meant.
    answer: Option<bool>,
    /// A pasted address.
    address: String,
}

/// How a sign-in began.
enum Begun {
    /// Somebody is asked to sign in.
    Asked(Box<Pending>),
    /// Nobody need be: there are good tokens, and the password fits them.
    Done,
}

impl Page {
    /// Takes a form.
    pub(super) async fn take(
        &self,
        asked: &Asked,
        path: &str,
        cookie: &str,
        ears: &Ears,
    ) -> Response<String> {
        let Some(form) = read(&asked.body).filter(|_| self.is_own_form(asked)) else {
            return foreign();
        };
        if !self.access.spend(cookie, &form.value) {
            return foreign();
        }
        let way = self.home.url();
        match path {
            "/sign-in" => self.sign_in(cookie, form).await,
            "/answer" => {
                let confirm = &ears.confirm;
                let Some(yes) = form.answer else {
                    return foreign();
                };
                show_when_done(confirm(form.confirm, yes), Some(&way)).await
            }
            "/paste" => {
                let accounts = Arc::clone(&self.office.accounts);
                let address = form.address;
                let pasted = tokio::spawn(async move { accounts.finish_pasted(&address).await });
                match pasted.await {
                    Ok(Ok(outcome)) => show_when_done(async { outcome }, Some(&way)).await,
                    Ok(Err(why)) => self.sign_in_page(cookie, &form.account, Some(&why)),
                    Err(_) => show_when_done(async { Outcome::Unknown }, Some(&way)).await,
                }
            }
            "/leave" => {
                self.access.end(cookie);
                see("./")
            }
            _ => foreign(),
        }
    }

    /// Begins a sign-in and leads the browser to where it goes on.
    async fn sign_in(&self, cookie: &str, form: Form) -> Response<String> {
        let name = form.account;
        if name.len() > LONGEST_NAME {
            return foreign();
        }
        let password = form
            .password
            .filter(|password| !password.reveal().is_empty());
        let password = password.map(|text| Secret::new(text.reveal().as_bytes().to_vec()));
        tracing::info!(
            "the page asks to sign in account {}",
            self.office.accounts.shown(&name)
        );
        let begun = match password {
            None => self.office.accounts.begin(&name).await.map(asked),
            Some(password) => begin_with(&self.office.accounts, &name, password).await,
        };
        let here = format!(
            "sign-in?{}",
            form_urlencoded::Serializer::new(String::new())
                .append_pair("account", &name)
                .finish()
        );
        match begun {
            // A device code is typed in elsewhere, and some returns are heard by nobody.
            Ok(Begun::Asked(pending))
                if pending.code.is_some() || pending.doubt.is_some() || !pending.listen =>
            {
                see(&here)
            }
            Ok(Begun::Asked(pending)) => page_that_goes_on(
                "Going to your provider",
                &[format!(
                    "Sign in for {}. Afterwards the browser comes back by itself.",
                    Said::new(&name)
                )],
                &pending.url,
            ),
            Ok(Begun::Done) => see(&here),
            Err(refusal) => {
                let mut shown = self.sign_in_page(cookie, &name, Some(&refusal.to_string()));
                *shown.status_mut() = StatusCode::CONFLICT;
                shown
            }
        }
    }
}

fn asked(pending: Pending) -> Begun {
    Begun::Asked(Box::new(pending))
}

/// Begins a sign-in whose tokens a password seals. It waits as a mail program would that brings the password, so that a wrong
/// one changes nothing.
async fn begin_with(
    accounts: &Arc<Accounts>,
    name: &str,
    password: Password,
) -> Result<Begun, Refusal> {
    let mut pending = accounts.pending();
    let of = |all: &Vec<Pending>| all.iter().find(|one| one.account == name).cloned();
    let before = of(&pending.borrow_and_update());
    let (told, mut hears) = oneshot::channel();
    let (logging_in, account) = (Arc::clone(accounts), name.to_owned());
    tokio::spawn(async move {
        let done = logging_in.token(&account, &password, &Caller::OWNER).await;
        told.send(done.map(|_| ())).ok();
    });
    let ended = |done: Result<Result<(), Refusal>, oneshot::error::RecvError>| match done {
        Ok(Ok(())) => Ok(Begun::Done),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::Misconfigured("the sign-in broke off".into())),
    };
    if let Some(before) = before {
        return match timeout(SECOND_LOOK, &mut hears).await {
            Ok(done) => ended(done),
            Err(_) => Ok(asked(before)),
        };
    }
    tokio::select! {
        biased;
        done = &mut hears => ended(done),
        now = pending.wait_for(|all| of(all).is_some()) => {
            let now = now.ok().and_then(|all| of(&all));
            now.map(asked).ok_or(Refusal::ShuttingDown)
        }
    }
}

/// Reads a form; nothing where it says something twice or what no form of ours says.
pub(super) fn read(body: &[u8]) -> Option<Form> {
    let mut form = Form::default();
    let mut seen = Vec::new();
    for (key, text) in form_urlencoded::parse(body) {
        if seen.contains(&key) {
            return None;
        }
        match key.as_ref() {
            "value" => form.value = text.into_owned(),
            "account" => form.account = text.into_owned(),
            "password" => form.password = Some(Secret::new(text.into_owned())),
            "confirm" => form.confirm = text.into_owned(),
            "answer" => {
                form.answer = match text.as_ref() {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => return None,
                }
            }
            "address" => form.address = text.into_owned(),
            _ => return None,
        }
        seen.push(key);
    }
    Some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_a_form_is_read_whole_or_not_at_all() {
        let form = read(b"value=v&account=a%40b&password=p%26+q&answer=no").unwrap();
        assert_eq!((form.value.as_str(), form.account.as_str()), ("v", "a@b"));
        assert_eq!(form.password.as_ref().unwrap().reveal(), "p& q");
        assert_eq!(form.answer, Some(false));
        assert!(!format!("{form:?}").contains("p& q"));
        for bad in ["value=v&value=w", "value=v&answer=perhaps", "value=v&x=y"] {
            assert!(read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
