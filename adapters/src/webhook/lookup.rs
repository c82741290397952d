//! Host names to addresses that the guard permits, with a bound on time and on threads.
//!
//! `getaddrinfo` cannot be interrupted, so each look-up has a thread of its own that is left behind when the time is
//! over. Attempts at one name share one look-up; at most [`LOOKUPS_MAX`] run at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::failure::{Failure, detail};
use super::guard::Guard;

/// Look-ups of different names that may run at once, those that nobody waits for any more included.
pub const LOOKUPS_MAX: usize = 64;

/// Addresses that one host may have; more are left out. The bound of the client's own list.
const ADDRESSES_MAX: usize = 16;

pub(super) type Found = Result<Vec<SocketAddr>, Failure>;
type Ask = dyn Fn(&str) -> std::io::Result<Vec<SocketAddr>> + Send + Sync;

/// The resolver of the delivery threads.
pub(super) struct Lookup {
    guard: Guard,
    running: Arc<Mutex<BTreeMap<String, Arc<Slot>>>>,
    ask: Arc<Ask>,
}

/// One running look-up, and its result once there is one.
#[derive(Default)]
struct Slot {
    found: Mutex<Option<Found>>,
    ready: Condvar,
}

impl Lookup {
    pub(super) fn new(guard: Guard) -> Lookup {
        Lookup::asking(guard, |name| Ok(name.to_socket_addrs()?.collect()))
    }

    fn asking(
        guard: Guard,
        ask: impl Fn(&str) -> std::io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Lookup {
        Lookup {
            guard,
            running: Arc::default(),
            ask: Arc::new(ask),
        }
    }

    /// Returns the permitted addresses of `name`, a `host:port`.
    pub(super) fn permitted(&self, name: &str, within: Duration) -> Found {
        let found = match name.parse::<SocketAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => self.find(name, within)?,
        };
        let mut denied = None;
        let mut permitted = Vec::new();
        for address in found {
            match self.guard.denied_by(address.ip()) {
                None => permitted.push(address),
                Some(rule) => denied = denied.or(Some((address.ip(), rule))),
            }
        }
        match (permitted.is_empty(), denied) {
            (false, _) => Ok(permitted),
            (true, Some((address, rule))) => Err(Failure::Denied { address, rule }),
            (true, None) => Err(Failure::Lookup("no address".to_owned())),
        }
    }

    fn find(&self, name: &str, within: Duration) -> Found {
        let slot = self.join(name)?;
        let found = slot.found.lock().expect("no look-up panics in its slot");
        let (found, _) = slot
            .ready
            .wait_timeout_while(found, within, |found| found.is_none())
            .expect("no look-up panics in its slot");
        found
            .clone()
            .unwrap_or_else(|| Err(Failure::Timeout("resolve".to_owned())))
    }

    /// Joins the running look-up of `name`, or starts one.
    fn join(&self, name: &str) -> Result<Arc<Slot>, Failure> {
        let mut running = self.running.lock().expect("nothing panics in this list");
        if let Some(slot) = running.get(name) {
            return Ok(Arc::clone(slot));
        }
        if running.len() >= LOOKUPS_MAX {
            return Err(Failure::LookupsBusy);
        }
        let slot = Arc::<Slot>::default();
        let result = Arc::clone(&slot);
        let list = Arc::clone(&self.running);
        let ask = Arc::clone(&self.ask);
        let asked = name.to_owned();
        thread::Builder::new()
            .name("webhook-lookup".to_owned())
            .spawn(move || {
                let found = ask(&asked).map_err(|error| Failure::Lookup(detail(&error)));
                list.lock().expect("nothing panics in this list").remove(&asked);
                *result.found.lock().expect("no look-up panics in its slot") = Some(found);
                result.ready.notify_all();
            })
            .map_err(|error| Failure::Lookup(detail(&error)))?;
        running.insert(name.to_owned(), Arc::clone(&slot));
        Ok(slot)
    }
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let port = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let port = uri.port_u16().unwrap_or(port);
        let name = format!("{}:{port}", uri.host().unwrap_or_default());
        let found = self
            .permitted(&name, *timeout.after)
            .map_err(|failure| ureq::Error::Other(Box::new(failure)))?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(ADDRESSES_MAX) {
            addresses.push(address);
        }
        Ok(addresses)
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn guard() -> Guard {
        Guard::with_default_deny(Vec::new())
    }

    #[test]
    fn only_the_permitted_addresses_of_a_name_are_used() {
        let lookup = Lookup::asking(guard(), |_| {
            Ok(addresses(&["127.0.0.1:80", "10.0.0.1:80", "[::1]:80"]))
        });
        assert_eq!(
            lookup.permitted("mixed.example:80", LONG),
            Ok(addresses(&["10.0.0.1:80"]))
        );
    }

    #[test]
    fn a_name_with_denied_addresses_alone_is_refused_by_the_rule() {
        let lookup = Lookup::asking(guard(), |_| Ok(addresses(&["169.254.169.254:80", "[::1]:80"])));
        assert_eq!(
            lookup.permitted("inside.example:80", LONG),
            Err(Failure::Denied {
                address: "169.254.169.254".parse().unwrap(),
                rule: "169.254.0.0/16".parse().unwrap(),
            })
        );
    }

    #[test]
    fn a_literal_is_judged_without_a_look_up() {
        let lookup = Lookup::asking(guard(), |name| panic!("{name} was looked up"));
        assert_eq!(
            lookup.permitted("[::ffff:127.0.0.1]:80", LONG),
            Err(Failure::Denied {
                address: "::ffff:127.0.0.1".parse().unwrap(),
                rule: "127.0.0.0/8".parse().unwrap(),
            })
        );
        assert_eq!(
            lookup.permitted("10.0.0.1:80", LONG),
            Ok(addresses(&["10.0.0.1:80"]))
        );
    }

    #[test]
    fn a_name_that_hangs_has_one_look_up_and_ends_in_time() {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let lookup = Lookup::asking(guard(), move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            released.lock().unwrap().recv().unwrap_or(());
            Ok(addresses(&["10.0.0.1:80"]))
        });
        let late = Err(Failure::Timeout("resolve".to_owned()));
        for _ in 0..3 {
            assert_eq!(lookup.permitted("slow.example:80", SHORT), late);
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lookup.permitted("slow.example:80", LONG));
            release.send(()).unwrap();
            drop(release);
            assert_eq!(waiting.join().unwrap(), Ok(addresses(&["10.0.0.1:80"])));
        });
        assert!(
            asked.load(Ordering::SeqCst) <= 2,
            "a late joiner may have started a second one"
        );
    }

    #[test]
    fn look_ups_that_hang_are_bounded() {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let lookup = Lookup::asking(guard(), move |_| {
            released.lock().unwrap().recv().unwrap_or(());
            Ok(Vec::new())
        });
        for number in 0..LOOKUPS_MAX {
            let name = format!("slow-{number}.example:80");
            let late = lookup.permitted(&name, Duration::ZERO);
            assert_eq!(late, Err(Failure::Timeout("resolve".to_owned())));
        }
        assert_eq!(
            lookup.permitted("next.example:80", LONG),
            Err(Failure::LookupsBusy)
        );
        drop(release);
    }
}
