//! The catalogue as a page for people: docs/TROUBLESHOOTING.md.

use std::fmt::Write as _;

use super::advice::fill;
use super::{By, CHAPTERS, Class, Entry, Known, Meaning, Sign};

/// What stands before the chapters.
const PREFACE: &str = "\
# Troubleshooting

<!-- Made from src/providers/catalogue by `EMAILPROXY_WRITE_DOCS=1 cargo test --test catalogue`; changes belong there. -->

Every error that emailproxy knows: what is said, what it means, what to do. The same words stand in the log, in the reply
that a mail program shows (shortened) and in `emailproxy status`, there with this installation's own values in place of
`<account>`, `<client id>`, `<tenant id>` and `<server>`. `emailproxy status --json` has them as `class`, `cause` and
`remedy` of each account.

What is not listed reaches log and mail program in the provider's own words. An AADSTS number is explained by Microsoft at
`https://login.microsoftonline.com/error?code=NUMBER`; the `trace_id` and `correlation_id` in the log find the case in Entra's
sign-in logs.

| class | whose move it is |
| --- | --- |
";

/// Prints the catalogue as Markdown.
pub fn handbook() -> String {
    let mut page = PREFACE.to_owned();
    for class in Class::ALL {
        let move_of = match class {
            Class::ReAuthorise => {
                "a person signs in again: `emailproxy authorize ACCOUNT`, or the address in the log"
            }
            Class::FixConfiguration => {
                "whoever runs emailproxy: the configuration file or the application's registration"
            }
            Class::AskAdministrator => "an administrator of the tenant or mailbox",
            Class::RetryLater => "nobody's: it passes",
            Class::LocalPassword => {
                "whoever set up the mail program: its password is not the one that emailproxy knows"
            }
        };
        put(
            &mut page,
            format_args!("| {} | {move_of} |\n", class.as_str()),
        );
    }
    page.push_str(
        "\nA *temporary* error is told to the mail program as such, so that Postfix queues and a scanner tries again.\n",
    );
    for chapter in CHAPTERS {
        put(&mut page, format_args!("\n## {}\n", chapter.title));
        let mut rest = chapter.entries;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|entry| entry.means == first.means);
            let (alike, behind) = rest.split_at(same.count().max(1));
            explain(&mut page, alike, first.means);
            rest = behind;
        }
    }
    page
}

/// Prints a meaning and the errors that have it.
fn explain(page: &mut String, entries: &[Entry], means: &Meaning) {
    let nothing = Known::default();
    let lasts = if means.temporary {
        "temporary"
    } else {
        "lasting"
    };
    put(
        page,
        format_args!("\n**{}**", code(&sentence(&fill(means.cause, &nothing)))),
    );
    put(
        page,
        format_args!(" *({}, {lasts})*\n\n", means.class.as_str()),
    );
    put(
        page,
        format_args!("{}\n\n", code(&sentence(&fill(means.remedy, &nothing)))),
    );
    for entry in entries {
        let said = entry.said.replace('\n', " / ");
        let begin = match entry.sign {
            Sign::Entra { error, .. } | Sign::Word { error, .. } => format!("`{error}`: "),
            Sign::Server {
                by: By::Application,
                ..
            } => "for an application's token: ".to_owned(),
            Sign::Server { by: By::Person, .. } => "for a person's token: ".to_owned(),
            Sign::Server {
                by: By::Anybody, ..
            }
            | Sign::Own => String::new(),
        };
        put(page, format_args!("- {begin}`{said}`\n"));
    }
}

/// Writes into a text, which cannot fail.
fn put(page: &mut String, words: std::fmt::Arguments<'_>) {
    if page.write_fmt(words).is_err() {
        page.clear();
    }
}

/// Makes a sentence of a text.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    // The name of the program is written small, and so are commands.
    let keeps = text.starts_with("emailproxy");
    match first {
        Some(first) if !keeps => format!("{first}{}.", letters.as_str()),
        _ => format!("{text}."),
    }
}

/// Keeps Markdown from taking placeholders for HTML.
fn code(text: &str) -> String {
    text.replace('<', "\\<")
        .replace('_', "\\_")
        .replace('*', "\\*")
}
