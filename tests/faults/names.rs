//! A name service that does not answer: who needs no name, or another one, goes on.

use std::net::UdpSocket;

use super::dialogue::converse;
use super::machine::{Machine, OTHER, is_root};
use super::support::client::Client;
use super::{PASSWORD, USER};

/// How many mail programs want to go to the name that hangs.
const CROWD: usize = 200;

#[tokio::test]
async fn a_name_that_is_never_found_keeps_no_other_service_waiting() {
    if !is_root("giving the program a name server of its own") {
        return;
    }
    let (address, server) = mute_name_server();
    let place = tempfile::tempdir().unwrap();
    let resolv = place.path().join("resolv.conf");
    std::fs::write(&resolv, format!("nameserver {address}\n")).unwrap();
    let script = format!(
        "mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"",
        resolv.display()
    );
    let machine = Machine::start_as(
        &["unshare", "-m", "sh", "-c", &script],
        &[],
        |plan, _| {
            plan.section(
                "[POP-1]\nlocal_address = 127.0.0.1\nserver_address = dead.example.org\nserver_port = 995",
            )
            .section(
                "[person@example.net]\ntoken_url = https://dead.example.org/token\noauth2_flow = client_credentials\n\
                 oauth2_scope = x\nclient_id = x\nclient_secret = x",
            )
        },
    )
    .await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let status = machine.ask("status").await.printed;
    let dead = dead_service(&status);
    let threads = machine.status("Threads");
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::plain(dead).await;
                client.line().await;
                client.ask(&format!("USER {USER}")).await;
                client.ask(&format!("PASS {PASSWORD}")).await
            })
        })
        .collect();
    machine
        .until("dialled", |_| server_was_asked(&server))
        .await;
    // Neither sessions, nor logins elsewhere, nor the slow check of a new password, nor the store wait.
    bystander.assert_well().await;
    machine.assert_serves().await;
    let heard = converse("IMAP-0", machine.at("IMAP-0"), OTHER).await;
    assert!(
        heard.is_in() && heard.goodbye,
        "{heard:?}\n{}",
        machine.log()
    );
    let more = machine.status("Threads").saturating_sub(threads);
    assert!(more < 30, "{more} more threads for one name");
    // A token endpoint with such a name: its own account hears that it is to try again.
    let heard = machine.converse("SMTP-0", "person@example.net").await;
    assert!(heard.is_later(), "{heard:?}\n{}", machine.log());
    assert!(
        heard.login.unwrap().contains("looked up within 4 s"),
        "{}",
        machine.log()
    );
    for one in crowd {
        let said = one.await.unwrap();
        assert!(said.starts_with("-ERR [SYS/TEMP]"), "{said}");
    }
    machine.tells("name service does not answer").await;
    machine.assert_serves().await;
    bystander.assert_well().await;
}

/// Binds a name server at an address of its own (the port is always 53).
fn mute_name_server() -> (String, UdpSocket) {
    for n in 2..250 {
        let address = format!("127.53.{}.{n}", std::process::id() % 250);
        if let Ok(socket) = UdpSocket::bind((address.as_str(), 53)) {
            socket.set_nonblocking(true).unwrap();
            return (address, socket);
        }
    }
    panic!("no address for a name server");
}

fn server_was_asked(server: &UdpSocket) -> bool {
    let mut question = [0; 512];
    server
        .recv(&mut question)
        .is_ok_and(|read| question[..read].windows(4).any(|four| four == b"dead"))
}

/// Finds in the output of `status` where the service with the dead name listens.
fn dead_service(status: &str) -> std::net::SocketAddr {
    let line = status
        .lines()
        .find(|line| line.contains("dead.example.org"))
        .unwrap();
    let mut words = line.split(|c: char| c.is_whitespace() || c == ',');
    words
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("{status}"))
}
