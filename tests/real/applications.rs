//! Applications that send mail: Django, LinOTP, Kallithea, PHPMailer with an IMAP poller, each as it is set up in the
//! field.

use serde_json::{Value, json};

use crate::client;
use crate::oidc::Manners;
use crate::proxy::{Proxy, Service};
use crate::stage::Stage;
use crate::{PASSWORD, USER};

/// The program with an IMAP service and one SMTP service for each way a local client may begin TLS.
struct Office {
    stage: Stage,
    proxy: Proxy,
    none: u16,
    implicit: u16,
    starttls: u16,
}

impl Office {
    async fn open(programs: &[&str]) -> Option<Self> {
        let stage = Stage::set("applications", programs, Manners::default()).await?;
        let smtp = || Service::smtp(stage.postfix.submission).starttls();
        let none = smtp();
        let implicit = smtp().local_tls(&stage);
        let starttls = smtp().local_starttls(&stage);
        let services = [
            Service::imap(stage.dovecot.imaps),
            none.clone(),
            implicit.clone(),
            starttls.clone(),
        ];
        let proxy = Proxy::start(&stage, &services, &stage.oidc.application(USER)).await;
        Some(Self {
            stage,
            proxy,
            none: none.port(),
            implicit: implicit.port(),
            starttls: starttls.port(),
        })
    }

    /// Returns a client's settings for one way of beginning TLS.
    fn settings(&self, tls: &str) -> Value {
        let smtp = match tls {
            "implicit" => self.implicit,
            "starttls" => self.starttls,
            _ => self.none,
        };
        json!({
            "user": USER,
            "password": PASSWORD,
            "ca": self.stage.ca.root,
            "imap": self.proxy.imap(),
            "smtp": smtp,
            "tls": tls,
        })
    }
}

#[tokio::test]
async fn django_sends_mail() {
    let Some(office) = Office::open(&["python3", "Django"]).await else {
        return;
    };
    for tls in ["none", "starttls", "implicit"] {
        client::python_trusting(
            "django_mail.py",
            &office.settings(tls),
            &office.stage.ca.root,
        )
        .await;
    }
}

#[tokio::test]
async fn linotp_sends_one_time_passwords() {
    let Some(office) = Office::open(&["python3"]).await else {
        return;
    };
    for tls in ["none", "starttls", "implicit"] {
        let mut settings = office.settings(tls);
        client::python("linotp.py", &settings).await;
        // A client certificate that nobody asked for does no harm.
        settings["certificate"] = json!(office.stage.ca.certificate);
        settings["key"] = json!(office.stage.ca.key);
        client::python("linotp.py", &settings).await;
    }
}

#[tokio::test]
async fn kallithea_sends_notifications() {
    let Some(office) = Office::open(&["python3"]).await else {
        return;
    };
    for (tls, extra) in [
        ("none", json!({})),
        ("none", json!({ "smtp_auth": "LOGIN PLAIN" })),
        ("none", json!({ "smtp_auth": "LOGIN" })),
        ("starttls", json!({ "smtp_use_tls": true })),
        (
            "implicit",
            json!({ "smtp_use_ssl": true, "smtp_auth": "PLAIN" }),
        ),
    ] {
        let mut settings = office.settings(tls);
        settings
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        client::python("kallithea.py", &settings).await;
    }
}

#[tokio::test]
async fn phpmailer_sends_and_a_poller_reads() {
    let Some(office) = Office::open(&["php", "PHPMailer", "php-imap"]).await else {
        return;
    };
    for (tls, auth_type) in [
        ("none", ""),
        ("none", "PLAIN"),
        ("none", "LOGIN"),
        ("starttls", ""),
        ("implicit", ""),
    ] {
        let mut settings = office.settings(tls);
        settings["auth_type"] = json!(auth_type);
        client::php("phpmailer.php", &settings).await;
    }
}
