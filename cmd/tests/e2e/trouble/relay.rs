//! A TCP relay on loopback between a worker and its API server: counts the connections that are tried, and breaks all of them.
//!
//! Its threads end with their connections, the accepting one with the process.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A relay to one server.
#[derive(Debug)]
pub(super) struct Relay {
    port: u16,
    tried: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// Starts a relay to a port of this machine.
    pub(super) fn start(server: u16) -> io::Result<Relay> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let relay = Relay {
            port: listener.local_addr()?.port(),
            tried: Arc::default(),
            open: Arc::default(),
        };
        let (tried, open) = (Arc::clone(&relay.tried), Arc::clone(&relay.open));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                tried.fetch_add(1, Ordering::SeqCst);
                // While the server is away its clients are closed, as by a machine without a listener.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                    connect(&client, &server);
                    let mut open = open.lock().expect("nobody panics while holding it");
                    open.extend([client, server]);
                }
            }
        });
        Ok(relay)
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Breaks every connection that is open.
    pub(super) fn cut(&self) {
        let mut open = self.open.lock().expect("nobody panics while holding it");
        for stream in open.drain(..) {
            // One that has ended cannot be ended.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// How many connections were tried so far.
    pub(super) fn tried(&self) -> usize {
        self.tried.load(Ordering::SeqCst)
    }
}

fn connect(client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        drop(from.set_nodelay(true));
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        thread::spawn(move || {
            // How a connection ends is nothing to tell: both sides see it.
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Both));
            drop(from.shutdown(Shutdown::Both));
        });
    }
}
