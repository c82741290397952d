//! A TCP relay that can lose the answer to a request that the server has done.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Is a relay to one server, on a port of its own; its threads end with the process.
pub(crate) struct Proxy {
    port: u16,
    answers_to_lose: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn new(server: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            answers_to_lose: Arc::default(),
            requests: Arc::default(),
        };
        let lose = Arc::clone(&proxy.answers_to_lose);
        let requests = Arc::clone(&proxy.requests);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
                    continue;
                };
                relay(client, server, &lose, &requests);
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the connection in place of each of the next `count` answers.
    pub(crate) fn lose_answers(&self, count: usize) {
        self.answers_to_lose.store(count, Ordering::SeqCst);
    }

    /// Returns how many answers came from the server so far.
    pub(crate) fn answers(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn relay(
    client: TcpStream,
    server: TcpStream,
    lose: &Arc<AtomicUsize>,
    answers: &Arc<AtomicUsize>,
) {
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let ended = std::io::copy(&mut from_client, &mut to_server);
        drop(ended);
        to_server.shutdown(Shutdown::Both).ok();
    });
    let (mut from_server, mut to_client) = (server, client);
    let (lose, answers) = (Arc::clone(lose), Arc::clone(answers));
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = from_server.read(&mut buffer) {
            answers.fetch_add(1, Ordering::SeqCst);
            let lost = lose
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
            if length == 0 || lost || to_client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        to_client.shutdown(Shutdown::Both).ok();
        from_server.shutdown(Shutdown::Both).ok();
    });
}
