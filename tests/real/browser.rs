//! A person with a browser: signs in and consents at oidc-provider's own pages.
//!
//! Keeps cookies with their paths and follows redirects by hand, up to the one that leads back to the program.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

/// Visits the sign-in address as `user`, consents, and returns the address to which the browser is sent back.
pub(crate) async fn consent(sign_in: &str, user: &str) -> Url {
    let mut browser = Browser::default();
    let mut at = Url::parse(sign_in).unwrap();
    let provider = at.origin();
    let mut form: Option<Vec<(&str, &str)>> = None;
    for _ in 0..20 {
        let answer = browser.open(&at, form.take().as_deref()).await;
        if answer.status().is_redirection() {
            let location = answer.headers().get(LOCATION).unwrap().to_str().unwrap();
            at = at.join(location).unwrap();
            if at.origin() != provider {
                return at;
            }
            continue;
        }
        let status = answer.status();
        let page = answer.text().await.unwrap();
        form = Some(if page.contains(r#"name="prompt" value="login""#) {
            vec![
                ("prompt", "login"),
                ("login", user),
                ("password", "at-the-provider"),
            ]
        } else if page.contains(r#"name="prompt" value="consent""#) {
            vec![("prompt", "consent")]
        } else {
            panic!("neither sign-in nor consent at {at}: {status}: {page}");
        });
    }
    panic!("the sign-in never ended");
}

/// Visits the address where a device code is approved, as `user`, and returns the last page.
pub(crate) async fn approve(address: &str, user: &str) -> String {
    let mut browser = Browser::default();
    let mut at = Url::parse(address).unwrap();
    let mut form: Option<Vec<(String, String)>> = None;
    for _ in 0..20 {
        let fields = form.take();
        let fields: Option<Vec<(&str, &str)>> = fields.as_ref().map(|fields| {
            fields
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect()
        });
        let answer = browser.open(&at, fields.as_deref()).await;
        if answer.status().is_redirection() {
            let location = answer.headers().get(LOCATION).unwrap().to_str().unwrap();
            at = at.join(location).unwrap();
            continue;
        }
        let page = answer.text().await.unwrap();
        let own = |fields: &[(&str, &str)]| {
            let fields = fields.iter();
            Some(
                fields
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            )
        };
        form = if page.contains(r#"name="prompt" value="login""#) {
            own(&[("prompt", "login"), ("login", user), ("password", "x")])
        } else if page.contains(r#"name="prompt" value="consent""#) {
            own(&[("prompt", "consent")])
        } else if page.contains(r#"name="xsrf""#) {
            at = at.join(attribute(&page, "action").unwrap()).unwrap();
            Some(hidden(&page))
        } else {
            return page;
        };
    }
    panic!("the approval never ended");
}

/// Returns the hidden fields of a page's form.
fn hidden(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input").skip(1);
    inputs
        .filter_map(|input| {
            let input = input.split_once('>')?.0;
            let name = attribute(input, "name")?.to_owned();
            Some((name, attribute(input, "value")?.to_owned()))
        })
        .collect()
}

/// Returns the first attribute of that name.
fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(&format!("{name}=\""))?.1;
    Some(rest.split_once('"')?.0)
}

/// Visits the sign-in address, consents, goes where the browser is sent, and returns the page shown there.
pub(crate) async fn consent_and_return(sign_in: &str, user: &str) -> String {
    let back = consent(sign_in, user).await;
    let answer = reqwest::get(back)
        .await
        .expect("the program hears the browser's return");
    answer.text().await.unwrap()
}

/// Visits the sign-in address, declines there, goes where the browser is sent, and returns the page shown there.
pub(crate) async fn decline_and_return(sign_in: &str) -> String {
    let mut browser = Browser::default();
    let mut at = Url::parse(sign_in).unwrap();
    let provider = at.origin();
    while at.origin() == provider {
        let answer = browser.open(&at, None).await;
        at = if answer.status().is_redirection() {
            let location = answer.headers().get(LOCATION).unwrap().to_str().unwrap();
            at.join(location).unwrap()
        } else {
            // The page's "cancel" leads here.
            at.join(&format!("{}/abort", at.path())).unwrap()
        };
    }
    let answer = reqwest::get(at)
        .await
        .expect("the program hears the browser's return");
    answer.text().await.unwrap()
}

#[derive(Default)]
struct Browser {
    cookies: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    path: String,
}

impl Browser {
    /// Fetches a page, or posts a form to it.
    async fn open(&mut self, url: &Url, form: Option<&[(&str, &str)]>) -> Response {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let request = match form {
            Some(fields) => client.post(url.clone()).form(fields),
            None => client.get(url.clone()),
        };
        let sent: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| url.path().starts_with(&cookie.path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        let answer = request
            .header(COOKIE, sent.join("; "))
            .send()
            .await
            .unwrap();
        for header in answer.headers().get_all(SET_COOKIE) {
            self.keep(header.to_str().unwrap());
        }
        answer
    }

    fn keep(&mut self, header: &str) {
        let mut parts = header.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let mut path = "/";
        for part in parts {
            if let Some((key, value)) = part.split_once('=')
                && key.eq_ignore_ascii_case("path")
            {
                path = value;
            }
        }
        self.cookies
            .retain(|cookie| (cookie.name.as_str(), cookie.path.as_str()) != (name, path));
        // The provider deletes a cookie by emptying it.
        if !value.is_empty() {
            self.cookies.push(Cookie {
                name: name.to_owned(),
                value: value.to_owned(),
                path: path.to_owned(),
            });
        }
    }
}
