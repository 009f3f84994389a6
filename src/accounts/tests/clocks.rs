//! Clocks that jump and machines that sleep: no stale token is handed out, and nobody is asked in a hurry.

use super::super::clock::pretended::Wall;
use super::tokens::authorised;
use super::*;

const CODE: &str = "code@example.org";
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Lets time pass in small steps, so that the background gets its turns.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ended_while_the_machine_slept_is_not_handed_out() {
    let wall = Wall::set();
    let house = authorised("r1", 3_600).await;
    // The machine's own clock stood still meanwhile.
    wall.forward(8 * HOUR);
    house.fake.grants("two", 3_600, Some("r2"));
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    // Without a login the background sees it within a minute, and asks once.
    wall.forward(8 * HOUR);
    house.fake.grants("three", 3_600, Some("r3"));
    pass(62).await;
    assert_eq!(house.fake.asked().len(), 3);
    pass(600).await;
    assert_eq!(house.fake.asked().len(), 3);
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "three");
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_a_year_forward_and_back_costs_a_request_each_and_no_sign_in() {
    let wall = Wall::set();
    let house = authorised("r1", 3_600).await;
    wall.forward(365 * DAY);
    house.fake.grants("two", 3_600, Some("r2"));
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    wall.back(365 * DAY);
    pass(120).await;
    // The machine's own clock knows that it is still good.
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    // The time of its last use lies a year ahead, which tells nothing: it is used when its access token ends.
    house.fake.grants("three", 3_600, Some("r3"));
    house.fake.grants("four", 3_600, Some("r4"));
    pass(3_600).await;
    let asked = house.fake.asked().len();
    assert!((3..=4).contains(&asked), "{asked} requests");
    house.log_in(CODE, "pw").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_a_day_prolongs_no_token() {
    let wall = Wall::set();
    let house = authorised("r1", 3_600).await;
    wall.back(DAY);
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    house.fake.hold();
    tokio::time::advance(HOUR).await;
    let login = house.wait(CODE, "pw");
    house.fake.grants("two", 3_600, Some("r2"));
    house.fake.go_on();
    assert_eq!(login.await.unwrap().unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn a_token_written_down_under_a_wrong_clock_is_not_believed() {
    // The clock was ahead when it came, and is right after the restart.
    let wall = Wall::set();
    wall.forward(365 * DAY);
    let house = authorised("r1", 3_600).await;
    wall.back(365 * DAY);
    let house = house.restart().await;
    house.fake.grants("two", 3_600, Some("r2"));
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "two");
    assert_eq!(house.fake.asked().last().unwrap(), "refresh r1 s3cret");
    // The clock was behind when it came: it looks over although it is not, which costs a request and no more.
    wall.back(DAY);
    house.accounts.known(CODE).unwrap().state().access = None;
    house.fake.grants("three", 3_600, Some("r3"));
    house.log_in(CODE, "pw").await.unwrap();
    wall.forward(DAY);
    let house = house.restart().await;
    house.fake.grants("four", 3_600, Some("r4"));
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "four");
    assert_eq!(house.fake.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn two_machines_clocks_may_differ_by_some_minutes() {
    let wall = Wall::set();
    let house = authorised("r1", 3_600).await;
    wall.back(Duration::from_secs(4 * 60));
    let house = house.restart().await;
    assert_eq!(house.log_in(CODE, "pw").await.unwrap(), "one");
    assert_eq!(house.fake.asked().len(), 1);
}
