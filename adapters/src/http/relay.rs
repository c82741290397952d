//! One connection: read a head, pass its request line on, give the answer back, close. All by one deadline.
//!
//! It never keeps a connection, reads a body or passes a header on: smuggling and half-sent bodies end here.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{HEAD_MAX, RESPONSE_MAX};

/// Room for the status line and headers that tiny_http puts before a body.
const RESPONSE_HEAD_MAX: usize = 4 * 1024;

/// Longest wait for the client's end after the answer: a close with unread bytes would reset the
/// connection and could take the answer with it (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// Bytes read and thrown away while lingering, such as a body nobody asked for.
const LINGER_MAX: usize = 1024 * 1024;

/// Serves one request and closes the connection.
pub(super) fn serve(client: &TcpStream, private: SocketAddr, deadline: Instant) {
    if let Err(error) = exchange(client, private, deadline) {
        log::debug!("an HTTP client left or stalled: {error}");
    }
}

fn exchange(client: &TcpStream, private: SocketAddr, deadline: Instant) -> io::Result<()> {
    let by_deadline = Timed {
        stream: client,
        deadline,
    };
    let answer = match read_head(by_deadline) {
        Ok(head) => match request_line(&head) {
            Some(line) => ask(private, line, deadline).unwrap_or_else(|error| {
                log::warn!("relaying an HTTP request: {error}");
                refusal(503, "Service Unavailable")
            }),
            None => refusal(400, "Bad Request"),
        },
        Err(HeadError::TooLong) => refusal(431, "Request Header Fields Too Large"),
        Err(HeadError::Read(error)) if timed_out(&error) => {
            // The deadline is over; the answer gets a moment and is not waited for.
            let moment = Timed {
                stream: client,
                deadline: Instant::now() + Duration::from_millis(100),
            };
            { moment }.write_all(&refusal(408, "Request Timeout"))?;
            return client.shutdown(Shutdown::Both);
        }
        Err(HeadError::Read(error)) => return Err(error),
    };
    { by_deadline }.write_all(&answer)?;
    client.shutdown(Shutdown::Write)?;
    linger(Timed {
        stream: client,
        deadline: deadline.min(Instant::now() + LINGER),
    })
}

enum HeadError {
    TooLong,
    Read(io::Error),
}

/// Reads up to the empty line that ends a head; what was sent after it may be in the result too.
fn read_head(mut client: Timed<'_>) -> Result<Vec<u8>, HeadError> {
    let mut head = Vec::with_capacity(1024);
    let mut chunk = [0; 1024];
    loop {
        // A line end may be split between two reads: look back by three bytes.
        let searched = head.len().saturating_sub(3);
        let read = client.read(&mut chunk).map_err(HeadError::Read)?;
        if read == 0 {
            return Err(HeadError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        head.extend_from_slice(&chunk[..read]);
        match head[searched..].windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) if searched + at + 4 <= HEAD_MAX => return Ok(head),
            None if head.len() < HEAD_MAX => {}
            Some(_) | None => return Err(HeadError::TooLong),
        }
    }
}

/// Gives the request line if it is one of HTTP/1 for a path: `GET /healthz HTTP/1.1`.
fn request_line(head: &[u8]) -> Option<&str> {
    let end = head.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&head[..end]).ok()?;
    let mut parts = line.split(' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = parts.next().is_none()
        && !method.is_empty()
        && method.bytes().all(|b| b.is_ascii_uppercase())
        && target.starts_with('/')
        && target.bytes().all(|b| b.is_ascii_graphic())
        && matches!(version, "HTTP/1.0" | "HTTP/1.1");
    well_formed.then_some(line)
}

/// Has tiny_http answer a request line; the result is the whole response, which says that the connection closes.
fn ask(private: SocketAddr, line: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect_timeout(&private, remaining(deadline)?)?;
    let mut timed = Timed {
        stream: &stream,
        deadline,
    };
    timed.write_all(format!("{line}\r\nHost: door\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    let bound = RESPONSE_MAX + RESPONSE_HEAD_MAX;
    timed
        .take(u64::try_from(bound).unwrap_or(u64::MAX))
        .read_to_end(&mut response)?;
    let status_line = response
        .windows(2)
        .position(|two| two == b"\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    response.splice(status_line..status_line, *b"\r\nConnection: close");
    Ok(response)
}

/// Writes an answer that the door gives itself.
fn refusal(status: u16, reason: &str) -> Vec<u8> {
    let mut answer = String::new();
    write!(
        answer,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reason}\n",
        reason.len() + 1
    )
    .expect("writing to a string");
    answer.into_bytes()
}

/// Waits for the client to close, throwing away what it still sends.
fn linger(mut client: Timed<'_>) -> io::Result<()> {
    let mut chunk = [0; 8 * 1024];
    let mut thrown = 0;
    while thrown < LINGER_MAX {
        match client.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => thrown += read,
            Err(error) if timed_out(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A stream whose every read and write ends by one absolute deadline, however slowly the bytes drip.
#[derive(Clone, Copy)]
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
        { self.stream }.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
        { self.stream }.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        { self.stream }.flush()
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// Tells a timeout; a socket says `WouldBlock` for it on Unix.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_request_line_goes_on() {
        assert_eq!(
            request_line(b"GET /a?b HTTP/1.0\r\nX: y\r\n\r\n"),
            Some("GET /a?b HTTP/1.0")
        );
        for bad in [
            "GET http://h/a HTTP/1.1\r\n",
            "GET /a  HTTP/1.1\r\n",
            "GET /a HTTP/1.1 \r\n",
            "GET /a HTTP/2.0\r\n",
            "GET /a\r\n",
            "get /a HTTP/1.1\r\n",
            " /a HTTP/1.1\r\n",
            "GET /\n HTTP/1.1\r\n",
            "GET /\u{e4} HTTP/1.1\r\n",
            "\r\n",
            "",
        ] {
            assert_eq!(request_line(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
