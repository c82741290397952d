//! tiny_http on its private port: it parses, calls the routes and answers; and the probe that tells whether it does.
//!
//! It never meets a client: `relay` speaks to it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tiny_http::{Header, Method, Request, Server};

use super::{Death, Error, Life, RESPONSE_MAX, Response, Routes};

/// How the private server is watched.
pub(super) struct Probe {
    /// From one probe to the next.
    pub(super) every: Duration,
    /// How long one answer may take.
    pub(super) patience: Duration,
    /// Unanswered probes in a row that are a death.
    pub(super) misses: u32,
}

const PROBE: Probe = Probe {
    every: Duration::from_secs(5),
    patience: Duration::from_secs(2),
    misses: 3,
};

/// Starts tiny_http on a free port of the loopback interface.
pub(super) fn private_server() -> Result<(Arc<Server>, SocketAddr), Error> {
    let private = |error: &dyn std::fmt::Display| Error::Private(error.to_string());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| private(&error))?;
    let address = listener.local_addr().map_err(|error| private(&error))?;
    let server = Server::from_listener(listener, None).map_err(|error| private(&error))?;
    Ok((Arc::new(server), address))
}

/// Starts the one thread that answers.
pub(super) fn start(server: Arc<Server>, routes: Routes, life: Arc<Life>) -> Result<(), Error> {
    life.thread("http-answer", move |life| {
        loop {
            match server.recv() {
                Ok(request) => answer(request, &routes),
                Err(error) => {
                    life.died(Death::Accept(error));
                    return;
                }
            }
        }
    })
}

/// Starts the probe; it ends when the other end of `stop` is dropped.
pub(super) fn start_probe(address: SocketAddr, stop: Receiver<()>, life: Arc<Life>) -> Result<(), Error> {
    life.thread("http-probe", move |life| probe(&PROBE, address, &stop, life))
}

pub(super) fn probe(settings: &Probe, address: SocketAddr, stop: &Receiver<()>, life: &Life) {
    let mut misses = 0;
    while stop.recv_timeout(settings.every) == Err(RecvTimeoutError::Timeout) {
        match ask(address, settings.patience) {
            Ok(()) => misses = 0,
            // Without a free descriptor here nothing is known about the server.
            Err(error) if out_of_descriptors(&error) => {
                log::warn!("the HTTP probe has no file descriptor: {error}");
            }
            Err(error) => {
                misses += 1;
                log::warn!(misses; "the private HTTP server did not answer: {error}");
            }
        }
        if misses >= settings.misses {
            life.died(Death::Silent { misses });
            return;
        }
    }
}

/// Tells the errors by which a process or a machine has run out of file descriptors (EMFILE, ENFILE).
fn out_of_descriptors(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| number == Some(errno.raw_os_error()))
}

/// Makes one request; any answer of HTTP is a sign of life.
fn ask(address: SocketAddr, patience: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")?;
    let mut start = [0; 7];
    stream.read_exact(&mut start)?;
    if &start != b"HTTP/1." {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not an answer of HTTP",
        ));
    }
    Ok(())
}

fn answer(request: Request, routes: &Routes) {
    let path = request.url().split('?').next().unwrap_or_default().to_owned();
    let answer = if matches!(request.method(), Method::Get | Method::Head) {
        catch_unwind(AssertUnwindSafe(|| routes(&path))).unwrap_or_else(|_| {
            log::error!(path; "the route panicked");
            Response::text(500, "internal error\n")
        })
    } else {
        Response::text(405, "only GET and HEAD\n")
    };
    let answer = match answer.body.len() <= RESPONSE_MAX {
        true => answer,
        false => {
            log::error!(path, bytes = answer.body.len(); "the response is longer than its bound");
            Response::text(500, "response too long\n")
        }
    };
    let mut response = tiny_http::Response::from_string(answer.body)
        .with_status_code(answer.status)
        // A content length is what lets HTTP/1.0 clients tell a cut answer from a whole one.
        .with_chunked_threshold(usize::MAX)
        .with_header(header("Content-Type", answer.content_type));
    for (name, value) in answer.headers {
        response.add_header(header(name, value));
    }
    if answer.status == 405 {
        response.add_header(header("Allow", "GET, HEAD"));
    }
    if let Err(error) = request.respond(response) {
        log::debug!("the door did not wait for its answer: {error}");
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("headers are printable ASCII constants")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fast() -> Probe {
        Probe {
            every: Duration::from_millis(1),
            patience: Duration::from_millis(20),
            misses: 3,
        }
    }

    #[test]
    fn a_server_that_answers_nothing_is_dead_after_its_misses() {
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (report, death) = crossbeam_channel::bounded(1);
        let (_stop, stopped) = crossbeam_channel::bounded(0);
        probe(&fast(), mute.local_addr().unwrap(), &stopped, &Life::new(report));
        assert!(matches!(death.try_recv(), Ok(Death::Silent { misses: 3 })));
    }

    #[test]
    fn a_server_that_answers_anything_lives_until_the_probe_is_stopped() {
        let (server, address) = private_server().unwrap();
        let (report, death) = crossbeam_channel::bounded(1);
        let life = Arc::new(Life::new(report));
        let (asked, answered) = crossbeam_channel::unbounded();
        let routes: Routes = Arc::new(move |path| {
            asked.send(path.to_owned()).unwrap();
            Response::text(503, "not well")
        });
        start(Arc::clone(&server), routes, Arc::clone(&life)).unwrap();
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let watching = Arc::clone(&life);
        let probing = std::thread::spawn(move || {
            let patient = Probe {
                patience: Duration::from_secs(5),
                ..fast()
            };
            probe(&patient, address, &stopped, &watching);
        });
        for _ in 0..10 {
            assert_eq!(answered.recv_timeout(Duration::from_secs(5)).unwrap(), "/livez");
        }
        life.stop();
        drop(stop);
        probing.join().unwrap();
        assert!(death.try_recv().is_err());
        server.unblock();
    }

    #[test]
    fn running_out_of_descriptors_is_told_apart() {
        assert!(out_of_descriptors(&io::Error::from_raw_os_error(24)));
        assert!(!out_of_descriptors(&io::ErrorKind::ConnectionRefused.into()));
    }
}
