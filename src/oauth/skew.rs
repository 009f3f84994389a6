//! This machine's clock against an endpoint's: an answer's `Date` says what time it is there.
//!
//! Says so in the log, at most once an hour, and changes nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oauth2::http::HeaderMap;
use oauth2::http::header::DATE;

/// How far off a clock may be without anybody hearing of it.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How often it is said.
const OFTEN: Duration = Duration::from_secs(60 * 60);

/// When it was last said.
static SAID: Mutex<Option<Instant>> = Mutex::new(None);

/// Warns where an answer's date is far from our own.
pub(super) fn notice(headers: &HeaderMap) {
    let Some(words) = judge(headers, SystemTime::now()) else {
        return;
    };
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.is_none_or(|at| at.elapsed() >= OFTEN) {
        *said = Some(Instant::now());
        tracing::warn!("{words}");
    }
}

/// Words the difference between an answer's date and `now`, where it is too large.
fn judge(headers: &HeaderMap, now: SystemTime) -> Option<String> {
    let there = date(headers.get(DATE)?.to_str().ok()?)?;
    let (off, way) = match now.duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (off > TOLERANCE).then(|| {
        format!(
            "this machine's clock is {} minutes {way} the token endpoint's; set it right (by NTP), or tokens may be refused and signed requests will be",
            off.as_secs() / 60
        )
    })
}

/// Reads a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = u64::try_from(months.iter().position(|known| known == month)?).ok()? + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    let mut parts = time.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // Days before the month in a year that begins in March, as the leap day is then the last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 1970-01-01 by the same count.
    let days = days.checked_sub(719_468)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(
        days * 86_400 + hours * 3_600 + minutes * 60 + seconds,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Option<u64> {
        let since = date(text)?.duration_since(UNIX_EPOCH).unwrap();
        Some(since.as_secs())
    }

    #[test]
    fn dates_are_read_as_http_writes_them() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Tue, 24 Nov 2026 11:00:00 GMT", 1_795_518_000),
        ] {
            assert_eq!(unix(text), Some(seconds), "{text}");
        }
        for odd in [
            "",
            "now",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 No 1994 08:49:37 GMT",
            "Sun, 06 anF 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            "Sun, 06 Nov 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
        ] {
            assert_eq!(unix(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_clock_that_is_off_by_more_than_five_minutes_is_spoken_of() {
        let mut headers = HeaderMap::new();
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(judge(&headers, at(784_111_777)), None);
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".try_into().unwrap());
        assert_eq!(judge(&headers, at(784_111_777 + 300)), None);
        assert_eq!(judge(&headers, at(784_111_777 - 300)), None);
        let ahead = judge(&headers, at(784_111_777 + 3_660)).unwrap();
        assert!(ahead.contains("61 minutes ahead of"), "{ahead}");
        let behind = judge(&headers, at(784_111_777 - 86_400)).unwrap();
        assert!(behind.contains("1440 minutes behind"), "{behind}");
    }
}
