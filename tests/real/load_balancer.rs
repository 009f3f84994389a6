//! A load balancer in front of the program: the clients' own addresses arrive, and its health checks stay quiet.

use std::fs;

use tokio::process::Command;

use crate::client;
use crate::daemon::Daemon;
use crate::installed;
use crate::log;
use crate::oidc::Manners;
use crate::ports;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// Where the clients come from; the load balancer itself comes from 127.0.0.1.
const CLIENT: &str = "127.0.0.2";

#[tokio::test]
async fn haproxy_tells_whom_it_speaks_for() {
    let Some(stage) = Stage::set("load_balancer", &["haproxy", "curl"], Manners::default()).await
    else {
        return;
    };
    let plain = Service::imap(stage.dovecot.imaps).behind("127.0.0.1");
    let secure = Service::imap(stage.dovecot.imaps)
        .local_tls(&stage)
        .behind("127.0.0.1");
    let services = [plain.clone(), secure.clone()];
    let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
    let ways = [
        (plain.port(), "imap", "send-proxy"),
        (plain.port(), "imap", "send-proxy-v2"),
        (secure.port(), "imaps", "send-proxy"),
        (secure.port(), "imaps", "send-proxy-v2"),
    ];
    let mut text =
        "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n"
            .to_owned();
    let mut doors = Vec::new();
    for (behind, scheme, how) in ways {
        let front = ports::free();
        text.push_str(&format!(
            "listen to{front}\n bind 127.0.0.1:{front}\n server one 127.0.0.1:{behind} {how} check inter 200ms\n"
        ));
        doors.push((front, scheme, how));
    }
    let file = stage.folder().join("haproxy.cfg");
    fs::write(&file, text).unwrap();
    let mut haproxy = installed::command("haproxy");
    haproxy.arg("-db").arg("-f").arg(&file);
    let _haproxy = Daemon::start("haproxy", &haproxy, &stage.folder().join("haproxy.log"));

    // The checks come first, and are told of in the debug log alone.
    let arrival = |line: &str, level: &str, from: &str| {
        line.contains(level) && line.contains(&format!("Accepting new connection from {from}:"))
    };
    let checked = |line: &str| arrival(line, "DEBUG", "127.0.0.1").then_some(());
    proxy.printed().find("a health check", checked).await;

    for (front, scheme, how) in doors {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--interface",
            CLIENT,
        ])
        .args(["--user", &format!("{USER}:{PASSWORD}")])
        .arg("--cacert")
        .arg(&stage.ca.root)
        .args(["--resolve", &format!("localhost:{front}:127.0.0.1")])
        .arg(format!("{scheme}://localhost:{front}/"));
        let said = client::succeed(&format!("curl through {how}"), &mut curl).await;
        assert!(said.contains("INBOX"), "{how}: {said}");
    }
    let arrivals = |from| {
        let log = proxy.printed().text();
        log.lines()
            .filter(|line| arrival(line, "INFO", from))
            .count()
    };
    // A line may come a moment after what it tells of.
    log::until("four arrivals", || (arrivals(CLIENT) == 4).then_some(())).await;
    assert_eq!(arrivals("127.0.0.1"), 0);
    // The last session may end a moment after its client.
    log::until("four sessions that ended", || {
        let log = proxy.printed().text();
        let ended = log
            .lines()
            .filter(|line| line.contains(&format!("from {CLIENT}")) && line.contains(USER));
        (ended.count() >= 4).then_some(())
    })
    .await;
    proxy.stop();
}
