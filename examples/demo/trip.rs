//! The mail's round trip: out by SMTP, back by IMAP and by POP, and compared.

use crate::stage::{PASSWORD, Stage, USER};
use crate::support::client::{mail, plain_response};

/// Makes the trip and returns whether the mail came back unchanged both times.
pub async fn make(stage: &Stage) -> bool {
    let letter = mail("A letter that takes the long way", 1_500);

    stage.say("1. A mail goes out through plain SMTP, with user and password\n");
    send(stage, &letter).await;
    stage.catch_up().await;

    stage.say("\n2. It is read back through plain IMAP\n");
    let by_imap = read_by_imap(stage).await;
    stage.catch_up().await;

    stage.say("\n3. And through plain POP\n");
    let by_pop = read_by_pop(stage).await;
    stage.catch_up().await;

    stage.say("");
    let mut unchanged = true;
    for (name, got) in [("IMAP", by_imap), ("POP", by_pop)] {
        let same = got == letter;
        unchanged &= same;
        stage.say(format!(
            "The mail read by {name} is {} ({} bytes sent, {} read).",
            if same { "unchanged" } else { "DIFFERENT" },
            letter.len(),
            got.len()
        ));
    }
    unchanged
}

async fn send(stage: &Stage, letter: &[u8]) {
    let mut client = stage.client("SMTP-0").await;
    client.line().await;
    client.smtp("EHLO client.example.org").await;
    let response = plain_response(USER, PASSWORD);
    let said = client.smtp(&format!("AUTH PLAIN {response}")).await;
    assert!(said[0].starts_with("235"), "the login failed: {said:?}");
    let said = client.send_mail(USER, &[USER], letter).await;
    assert!(said.starts_with("250"), "the mail was refused: {said}");
    client.smtp("QUIT").await;
    client.rest().await;
}

async fn read_by_imap(stage: &Stage) -> Vec<u8> {
    let mut client = stage.client("IMAP-0").await;
    client.line().await;
    let said = client.imap(&format!("LOGIN {USER} {PASSWORD}")).await;
    let last = said.last().map(String::as_str).unwrap_or_default();
    assert!(last.starts_with("OK"), "the login failed: {said:?}");
    client.imap("SELECT INBOX").await;
    let letter = client.imap_body(1).await;
    client.imap("LOGOUT").await;
    client.rest().await;
    letter
}

async fn read_by_pop(stage: &Stage) -> Vec<u8> {
    let mut client = stage.client("POP-0").await;
    client.line().await;
    client.ask(&format!("USER {USER}")).await;
    let said = client.ask(&format!("PASS {PASSWORD}")).await;
    assert!(said.starts_with("+OK"), "the login failed: {said}");
    let letter = client.pop_body(1).await;
    client.ask("QUIT").await;
    client.rest().await;
    letter
}
