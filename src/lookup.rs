//! From a host name to its addresses, by the system's own look-up.
//!
//! That look-up holds a thread for as long as the name servers say nothing, which may be a minute, and cannot be broken
//! off. So it gets a thread of its own and not one of those that check passwords and write the store; whoever asks for
//! the same name shares it; and there are never more than a few. Knows nothing of mail, and keeps nothing: caching is the
//! system's affair.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long after its begin a look-up is still joined. An older one is likely stuck with a name server that is gone, and
/// the next one may find it back.
const FRESH: Duration = Duration::from_secs(3);

/// How many look-ups of one name there may be: one dead name takes no more.
const MOST_OF_ONE: usize = 4;

/// How many look-ups there may be in all.
const MOST: usize = 256;

/// What a look-up comes to; an error in words, since it goes to everybody who waits.
type Found = Result<Vec<SocketAddr>, Arc<str>>;

/// The look-ups of this process.
static SYSTEM: Lookups = Lookups {
    running: Mutex::new(BTreeMap::new()),
    ask: |host| Ok((host, 0).to_socket_addrs()?.collect()),
};

/// Finds the addresses of a host, which may be an address itself (IPv6 without brackets), as often as the caller waits:
/// there is no limit of time here.
pub(crate) async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    SYSTEM.addresses(host, port).await
}

/// The look-ups under way.
struct Lookups {
    running: Mutex<BTreeMap<String, Vec<Running>>>,
    ask: fn(&str) -> io::Result<Vec<SocketAddr>>,
}

/// One look-up under way.
struct Running {
    begun: Instant,
    answer: watch::Receiver<Option<Found>>,
}

/// Keeps a look-up on the list until it is dropped, however its thread ends.
struct Listed {
    among: &'static Lookups,
    host: String,
    answer: watch::Receiver<Option<Found>>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = self.among.running();
        if let Some(here) = running.get_mut(&self.host) {
            here.retain(|one| !one.answer.same_channel(&self.answer));
            if here.is_empty() {
                running.remove(&self.host);
            }
        }
    }
}

impl Lookups {
    async fn addresses(&'static self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut answer = self.join(host)?;
        let found = answer.wait_for(Option::is_some).await;
        let Some(found) = found.ok().and_then(|found| found.clone()) else {
            return Err(io::Error::other("the look-up of its name broke off"));
        };
        let mut found = found.map_err(|why| io::Error::new(io::ErrorKind::NotFound, &*why))?;
        for address in &mut found {
            address.set_port(port);
        }
        Ok(found)
    }

    /// Joins a look-up of this name, or begins one.
    fn join(&'static self, host: &str) -> io::Result<watch::Receiver<Option<Found>>> {
        let mut running = self.running();
        if let Some(here) = running.get(host)
            && let Some(last) = here.last()
            && (last.begun.elapsed() < FRESH || here.len() >= MOST_OF_ONE)
        {
            return Ok(last.answer.clone());
        }
        if running.values().map(Vec::len).sum::<usize>() >= MOST {
            return Err(io::Error::other(format!(
                "{MOST} look-ups of names are under way, which is the limit; this machine's name service does not answer"
            )));
        }
        let here = running.entry(host.to_owned()).or_default();
        let (tell, answer) = watch::channel(None);
        here.push(Running {
            begun: Instant::now(),
            answer: answer.clone(),
        });
        drop(running);
        let listed = Listed {
            among: self,
            host: host.to_owned(),
            answer: answer.clone(),
        };
        let looking = move || {
            let found = (self.ask)(&listed.host);
            let found = found.map_err(|error| Arc::from(error.to_string()));
            // Taken off the list first: whoever hears the answer and asks again gets a new one.
            drop(listed);
            tell.send_replace(Some(found));
        };
        let thread = thread::Builder::new().name("look-up".into()).spawn(looking);
        thread.map_err(|error| {
            let why = format!("no thread could be had to look its name up: {error}");
            io::Error::new(error.kind(), why)
        })?;
        Ok(answer)
    }

    /// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn lookups(ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> &'static Lookups {
        Box::leak(Box::new(Lookups {
            running: Mutex::default(),
            ask,
        }))
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer_and_a_name_gets_the_port() {
        let none = lookups(|_| panic!("an address needs no look-up"));
        for (host, found) in [("127.0.0.1", "127.0.0.1:25"), ("::1", "[::1]:25")] {
            let addresses = none.addresses(host, 25).await.unwrap();
            assert_eq!(addresses, [found.parse().unwrap()]);
        }
        let one = lookups(|_| Ok(vec![([127, 0, 0, 9], 0).into()]));
        let addresses = one.addresses("mail.example.org", 993).await.unwrap();
        assert_eq!(addresses, ["127.0.0.9:993".parse().unwrap()]);
        let fails = lookups(|_| Err(io::Error::other("no such name")));
        let error = fails.addresses("mail.example.org", 993).await.unwrap_err();
        assert_eq!(error.to_string(), "no such name");
        let breaks = lookups(|_| panic!("the look-up itself broke"));
        breaks.addresses("mail.example.org", 993).await.unwrap_err();
        assert!(breaks.running().is_empty());
    }

    /// How many look-ups of the dead name there were, and whether its name server is back.
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static BACK: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    #[tokio::test]
    async fn a_name_that_hangs_takes_one_thread_however_many_ask_and_no_other_name_waits() {
        let lookups = lookups(|host| {
            if host == "dead.example.org" {
                ASKED.fetch_add(1, Ordering::SeqCst);
                drop(BACK.1.wait_while(BACK.0.lock().unwrap(), |back| !*back));
            }
            Ok(vec![([127, 0, 0, 1], 0).into()])
        });
        let waiting: Vec<_> = (0..500)
            .map(|_| tokio::spawn(lookups.addresses("dead.example.org", 993)))
            .collect();
        let found = lookups.addresses("alive.example.org", 993).await;
        assert_eq!(found.unwrap().len(), 1);
        assert!(waiting.iter().all(|one| !one.is_finished()));
        *BACK.0.lock().unwrap() = true;
        BACK.1.notify_all();
        for one in waiting {
            assert_eq!(one.await.unwrap().unwrap().len(), 1);
        }
        let asked = ASKED.load(Ordering::SeqCst);
        assert!(asked <= MOST_OF_ONE, "{asked} look-ups of one name");
        assert!(lookups.running().is_empty());
    }

    static HELD: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());

    #[tokio::test]
    async fn there_are_never_more_than_a_few() {
        let lookups = lookups(|_| {
            drop(HELD.1.wait_while(HELD.0.lock().unwrap(), |held| *held));
            Ok(Vec::new())
        });
        let waiting: Vec<_> = (0..MOST)
            .map(|n| lookups.join(&format!("{n}.example.org")).unwrap())
            .collect();
        let error = lookups.join("one.too.many.example.org").unwrap_err();
        assert!(error.to_string().contains("which is the limit"), "{error}");
        *HELD.0.lock().unwrap() = false;
        HELD.1.notify_all();
        for mut one in waiting {
            one.wait_for(Option::is_some).await.unwrap();
        }
        assert!(lookups.join("one.too.many.example.org").is_ok());
    }
}
