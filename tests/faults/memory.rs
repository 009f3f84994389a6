//! No memory left for the one thing that takes much of it: proving a password.

use rustix::process::Resource;

use super::USER;
use super::machine::{Machine, OTHER, is_root, listening};
use super::program::Program;

#[tokio::test]
async fn a_password_that_cannot_be_checked_for_want_of_memory_is_not_a_wrong_one() {
    if !is_root("limiting another process") {
        return;
    }
    let mut machine = Machine::start().await;
    let heard = machine.converse("POP-0", OTHER).await;
    assert!(heard.is_in(), "{heard:?}\n{}", machine.log());
    // After a restart the password has to be proven anew.
    machine.program.signal("TERM").await;
    let arguments = ["--config-file", &machine.config];
    let next = Program::launch(Program::command(&machine.home, &[], &arguments));
    std::mem::replace(&mut machine.program, next).end().await;
    machine.at = listening(&mut machine.program).await;
    let mut bystander = machine.bystander().await;
    let in_use = machine.status("VmSize") * 1024;
    let limit = machine.limit(Resource::As, Some(in_use + 32 * 1024 * 1024));
    for section in ["IMAP-0", "POP-0", "SMTP-0"] {
        let heard = machine.converse(section, OTHER).await;
        assert!(heard.is_later(), "{section}: {heard:?}\n{}", machine.log());
        let said = heard.login.unwrap();
        assert!(said.contains("no memory left"), "{said}");
    }
    machine.tells("no memory left to check a password").await;
    // Whose password is proven needs none.
    bystander.assert_well().await;
    let heard = machine.converse("IMAP-0", USER).await;
    assert!(
        heard.is_in() && heard.goodbye,
        "{heard:?}\n{}",
        machine.log()
    );
    machine.limit(Resource::As, limit);
    let heard = machine.converse("IMAP-0", OTHER).await;
    assert!(
        heard.is_in() && heard.goodbye,
        "{heard:?}\n{}",
        machine.log()
    );
}
