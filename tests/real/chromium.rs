//! A real browser: headless Chromium, driven over `WebDriver` by plain requests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::installed;
use crate::log::until_listening;
use crate::ports;

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// A browser with one window.
pub(crate) struct Chromium {
    http: Client,
    session: String,
    _daemon: Daemon,
}

impl Chromium {
    /// Starts it with a profile of its own below `folder`.
    pub(crate) async fn start(folder: &Path) -> Self {
        let port = ports::free();
        let mut command = installed::command("chromedriver");
        command.arg(format!("--port={port}"));
        let daemon = Daemon::start("chromedriver", &command, &folder.join("chromedriver.log"));
        until_listening("chromedriver", &[port]).await;
        let http = Client::builder().no_proxy().build().unwrap();
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &profile,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
        }}});
        let root = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&root).json(&wanted).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no browser: {answer}"));
        Self {
            session: format!("{root}/{id}"),
            http,
            _daemon: daemon,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("{}/{path}", self.session);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{path}: {error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    /// Goes to an address.
    pub(crate) async fn visit(&self, url: &str) {
        self.post("url", json!({ "url": url })).await.unwrap();
    }

    /// Runs a script and returns what it returns.
    pub(crate) async fn script(&self, text: &str) -> Value {
        let body = json!({"script": text, "args": []});
        self.post("execute/sync", body).await.unwrap_or_default()
    }

    /// Waits until the page holds these words.
    pub(crate) async fn sees(&self, words: &str) {
        let begun = Instant::now();
        loop {
            let text = self
                .script("return document.body ? document.body.innerText : ''")
                .await;
            if text.as_str().is_some_and(|text| text.contains(words)) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{words} is not on the page: {text}"
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Presses what a selector finds.
    pub(crate) async fn press(&self, selector: &str) {
        let begun = Instant::now();
        loop {
            let id = self.find(selector).await;
            let pressed = self.post(&format!("element/{id}/click"), json!({})).await;
            match pressed {
                Ok(_) => return,
                // The page shows itself anew whenever something changes.
                Err(why) => assert!(
                    (why.contains("stale") || why.contains("does not belong to the document"))
                        && begun.elapsed() < PATIENCE,
                    "{selector}: {why}"
                ),
            }
        }
    }

    /// Types into what a selector finds, in place of what stands there.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let id = self.find(selector).await;
        self.post(&format!("element/{id}/clear"), json!({}))
            .await
            .unwrap();
        let path = format!("element/{id}/value");
        self.post(&path, json!({ "text": text })).await.unwrap();
    }

    async fn find(&self, selector: &str) -> String {
        let begun = Instant::now();
        loop {
            let body = json!({"using": "css selector", "value": selector});
            let found = self.post("element", body).await;
            match found {
                Ok(found) => {
                    let mut ids = found.as_object().unwrap().values();
                    return ids.next().unwrap().as_str().unwrap().to_owned();
                }
                Err(why) => assert!(begun.elapsed() < PATIENCE, "{why}"),
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Makes the window this large, in pixels, and its colours light or dark.
    pub(crate) async fn shape(&self, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        for (cmd, params) in [
            (
                "Emulation.setDeviceMetricsOverride",
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
            ),
            (
                "Emulation.setEmulatedMedia",
                json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
            ),
        ] {
            let body = json!({"cmd": cmd, "params": params});
            self.post("goog/cdp/execute", body).await.unwrap();
        }
    }

    /// Keeps a picture of the window in the build's folder, for people to look at.
    pub(crate) async fn picture(&self, name: &str) {
        let url = format!("{}/screenshot", self.session);
        let answer: Value = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let bytes = STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../real/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Ends the browser.
    pub(crate) async fn close(self) {
        self.http.delete(&self.session).send().await.ok();
    }
}
