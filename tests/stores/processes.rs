//! The program itself, several times, as replicas run it: one of them may be killed at any moment.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::program::Program;
use super::servers::{Moto, is_here};
use super::support::daemon::{Plan, redirected};
use super::support::provider::Provider;
use super::{PASSWORD, Server, log_in, name, plan};

/// How long a lease lasts that nobody gives back.
const LEASE: Duration = Duration::from_secs(15);

/// One replica.
struct Replica {
    program: Program,
    imap: std::net::SocketAddr,
    home: PathBuf,
    _plan: Plan,
}

impl Replica {
    async fn start(plan: Plan, environment: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let file = plan.write();
        let home = file.parent().unwrap().to_owned();
        std::fs::create_dir_all(home.join("run")).unwrap();
        std::fs::set_permissions(home.join("run"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = file.display().to_string();
        let arguments = ["run", "--external-auth", "--config-file", &path];
        let mut program = Program::start_in(&home, &arguments, environment);
        let imap = program.listens("IMAP").await;
        Self {
            program,
            imap,
            home,
            _plan: plan,
        }
    }

    /// Has a person authorise an account by a login here.
    async fn authorise(&mut self, user: &str) {
        let at = self.imap;
        let login = tokio::spawn({
            let user = user.to_owned();
            async move { log_in(at, &user, PASSWORD).await.1 }
        });
        let words = format!("authenticate account {user}: ");
        let url = self.program.says(&words).await;
        self.program
            .paste(&format!("{}\n", redirected(&url).await))
            .await;
        let said = login.await.unwrap();
        assert!(said.starts_with("OK"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_leases_holder_delays_a_login_by_no_more_than_the_lease() {
    let test = "the_death_of_a_leases_holder_delays_a_login_by_no_more_than_the_lease";
    for server in Server::each(test) {
        let provider = Provider::start().await;
        let replica = || {
            let stored = format!("cache_store = {}", server.url());
            Replica::start(plan(&provider, 1).option(&stored), &[])
        };
        let (mut one, two, three) = (replica().await, replica().await, replica().await);
        provider.world.turn(|knobs| knobs.lifetime = Some(1));
        one.authorise(&name(0)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        provider.world.turn(|knobs| {
            knobs.lifetime = Some(3600);
            knobs.token_delay = Duration::from_secs(8);
        });
        let at = one.imap;
        let lost = tokio::spawn(async move {
            let mut client = super::Client::plain(at).await;
            client.say(&format!("a LOGIN {} {PASSWORD}", name(0))).await;
            client.rest().await
        });
        while provider.world.register.count("refresh_token") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        provider
            .world
            .turn(|knobs| knobs.token_delay = Duration::ZERO);
        let begin = Instant::now();
        one.program.signal("KILL").await;
        let logins = [two.imap, three.imap]
            .map(|at| tokio::spawn(async move { log_in(at, &name(0), PASSWORD).await.1 }));
        for login in logins {
            let said = login.await.unwrap();
            assert!(said.starts_with("OK"), "{said}");
        }
        // The lease, and the moment until somebody looks again.
        assert!(
            begin.elapsed() < LEASE + Duration::from_secs(1),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(provider.world.register.count("refresh_token"), 2);
        assert_eq!(provider.world.register.count("authorization_code"), 1);
        lost.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_keeps_tokens_over_a_restart() {
    if !is_here("aws_keeps_tokens_over_a_restart", "moto_server") {
        return;
    }
    let moto = Moto::start();
    let provider = Provider::start().await;
    let url = moto.url();
    let environment = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let make = || plan(&provider, 1).option("cache_store = aws:mail/tokens");
    let mut first = Replica::start(make(), &environment).await;
    first.authorise(&name(0)).await;
    first.program.signal("TERM").await;
    let ended = first.program.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.printed);
    assert!(first.home.join("emailproxy.ini").exists());
    assert!(!first.home.join("emailproxy.tokens.json").exists());
    let second = Replica::start(make(), &environment).await;
    let said = log_in(second.imap, &name(0), PASSWORD).await.1;
    assert!(said.starts_with("OK"), "{said}");
    assert_eq!(provider.world.register.count("authorization_code"), 1);
}
