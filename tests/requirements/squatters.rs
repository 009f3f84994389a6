//! Where the callback is listened for, and who else may be there: R-16.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::timeout;

use crate::support::client::PATIENCE;
use crate::support::daemon::{Plan, free_port, person, redirected};
use crate::support::logs::Logs;
use crate::support::provider::Provider;
use crate::waiting::{USER, ask, listening, log_in};

#[tokio::test]
async fn r16_only_loopback_is_bound_whatever_the_redirect_address_names() {
    let provider = Provider::start().await;
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "0.0.0.0",
        "mail.example",
        "192.0.2.1",
    ] {
        let logs = Logs::catch();
        let port = free_port();
        let account =
            person(&provider, USER, port).replace("http://localhost:", &format!("http://{host}:"));
        let proxy = Plan::for_provider(&provider).section(&account).start();
        let _client = log_in(&proxy, USER).await;
        proxy.asked().await;
        listening(SocketAddr::from(([127, 0, 0, 1], port))).await;
        // Another address of this machine is free, so nothing is bound to all of them.
        let free = TcpListener::bind(("127.0.0.2", port));
        assert!(free.is_ok(), "{host}: {free:?}");
        let near = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        assert_eq!(
            logs.hold("set `redirect_listen_address`"),
            !near,
            "{host}: {}",
            logs.text()
        );
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let request = format!("GET /?state=x&code=y HTTP/1.1\nHost: {host}:{port}\n\n");
        let page = ask(at, &request).await;
        assert!(page.contains("not known"), "its own name is known");
    }
}

#[tokio::test]
async fn r16_whoever_holds_the_port_first_is_spoken_of_and_learns_no_verifier() {
    let logs = Logs::catch();
    let provider = Provider::start().await;
    let port = free_port();
    let squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let proxy = Plan::for_provider(&provider)
        .person(&provider, USER, port)
        .start();
    let mut client = log_in(&proxy, USER).await;
    let url = proxy.asked().await;
    // What the squatter sees at most.
    let back = redirected(&url).await;
    let warned = async {
        while !logs.hold("another program listens there") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, warned).await.expect("nothing is said");
    assert!(
        !back.contains("code_verifier") && !url.contains("code_verifier"),
        "{url}"
    );
    // The person's way out, as the log tells it.
    let outcome = proxy.daemon.accounts.finish_pasted(&back).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    let said = client.until_tagged("x").await.pop().unwrap();
    assert!(said.starts_with("OK"), "{said}");
    let verifier = &provider.world.register.requests()[0]["code_verifier"];
    assert!(!logs.hold(verifier), "{}", logs.text());
    drop(squatter);
}
