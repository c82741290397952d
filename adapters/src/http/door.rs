//! The acceptor: a thread for each of a few connections, and a loop that outlives every failed accept.
//!
//! It never reads from a client; `relay` does.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{CONNECTIONS_MAX, Error, Life, relay};

/// Pause after a failed accept: EMFILE and its kin fail again at once and would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// At most one line of a kind is logged in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Starts the accept loop.
pub(super) fn start(
    listener: TcpListener,
    private: SocketAddr,
    timeout: Duration,
    life: Arc<Life>,
) -> Result<(), Error> {
    life.thread("http-accept", move |life| {
        accept_loop(
            || listener.accept().map(|(client, _)| client),
            private,
            timeout,
            life,
        );
    })
}

/// Ends the `accept` that the loop of `address` waits in.
pub(super) fn wake(address: SocketAddr) {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    if let Err(error) = TcpStream::connect_timeout(&(ip, address.port()).into(), Duration::from_secs(1)) {
        log::debug!("the accept loop ends at its next client: {error}");
    }
}

fn accept_loop(
    mut accept: impl FnMut() -> io::Result<TcpStream>,
    private: SocketAddr,
    timeout: Duration,
    life: &Life,
) {
    let seats = Arc::new(Seats::default());
    let mut failures = Quiet::default();
    let mut evictions = Quiet::default();
    while !life.stopped() {
        let client = match accept() {
            Ok(client) => client,
            Err(error) => {
                if let Some(times) = failures.count() {
                    log::warn!(times; "accepting an HTTP client: {error}");
                }
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        let deadline = Instant::now() + timeout;
        if seats.make_room()
            && let Some(times) = evictions.count()
        {
            log::warn!(times; "more than {CONNECTIONS_MAX} HTTP connections, the oldest was closed");
        }
        if let Err(error) = seat(&seats, client, private, deadline)
            && let Some(times) = failures.count()
        {
            log::warn!(times; "serving an HTTP client: {error}");
        }
    }
}

/// Gives a client a thread of its own; an error closes the connection.
fn seat(seats: &Arc<Seats>, client: TcpStream, private: SocketAddr, deadline: Instant) -> io::Result<()> {
    let seat = seats.take(client.try_clone()?);
    std::thread::Builder::new()
        .name("http-client".to_owned())
        .spawn(move || {
            relay::serve(&client, private, deadline);
            drop(seat);
        })
        .map(drop)
}

/// Counts the connections and knows the oldest.
#[derive(Default)]
struct Seats {
    taken: Mutex<Taken>,
    left: Condvar,
}

#[derive(Default)]
struct Taken {
    next: u64,
    streams: BTreeMap<u64, TcpStream>,
}

impl Seats {
    /// Waits for a free seat, closing the oldest connection where there is none; tells whether it had to.
    ///
    /// A well-behaved request takes milliseconds, so the oldest of a full house is one that stalls. Its thread
    /// leaves at once; the wait is for that, and keeps the number of threads within the bound.
    fn make_room(&self) -> bool {
        let mut taken = self.taken();
        let full = taken.streams.len() >= CONNECTIONS_MAX;
        while taken.streams.len() >= CONNECTIONS_MAX {
            if let Some((_, oldest)) = taken.streams.first_key_value()
                && let Err(error) = oldest.shutdown(Shutdown::Both)
            {
                log::debug!("closing an HTTP connection that is gone already: {error}");
            }
            taken = self.left.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        full
    }

    fn take(self: &Arc<Self>, stream: TcpStream) -> Seat {
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.streams.insert(number, stream);
        Seat {
            seats: Arc::clone(self),
            number,
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives its seat back when dropped, by a panic too.
struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().streams.remove(&self.number);
        self.seats.left.notify_one();
    }
}

/// Lets one of many equal events through, with the number of them.
#[derive(Default)]
struct Quiet {
    last: Option<Instant>,
    times: u64,
}

impl Quiet {
    fn count(&mut self) -> Option<u64> {
        self.times += 1;
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < LOG_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_failed_accept_does_not_end_the_loop() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (report, _death) = crossbeam_channel::bounded(1);
        let life = Life::new(report);
        // EMFILE, ENFILE, ECONNABORTED, ENOMEM, EPERM; then a client; then the end.
        let mut script = vec![24, 23, 103, 12, 1].into_iter();
        let mut served = false;
        let accept = || {
            if let Some(errno) = script.next() {
                return Err(io::Error::from_raw_os_error(errno));
            }
            match std::mem::replace(&mut served, true) {
                false => listener.accept().map(|(client, _)| client),
                true => {
                    life.stop();
                    Err(io::ErrorKind::Other.into())
                }
            }
        };
        let nobody = ([127, 0, 0, 1], 1).into();
        accept_loop(accept, nobody, Duration::from_millis(50), &life);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.lines().next(), Some("HTTP/1.1 408 Request Timeout"));
    }

    #[test]
    fn one_of_many_equal_lines_is_logged_with_the_number_of_them() {
        let mut quiet = Quiet::default();
        assert_eq!(
            (quiet.count(), quiet.count(), quiet.count()),
            (Some(1), None, None)
        );
        quiet.last = None;
        assert_eq!(quiet.count(), Some(3));
    }
}
