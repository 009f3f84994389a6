//! What `status` and the page say of an account in words, so that both say the same.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::accounts::AccountState;

/// Words a time in seconds, in its largest fitting unit.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Words a number of things.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

/// Says how old the token is that an account holds, and when the next one comes.
pub fn token(state: &AccountState) -> Option<String> {
    let left = state.expires_in?;
    let age = state.token_age.unwrap_or_default();
    let next = match state.renews_in {
        Some(0) => "; the next one is due".to_owned(),
        Some(seconds) => format!("; the next one comes in {}", duration(seconds)),
        None => String::new(),
    };
    Some(format!(
        "access token {} old, good for {}{next}",
        duration(age),
        duration(left)
    ))
}

/// Says when an account last got in and how many connections it has, where there is something to say.
pub fn use_of(state: &AccountState) -> Option<String> {
    let last = state.last_login.map(|at| format!("last login {}", ago(at)));
    let open = (state.connections > 0).then(|| count(state.connections, "connection"));
    let parts: Vec<String> = last.into_iter().chain(open).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Words how long ago a time was, given in seconds since 1970.
pub fn ago(at: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map(|now| now.as_secs()).unwrap_or_default();
    match now.saturating_sub(at) {
        0..5 => "just now".to_owned(),
        seconds => format!("{} ago", duration(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_worded_in_their_largest_fitting_unit() {
        for (seconds, words) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(duration(seconds), words);
        }
        assert_eq!(count(1, "connection"), "1 connection");
        assert_eq!(count(0, "connection"), "0 connections");
    }

    #[test]
    fn an_account_that_was_never_used_has_nothing_said_of_it() {
        let mut state = AccountState::default();
        assert_eq!((token(&state), use_of(&state)), (None, None));
        state.expires_in = Some(3_000);
        state.token_age = Some(600);
        state.renews_in = Some(2_400);
        state.connections = 2;
        assert_eq!(
            token(&state).unwrap(),
            "access token 10 min old, good for 50 min; the next one comes in 40 min"
        );
        assert_eq!(use_of(&state).unwrap(), "2 connections");
    }
}
