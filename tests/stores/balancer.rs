//! The balancer of docs/FLEET.md, before replicas that share a store.

use std::process::{Command, Stdio};

use super::servers::{Redis, free_port, is_here, until};
use super::support::provider::Provider;
use super::{PASSWORD, authorise, log_in, name, plan};

/// Returns the first block of a language in docs/FLEET.md.
fn block(language: &str) -> &'static str {
    let text = include_str!("../../docs/FLEET.md");
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_spreads_clients_over_replicas_as_the_guide_says() {
    let test = "haproxy_spreads_clients_over_replicas_as_the_guide_says";
    if !is_here(test, "haproxy") || !is_here(test, "redis-server") {
        return;
    }
    let redis = Redis::start();
    let provider = Provider::start().await;
    let start = || {
        let mut plan = plan(&provider, 1).stored_at(&redis.url());
        // The guide's line, for a balancer on this machine.
        let line = block("ini").replace("10.0.0.0/8", "127.0.0.1");
        plan = plan.section(&format!("[DEFAULT]\n{line}"));
        plan.start()
    };
    let (first, replicas) = (
        plan(&provider, 1).stored_at(&redis.url()).start(),
        [start(), start(), start()],
    );
    authorise(&first, &name(0)).await;
    let port = free_port();
    let mut config = block("haproxy").replace(":993", &format!("127.0.0.1:{port}"));
    for (n, replica) in replicas.iter().enumerate() {
        let said = format!("10.0.0.1{}:2993", n + 1);
        assert!(config.contains(&said));
        config = config.replace(&said, &replica.at("IMAP-0").to_string());
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let program = ["/usr/sbin/haproxy", "haproxy"]
        .into_iter()
        .find(|program| std::path::Path::new(program).exists())
        .unwrap_or("haproxy");
    let mut haproxy = Command::new(program)
        .args(["-db", "-f"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    until("HAProxy listens", || {
        std::net::TcpStream::connect(at).is_ok()
    });
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let (client, said) = log_in(at, &name(0), PASSWORD).await;
        assert!(said.starts_with("OK"), "{said}");
        sessions.push(client);
    }
    // Least connections: each replica got one of the three that are open.
    for replica in &replicas {
        let state = replica.daemon.accounts.snapshot();
        let state = state.iter().find(|state| state.account == name(0)).unwrap();
        assert_eq!(state.state, "authorised");
    }
    assert_eq!(provider.world.register.count("authorization_code"), 1);
    haproxy.kill().unwrap();
    haproxy.wait().unwrap();
}
