//! The HTTP door: probes and metrics, served by tiny_http behind an acceptor of our own.
//!
//! tiny_http has no timeouts, starts a thread for each connection and stops for good at a failed accept. So the
//! door (`door`, `relay`) meets the clients: few connections, small heads, one absolute deadline each. It
//! passes one clean request line on to tiny_http (`answer`), which listens on a private loopback port and sees no
//! byte of a client besides. A probe asks tiny_http itself; its death is reported on [`Server::death`], and the
//! caller ends the process. The door knows no path: [`Routes`] answers.

mod answer;
mod door;
mod relay;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

/// Connections held at once; one more ends the oldest, so that idle clients cannot keep a probe out.
pub const CONNECTIONS_MAX: usize = 64;

/// Longest request line and headers together, in bytes; more is answered 431.
pub const HEAD_MAX: usize = 8 * 1024;

/// Longest response in bytes; more is answered 500.
pub const RESPONSE_MAX: usize = 8 * 1024 * 1024;

/// Answers a path (without its query); called on one thread, for GET and HEAD alone.
pub type Routes = Arc<dyn Fn(&str) -> Response + Send + Sync>;

/// Holds one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code of RFC 9110.
    pub status: u16,
    /// Value of the `Content-Type` header.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// The whole body.
    pub body: String,
}

impl Response {
    /// Makes a plain text answer.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            headers: &[],
            body: body.into(),
        }
    }

    /// Makes the answer for a path that nothing is served on.
    pub fn not_found() -> Self {
        Self::text(404, "not found\n")
    }
}

/// Says why the door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The public address is taken, not ours, or needs a right.
    #[error("listening on {address}")]
    Listen {
        /// The first address that was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No private loopback port or no server on it.
    #[error("starting the private server: {0}")]
    Private(String),
    /// No thread.
    #[error("starting a thread")]
    Thread(#[source] io::Error),
}

/// Says how the door died; there is nothing to be done but to end the process.
#[derive(Debug, thiserror::Error)]
pub enum Death {
    /// tiny_http stopped accepting.
    #[error("the private server stopped accepting: {0}")]
    Accept(io::Error),
    /// tiny_http did not answer its probe.
    #[error("the private server left {misses} probes unanswered")]
    Silent {
        /// Probes in a row.
        misses: u32,
    },
    /// A thread of the door panicked.
    #[error("the thread {thread} has ended")]
    Ended {
        /// Its name.
        thread: &'static str,
    },
}

/// Holds the open door; dropping it closes the door.
pub struct Server {
    /// Where clients connect; with port 0 asked for, the port that was found.
    pub local_addr: SocketAddr,
    /// Gives one message if the door dies.
    pub death: Receiver<Death>,
    life: Arc<Life>,
    private: Arc<tiny_http::Server>,
    /// Dropped to end the probe.
    _probe: Sender<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.stop();
        self.private.unblock();
        door::wake(self.local_addr);
    }
}

/// Gives the addresses to serve a port on every interface: IPv6 with IPv4 where there is IPv6, else IPv4.
pub fn every_interface(port: u16) -> [SocketAddr; 2] {
    [
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    ]
}

/// Opens the door on the first of `addresses` that can be bound; port 0 is any free port.
///
/// No client holds a connection longer than `timeout`, from its accept to its close.
///
/// # Errors
/// When no address can be bound or the private server does not start.
pub fn serve(addresses: &[SocketAddr], timeout: Duration, routes: Routes) -> Result<Server, Error> {
    let listen = |source| Error::Listen {
        address: addresses
            .first()
            .copied()
            .unwrap_or_else(|| every_interface(0)[1]),
        source,
    };
    let listener = TcpListener::bind(addresses).map_err(listen)?;
    let local_addr = listener.local_addr().map_err(listen)?;
    let (private, private_addr) = answer::private_server()?;
    let (report, death) = crossbeam_channel::bounded(1);
    let life = Arc::new(Life::new(report));
    let (probe, stop_probe) = crossbeam_channel::bounded(0);

    answer::start(Arc::clone(&private), routes, Arc::clone(&life))?;
    answer::start_probe(private_addr, stop_probe, Arc::clone(&life))?;
    door::start(listener, private_addr, timeout, Arc::clone(&life))?;
    Ok(Server {
        local_addr,
        death,
        life,
        private,
        _probe: probe,
    })
}

/// Tells the threads of the door apart from their end: wanted, or a death to report.
struct Life {
    stopped: std::sync::atomic::AtomicBool,
    report: Sender<Death>,
}

impl Life {
    fn new(report: Sender<Death>) -> Self {
        Self {
            stopped: false.into(),
            report,
        }
    }

    fn stop(&self) {
        self.stopped.store(true, std::sync::atomic::Ordering::Release);
    }

    fn stopped(&self) -> bool {
        self.stopped.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Reports a death. The first one counts; the channel is full for the others.
    fn died(&self, death: Death) {
        if !self.stopped() && self.report.try_send(death).is_err() {
            log::debug!("a second death of the HTTP door");
        }
    }

    /// Starts a thread whose end is a death, unless the door was closed.
    fn thread(
        self: Arc<Self>,
        name: &'static str,
        run: impl FnOnce(&Self) + Send + 'static,
    ) -> Result<(), Error> {
        struct Tripwire(Arc<Life>, &'static str);

        impl Drop for Tripwire {
            fn drop(&mut self) {
                self.0.died(Death::Ended { thread: self.1 });
            }
        }

        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let tripwire = Tripwire(self, name);
                run(&tripwire.0);
            })
            .map(drop)
            .map_err(Error::Thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn the_end_of_the_private_server_is_a_death() {
        let routes: Routes = Arc::new(|_| Response::not_found());
        let server = serve(&[([127, 0, 0, 1], 0).into()], PATIENCE, routes).unwrap();
        server.private.unblock();
        let death = server.death.recv_timeout(PATIENCE);
        assert!(matches!(death, Ok(Death::Accept(_))), "{death:?}");
    }

    #[test]
    fn a_thread_that_panics_is_a_death_unless_the_door_was_closed() {
        let (report, death) = crossbeam_channel::bounded(1);
        let life = Arc::new(Life::new(report));
        Arc::clone(&life)
            .thread("open", |_| panic!("on purpose"))
            .unwrap();
        let died = death.recv_timeout(PATIENCE);
        assert!(matches!(died, Ok(Death::Ended { thread: "open" })), "{died:?}");
        life.stop();
        Arc::clone(&life)
            .thread("closed", |_| panic!("on purpose"))
            .unwrap();
        drop(life);
        assert_eq!(
            death.recv_timeout(PATIENCE).err(),
            Some(crossbeam_channel::RecvTimeoutError::Disconnected)
        );
    }
}
