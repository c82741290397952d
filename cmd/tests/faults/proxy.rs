//! A TCP relay on loopback that breaks connections in the middle of a reply.
//!
//! Its threads end with their connections, the accepting one with the process.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;

/// Nothing is broken.
const NEVER: i64 = i64::MAX;

/// A relay to one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    relay: Relay,
}

#[derive(Clone, Debug)]
struct Relay {
    /// How many bytes of replies still pass.
    left: Arc<AtomicI64>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a relay to a port of this machine.
    pub(crate) fn start(server: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let relay = Relay {
            left: Arc::new(AtomicI64::new(NEVER)),
            cuts: Arc::default(),
        };
        let proxy = Proxy {
            port: listener.local_addr()?.port(),
            relay: relay.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // While the server is away its clients are closed, as by a machine without a listener.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                    relay.clone().connect(client, server);
                }
            }
        });
        Ok(proxy)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Breaks a connection once so many bytes of replies, of all connections together, have passed from here on.
    pub(crate) fn cut_after(&self, bytes: u32) {
        self.relay.left.store(i64::from(bytes), Ordering::SeqCst);
    }

    /// How many connections were broken.
    pub(crate) fn cuts(&self) -> usize {
        self.relay.cuts.load(Ordering::SeqCst)
    }
}

impl Relay {
    fn connect(self, client: TcpStream, server: TcpStream) {
        let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        drop(client.set_nodelay(true));
        drop(server.set_nodelay(true));
        thread::spawn(move || {
            // How a connection ends is what this relay is for.
            drop(io::copy(&mut from_client, &mut to_server));
            drop(to_server.shutdown(Shutdown::Both));
        });
        thread::spawn(move || self.answer(server, client));
    }

    fn answer(self, mut from_server: TcpStream, mut to_client: TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
            let passing = self.passing(length);
            if to_client.write_all(&buffer[..passing]).is_err() || passing < length {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
        drop(from_server.shutdown(Shutdown::Both));
    }

    /// Takes `length` bytes off what may pass; returns how many of them do. The first that do not all pass end it.
    fn passing(&self, length: usize) -> usize {
        let wanted = i64::try_from(length).unwrap_or(i64::MAX);
        let next = |left: i64| match left {
            NEVER => None,
            left if left < wanted => Some(NEVER),
            left => Some(left - wanted),
        };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
            Ok(left) if left < wanted => {
                self.cuts.fetch_add(1, Ordering::SeqCst);
                usize::try_from(left).unwrap_or_default()
            }
            Ok(_) | Err(_) => length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_broken_off_in_its_middle_and_only_that_one() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap().port()).unwrap();
        thread::spawn(move || {
            for mut client in server.incoming().flatten() {
                client.write_all(b"0123456789").unwrap();
            }
        });
        let read = || {
            let mut text = String::new();
            let mut stream = TcpStream::connect(proxy.address()).unwrap();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        proxy.cut_after(4);
        assert_eq!([read(), read()], ["0123", "0123456789"]);
        assert_eq!(proxy.cuts(), 1);
    }
}
