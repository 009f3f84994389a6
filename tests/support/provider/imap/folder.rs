//! The pretend IMAP server behind the login: folders, messages, flags, IDLE.

use std::sync::Arc;

use super::super::World;
use super::super::mailbox::Mail;
use super::super::talk::Talk;
use super::fetch;
use super::words::{self, Command};

/// A user's session.
struct Session<'a> {
    talk: Talk,
    world: &'a World,
    user: &'a str,
    /// The folder that is selected.
    folder: Option<String>,
    /// How many messages the client was told of.
    told: usize,
}

/// Serves a user who is logged in.
pub async fn serve(talk: Talk, world: &Arc<World>, user: &str) {
    let mut session = Session {
        talk,
        world,
        user,
        folder: None,
        told: 0,
    };
    while let Some(command) = words::hear(&mut session.talk).await {
        let verb = command.verb.clone();
        if session.obey(&command).await.is_none() {
            return;
        }
        if verb == "LOGOUT" {
            session.talk.hang_up().await;
            return;
        }
    }
}

impl Session<'_> {
    async fn obey(&mut self, command: &Command) -> Option<()> {
        let tag = &command.tag;
        match command.verb.as_str() {
            "CAPABILITY" => {
                let offer = super::offer(self.world, &self.talk, Some(self.user));
                self.talk.put(&format!("* CAPABILITY {offer}")).await?;
            }
            "NOOP" | "CHECK" => self.tell().await?,
            "LOGOUT" => self.talk.put("* BYE pretend IMAP signs off").await?,
            "NAMESPACE" => {
                let line = r#"* NAMESPACE (("" "/")) NIL NIL"#;
                self.talk.put(line).await?;
            }
            "LIST" | "LSUB" => {
                let verb = &command.verb;
                if command.text(1).is_empty() {
                    self.talk
                        .put(&format!(r#"* {verb} (\Noselect) "/" """#))
                        .await?;
                } else {
                    for folder in ["INBOX", "Sent"] {
                        let line = format!(r#"* {verb} (\HasNoChildren) "/" "{folder}""#);
                        self.talk.put(&line).await?;
                    }
                }
            }
            "SELECT" | "EXAMINE" => return self.select(command).await,
            "STATUS" => {
                let folder = command.text(0);
                let count = self.world.mailboxes.look(self.user, &folder).len();
                let line = format!(
                    "* STATUS \"{folder}\" (MESSAGES {count} UNSEEN {count} RECENT 0 UIDNEXT {} UIDVALIDITY 1)",
                    count + 1
                );
                self.talk.put(&line).await?;
            }
            "CLOSE" | "UNSELECT" => self.folder = None,
            "ID" | "CREATE" | "SUBSCRIBE" | "UNSUBSCRIBE" | "ENABLE" => {}
            "APPEND" => {
                let content = command.words.last().cloned().unwrap_or_default();
                let flags = command.text(1);
                let flags = if command.words.len() > 2 && flags.starts_with('(') {
                    group(&flags)
                } else {
                    Vec::new()
                };
                let folder = command.text(0);
                let uid = self
                    .world
                    .mailboxes
                    .put(self.user, &folder, Arc::new(content), flags);
                let line = format!("{tag} OK [APPENDUID 1 {uid}] APPEND completed.");
                return self.talk.say(&line).await;
            }
            "SEARCH" => {
                let numbers: Vec<String> = self
                    .mail()
                    .iter()
                    .enumerate()
                    .map(|(at, mail)| number(command, at, mail))
                    .collect();
                let line = format!("* SEARCH {}", numbers.join(" "));
                self.talk.put(line.trim_end()).await?;
            }
            "FETCH" => self.fetch(command).await?,
            "STORE" => self.store(command).await?,
            "EXPUNGE" => self.expunge().await?,
            "IDLE" => self.idle().await?,
            verb => {
                let line = format!("{tag} BAD Command Error. 12 ({verb})");
                return self.talk.say(&line).await;
            }
        }
        self.talk
            .say(&format!("{tag} OK {} completed.", command.verb))
            .await
    }

    fn mail(&self) -> Vec<Mail> {
        let folder = self.folder.as_deref().unwrap_or_default();
        self.world.mailboxes.look(self.user, folder)
    }

    /// Tells of mail that came since.
    async fn tell(&mut self) -> Option<()> {
        let count = self.mail().len();
        if self.folder.is_some() && count != self.told {
            self.told = count;
            self.talk.put(&format!("* {count} EXISTS")).await?;
        }
        Some(())
    }

    async fn select(&mut self, command: &Command) -> Option<()> {
        self.folder = Some(command.text(0));
        let mail = self.mail();
        self.told = mail.len();
        let next = mail.last().map_or(1, |last| last.uid + 1);
        let access = if command.verb == "EXAMINE" {
            "READ-ONLY"
        } else {
            "READ-WRITE"
        };
        for line in [
            format!("* {} EXISTS", mail.len()),
            "* 0 RECENT".into(),
            r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)".into(),
            r"* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft)] these stay".into(),
            "* OK [UIDVALIDITY 1] UIDs are good".into(),
            format!("* OK [UIDNEXT {next}] the next UID"),
        ] {
            self.talk.put(&line).await?;
        }
        let line = format!("{} OK [{access}] {} completed.", command.tag, command.verb);
        self.talk.say(&line).await
    }

    async fn fetch(&mut self, command: &Command) -> Option<()> {
        let mail = self.mail();
        let items = fetch::items(&command.text(1), command.by_uid);
        for at in chosen(command, &mail) {
            if items.iter().any(fetch::Item::marks_seen) {
                self.flag(at, |flags| add(flags, "\\Seen"));
            }
            let answer = fetch::answer(at + 1, &self.mail()[at], &items);
            self.talk.send(&answer).await?;
        }
        Some(())
    }

    async fn store(&mut self, command: &Command) -> Option<()> {
        let how = command.text(1).to_ascii_uppercase();
        let wanted = group(&command.text(2));
        for at in chosen(command, &self.mail()) {
            self.flag(at, |flags| {
                if how.starts_with('-') {
                    flags.retain(|flag| !wanted.contains(flag));
                } else {
                    if !how.starts_with('+') {
                        flags.clear();
                    }
                    for flag in &wanted {
                        add(flags, flag);
                    }
                }
            });
            if !how.ends_with(".SILENT") {
                let flags = self.mail()[at].flags.join(" ");
                let line = format!("* {} FETCH (FLAGS ({flags}))", at + 1);
                self.talk.put(&line).await?;
            }
        }
        Some(())
    }

    fn flag(&self, at: usize, change: impl FnOnce(&mut Vec<String>)) {
        let folder = self.folder.as_deref().unwrap_or_default();
        self.world.mailboxes.change(self.user, folder, |mail| {
            change(&mut mail[at].flags);
        });
    }

    async fn expunge(&mut self) -> Option<()> {
        let mail = self.mail();
        let gone: Vec<usize> = (0..mail.len())
            .rev()
            .filter(|&at| mail[at].flags.iter().any(|flag| flag == "\\Deleted"))
            .collect();
        let folder = self.folder.clone().unwrap_or_default();
        self.world.mailboxes.change(self.user, &folder, |mail| {
            for &at in &gone {
                mail.remove(at);
            }
        });
        for at in gone {
            self.told -= 1;
            self.talk.put(&format!("* {} EXPUNGE", at + 1)).await?;
        }
        Some(())
    }

    async fn idle(&mut self) -> Option<()> {
        let mut changed = self.world.mailboxes.watch();
        self.talk.say("+ idling").await?;
        loop {
            self.tell().await?;
            self.talk.flush().await?;
            tokio::select! {
                line = self.talk.line() => {
                    return line.filter(|line| line.eq_ignore_ascii_case("DONE")).map(drop);
                }
                news = changed.changed() => news.ok()?,
            }
        }
    }
}

fn add(flags: &mut Vec<String>, flag: &str) {
    if !flags.iter().any(|other| other == flag) {
        flags.push(flag.to_owned());
    }
}

fn group(text: &str) -> Vec<String> {
    text.trim_matches(['(', ')'])
        .split_whitespace()
        .map(ToOwned::to_owned)
        .collect()
}

fn number(command: &Command, at: usize, mail: &Mail) -> String {
    if command.by_uid {
        mail.uid.to_string()
    } else {
        (at + 1).to_string()
    }
}

/// Finds the messages that a sequence set names, as indexes.
fn chosen(command: &Command, mail: &[Mail]) -> Vec<usize> {
    let set = command.text(0);
    let last = if command.by_uid {
        mail.last().map_or(0, |mail| mail.uid as usize)
    } else {
        mail.len()
    };
    let parse = |text: &str| {
        if text == "*" {
            last
        } else {
            text.parse().unwrap_or(usize::MAX)
        }
    };
    (0..mail.len())
        .filter(|&at| {
            let here = if command.by_uid {
                mail[at].uid as usize
            } else {
                at + 1
            };
            set.split(',').any(|range| {
                let (from, to) = range.split_once(':').unwrap_or((range, range));
                let (from, to) = (parse(from), parse(to));
                (from.min(to)..=from.max(to)).contains(&here)
            })
        })
        .collect()
}
