//! Postfix as the relay of somebody's network, with the program as its smarthost.

use tokio::process::Command;

use crate::client;
use crate::desk::Desk;
use crate::log::until;
use crate::postfix::Postfix;
use crate::{PASSWORD, USER};

#[tokio::test]
async fn postfix_relays_through_the_program() {
    let Some(desk) = Desk::set(&["sendmail"]).await else {
        return;
    };
    let relay =
        Postfix::smarthost_client(desk.stage.folder(), desk.proxy.smtp(), USER, PASSWORD).await;
    for _ in 0..3 {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail
            .arg("-C")
            .arg(relay.configuration())
            .args(["-i", "-f", USER, USER]);
        client::feed("sendmail", &mut sendmail, &desk.message).await;
    }
    desk.arrived(3).await;
    // The relay writes its log after the delivery that we saw first.
    let sent = || (relay.log().text().matches("status=sent").count() == 3).then_some(());
    until("three deliveries in the relay's log", sent).await;
    assert!(
        !relay.log().text().contains("status=deferred"),
        "a delivery had to be repeated"
    );
}
