//! Crowds at the two doors that are not for mail: the control socket and the browser's return.

use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};

use super::PASSWORD;
use super::machine::{Machine, is_root};
use super::support::client::Client;
use super::support::daemon::{free_port, person, visit};

/// How many come at once and say nothing: more than are heard at once, fewer than the system lets wait.
const CROWD: usize = 100;

#[tokio::test]
async fn a_crowd_at_the_control_socket_holds_up_no_mail_and_leaves_no_trace() {
    if !is_root("looking at another process's descriptors") {
        return;
    }
    let machine = Machine::start().await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let before = machine.descriptors().len();
    let socket = control_socket(&machine);
    let mut crowd = Vec::new();
    for turn in 0..CROWD {
        let mut one = UnixStream::connect(&socket).await.unwrap();
        if turn % 2 == 0 {
            one.write_all(b"{\"ask\":").await.ok();
        }
        crowd.push(one);
    }
    machine.assert_serves().await;
    bystander.assert_well().await;
    machine
        .until("bounded the crowd", |machine| {
            machine.descriptors().len() <= before + 64
        })
        .await;
    machine.assert_idle().await;
    drop(crowd);
    machine.gives_back(before).await;
    let status = machine.ask("status").await;
    assert_eq!(status.code, Some(0), "{}", status.printed);
}

fn control_socket(machine: &Machine) -> PathBuf {
    let folder = std::fs::read_dir(machine.home.join("run")).unwrap();
    let mut sockets = folder.map(|entry| entry.unwrap().path());
    sockets
        .find(|path| path.extension().is_some_and(|end| end == "sock"))
        .unwrap()
}

#[tokio::test]
async fn a_crowd_at_the_browsers_return_holds_up_no_mail_and_the_return_is_heard_behind_it() {
    let port = free_port();
    let new = "new@example.com";
    let machine = Machine::start_as(&[], &[], |plan, provider| {
        plan.section(&person(provider, new, port))
    })
    .await;
    machine.assert_serves().await;
    let mut bystander = machine.bystander().await;
    let mut waiting = Client::plain(machine.at("POP-0")).await;
    waiting.line().await;
    waiting.ask(&format!("USER {new}")).await;
    waiting.say(&format!("PASS {PASSWORD}")).await;
    machine
        .until("listened for the browser", |machine| {
            machine.says("listening for the browser's return") > 0
        })
        .await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut one = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        one.write_all(b"GET / HTTP/1.1\r\n").await.ok();
        crowd.push(one);
    }
    machine.assert_serves().await;
    bystander.assert_well().await;
    drop(crowd);
    let log = machine.log();
    let address = log.split("authenticate account").nth(1).unwrap();
    let url = address
        .split_whitespace()
        .find(|word| word.starts_with("http"))
        .unwrap();
    visit(url).await;
    let said = waiting.line().await;
    assert!(said.starts_with("+OK"), "{said}\n{}", machine.log());
}
