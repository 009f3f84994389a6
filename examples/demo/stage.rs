//! The demo's stage: the provider, the proxy in front of it, and the one voice that tells what happens.

use std::io::Write;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::client::Client;
use crate::support::daemon::{Plan, Proxy, free_port, read, visit};
use crate::support::provider::journal::{Entry, Voice};
use crate::support::provider::{Journal, Provider};

/// The mailbox of the demo.
pub const USER: &str = "demo@example.com";

/// The password that the mail client is given. The proxy takes the first one it meets and keeps to it.
pub const PASSWORD: &str = "any-password-you-like";

/// The longest line that is shown whole, in characters.
const WIDTH: usize = 92;

/// What is told: a line, or the wish to know that everything before it was told.
enum Tale {
    Line(String),
    Caught(oneshot::Sender<()>),
}

/// Provider, proxy and narrator.
pub struct Stage {
    provider: Provider,
    proxy: Proxy,
    told: mpsc::UnboundedSender<Tale>,
    journal: Journal,
    narrator: JoinHandle<()>,
    browser: JoinHandle<()>,
}

impl Stage {
    /// Starts everything.
    pub async fn build() -> Self {
        let (told, tales) = mpsc::unbounded_channel();
        let narrator = tokio::spawn(narrate(tales));
        listen_to_log(&told);

        let provider = Provider::start().await;
        let journal = Journal::default();
        for journal in [&provider.world.journal, &journal] {
            let told = told.clone();
            journal.tell(move |entry| drop(told.send(Tale::Line(word(entry)))));
        }
        let plan = Plan::for_provider(&provider).person(&provider, USER, free_port());
        let stage_is = format!(
            "\nThe provider: OAuth2 at http://{}, IMAP at {}, POP at {}, SMTP at {}.\n\
             Its mail servers speak TLS and believe XOAUTH2 and OAUTHBEARER only.\n\n\
             The proxy's configuration file, {}:\n",
            provider.oauth,
            provider.imap,
            provider.pop,
            provider.smtp,
            plan.write().display()
        );
        let say = |text: &str| drop(told.send(Tale::Line(text.to_owned())));
        say(&stage_is);
        for line in read(&plan.write()).lines() {
            say(&format!("    {line}"));
        }
        say("");
        let proxy = plan.start();
        let browser = tokio::spawn(browse(&proxy, told.clone()));
        Self {
            provider,
            proxy,
            told,
            journal,
            narrator,
            browser,
        }
    }

    /// Says something.
    pub fn say(&self, text: impl Into<String>) {
        // The narrator lives as long as the stage.
        drop(self.told.send(Tale::Line(text.into())));
    }

    /// Waits until everything so far was told.
    pub async fn catch_up(&self) {
        let (caught, up) = oneshot::channel();
        drop(self.told.send(Tale::Caught(caught)));
        drop(up.await);
    }

    /// Connects a client to one of the proxy's services; what it says and hears is told.
    pub async fn client(&self, section: &str) -> Client {
        let mut client = Client::plain(self.proxy.at(section)).await;
        client.journal = Some(self.journal.clone());
        client
    }

    /// Tells how to try an own client.
    pub fn invite(&self) {
        let [imap, pop, smtp] = ["IMAP-0", "POP-0", "SMTP-0"].map(|name| self.proxy.at(name));
        self.say(format!(
            "\nThe proxy stays up. Try your own client, without TLS (\"connection security: none\"):\n\n\
             \x20   user      {USER}\n\
             \x20   password  {PASSWORD}\n\
             \x20   SMTP      {smtp}\n\
             \x20   IMAP      {imap}\n\
             \x20   POP       {pop}\n\n\
             Send a mail:\n\n\
             \x20   printf 'Subject: hello\\r\\n\\r\\nHello.\\r\\n' | curl --url smtp://{smtp} --user '{USER}:{PASSWORD}' \\\n\
             \x20       --mail-from {USER} --mail-rcpt {USER} --upload-file -\n\n\
             \x20   swaks --server {smtp} --auth PLAIN --auth-user {USER} --auth-password '{PASSWORD}' \\\n\
             \x20       --from {USER} --to {USER}\n\n\
             Read the mail that just came back, by IMAP and by POP:\n\n\
             \x20   curl --user '{USER}:{PASSWORD}' 'imap://{imap}/INBOX;MAILINDEX=1'\n\
             \x20   curl --user '{USER}:{PASSWORD}' pop3://{pop}/1\n\n\
             Ctrl-C ends it.\n"
        ));
    }

    /// Ends everything.
    pub async fn clear(self) {
        self.browser.abort();
        self.proxy.daemon.stop().await;
        drop(self.provider);
        let (caught, up) = oneshot::channel();
        drop(self.told.send(Tale::Caught(caught)));
        drop(up.await);
        self.narrator.abort();
    }
}

/// Plays the person with the browser: visits every address that the proxy asks for.
fn browse(proxy: &Proxy, told: mpsc::UnboundedSender<Tale>) -> impl Future<Output = ()> + use<> {
    let mut pending = proxy.daemon.accounts.pending();
    async move {
        let mut visited = Vec::new();
        loop {
            let urls: Vec<String> = pending
                .borrow_and_update()
                .iter()
                .map(|pending| pending.url.clone())
                .collect();
            for url in urls {
                if visited.contains(&url) {
                    continue;
                }
                let note = "  browser            (this is where you would sign in; the demo does it for you)";
                drop(told.send(Tale::Line(note.into())));
                let page = visit(&url).await;
                let page = title(&page).unwrap_or("a page without title").to_owned();
                drop(told.send(Tale::Line(format!("  browser            shows: {page}"))));
                visited.push(url);
            }
            if pending.changed().await.is_err() {
                return;
            }
        }
    }
}

fn title(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<title>")?;
    let (title, _) = rest.split_once("</title>")?;
    Some(title.trim())
}

async fn narrate(mut tales: mpsc::UnboundedReceiver<Tale>) {
    while let Some(tale) = tales.recv().await {
        match tale {
            Tale::Line(line) => println!("{line}"),
            Tale::Caught(caught) => drop(caught.send(())),
        }
    }
}

/// Words one line of a hop.
fn word(entry: &Entry) -> String {
    let who = match (entry.hop, entry.voice) {
        ("client", Voice::Client) => "client  > proxy   ",
        ("client", _) => "client  < proxy   ",
        (_, Voice::Client) => "proxy   > provider",
        (_, Voice::Server) => "proxy   < provider",
        (_, Voice::Event) => "provider          ",
    };
    let hop = if entry.hop == "client" { "" } else { entry.hop };
    let text = &entry.text;
    let shown = if text.chars().count() > WIDTH {
        let begin: String = text.chars().take(WIDTH - 30).collect();
        format!("{begin}... ({} bytes)", text.len())
    } else {
        text.clone()
    };
    format!("  {who} {hop:<6} {shown}").trim_end().to_owned()
}

/// Has the proxy's own log told as well.
fn listen_to_log(told: &mpsc::UnboundedSender<Tale>) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .without_time()
        .with_target(false)
        .with_level(false)
        .with_ansi(false)
        .with_writer(Log(Arc::new(told.clone())))
        .finish();
    drop(tracing::subscriber::set_global_default(subscriber));
}

#[derive(Clone)]
struct Log(Arc<mpsc::UnboundedSender<Tale>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        // The span before it repeats what the lines around it show.
        let text = text.split_once("}: ").map_or(&*text, |(_, text)| text);
        let line = format!("  proxy's log        {}", text.trim());
        drop(self.0.send(Tale::Line(line)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
