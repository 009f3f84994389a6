//! A browser at the page: raw requests, one cookie, and forms that are sent back as they came.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::form_urlencoded::Serializer;

use super::client::PATIENCE;
use super::daemon::Proxy;

/// A browser that has the page open.
pub struct Browser {
    /// Where the page is.
    pub at: SocketAddr,
    /// What it sends as its cookie.
    pub cookie: String,
}

impl Browser {
    /// Goes through the link and keeps the cookie.
    pub async fn open(proxy: &Proxy) -> Self {
        let page = proxy.daemon.page.as_ref().expect("there is no page");
        let link = url::Url::parse(&page.link()).unwrap();
        let at = link.socket_addrs(|| None).unwrap()[0];
        let target = format!("{}?{}", link.path(), link.query().unwrap());
        let answer = raw(at, &format!("GET {target} HTTP/1.1\nHost: {at}\n\n")).await;
        assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
        let cookie = header(&answer, "set-cookie").expect("no cookie");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { at, cookie }
    }

    /// Fetches something.
    pub async fn get(&self, target: &str) -> String {
        let (at, cookie) = (self.at, &self.cookie);
        raw(
            at,
            &format!("GET {target} HTTP/1.1\nHost: {at}\nCookie: {cookie}\n\n"),
        )
        .await
    }

    /// Sends a form as the page would, with a fresh value of its own.
    pub async fn post(&self, target: &str, fields: &[(&str, &str)]) -> String {
        let value = value(&self.get("/").await);
        let mut form = Serializer::new(String::new());
        form.append_pair("value", &value);
        form.extend_pairs(fields);
        let origin = format!("Origin: http://{}\n", self.at);
        self.send(target, &form.finish(), &origin).await
    }

    /// Sends a form with these header lines.
    pub async fn send(&self, target: &str, form: &str, headers: &str) -> String {
        let (at, cookie) = (self.at, &self.cookie);
        raw(
            at,
            &format!(
                "POST {target} HTTP/1.1\nHost: {at}\nCookie: {cookie}\n{headers}Content-Type: \
                 application/x-www-form-urlencoded\nContent-Length: {}\n\n{form}",
                form.len()
            ),
        )
        .await
    }
}

/// Returns the value of the first form of a page.
pub fn value(page: &str) -> String {
    let rest = page.split_once("name=\"value\" value=\"").expect(page).1;
    rest.split_once('"').unwrap().0.to_owned()
}

/// Returns a header of an answer.
pub fn header(answer: &str, name: &str) -> Option<String> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// Sends a request and returns all that comes back.
pub async fn raw(at: SocketAddr, request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap();
    let whole = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
    let mut stream = TcpStream::connect(at).await.unwrap();
    drop(stream.write_all(whole.as_bytes()).await);
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    drop(read.expect("the connection stays open"));
    String::from_utf8_lossy(&answer).into_owned()
}
