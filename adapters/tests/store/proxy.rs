//! A TCP relay that can lose the answer to a request that the server has done.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

type AtLoss = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Is a relay to one server, on a port of its own; its threads end with the process.
pub(crate) struct Proxy {
    port: u16,
    relay: Relay,
}

#[derive(Clone, Default)]
struct Relay {
    answers_to_lose: Arc<AtomicUsize>,
    answers: Arc<AtomicUsize>,
    at_loss: AtLoss,
}

impl Proxy {
    pub(crate) fn new(server: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::default();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            relay: relay.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
                    continue;
                };
                relay.clone().connect(client, server);
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the connection in place of each of the next `count` answers.
    pub(crate) fn lose_answers(&self, count: usize) {
        self.relay.answers_to_lose.store(count, Ordering::SeqCst);
    }

    /// Does something between the next loss and the end of its connection.
    pub(crate) fn at_loss(&self, act: impl FnOnce() + Send + 'static) {
        *self.relay.at_loss.lock().unwrap() = Some(Box::new(act));
    }

    /// Returns how many answers came from the server so far.
    pub(crate) fn answers(&self) -> usize {
        self.relay.answers.load(Ordering::SeqCst)
    }
}

impl Relay {
    fn connect(self, client: TcpStream, server: TcpStream) {
        let mut from_client = client.try_clone().unwrap();
        let mut to_server = server.try_clone().unwrap();
        thread::spawn(move || {
            std::io::copy(&mut from_client, &mut to_server).ok();
            to_server.shutdown(Shutdown::Both).ok();
        });
        thread::spawn(move || self.answer(server, client));
    }

    fn answer(self, mut from_server: TcpStream, mut to_client: TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
            self.answers.fetch_add(1, Ordering::SeqCst);
            let one_less = |left: usize| left.checked_sub(1);
            let lost = self
                .answers_to_lose
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            if lost.is_ok() {
                if let Some(act) = self.at_loss.lock().unwrap().take() {
                    act();
                }
                break;
            }
            if to_client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        to_client.shutdown(Shutdown::Both).ok();
        from_server.shutdown(Shutdown::Both).ok();
    }
}
