//! The HTTP door as clients meet it, good and bad ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::http::{self, CONNECTIONS_MAX, Response, Server};

/// Longer than any answer here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn door(timeout: Duration) -> Server {
    let routes = |path: &str| match path {
        "/healthz" => Response::text(200, "ok\n"),
        "/large" => Response::text(200, "x".repeat(7 * 1024 * 1024)),
        "/panic" => panic!("on purpose"),
        "/unready" => Response::text(503, "[-]redis down\n"),
        _ => Response::not_found(),
    };
    http::serve(&[([127, 0, 0, 1], 0).into()], timeout, Arc::new(routes)).expect("loopback has a free port")
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Reads to the end; a reset after the answer is an end too.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {} bytes", bytes.len()),
    }
    String::from_utf8(bytes).expect("answers are UTF-8")
}

fn ask(server: &Server, request: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).expect("the door reads");
    answer(&mut stream)
}

fn status(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn has(answer: &str, header: &str) -> bool {
    answer.lines().any(|line| line.eq_ignore_ascii_case(header))
}

#[test]
fn a_get_is_answered_and_the_connection_closed() {
    let server = door(PATIENCE);
    let ok = ask(&server, "GET /healthz?verbose=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((status(&ok), body(&ok)), ("HTTP/1.1 200 OK", "ok\n"));
    for header in [
        "Connection: close",
        "Content-Length: 3",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(has(&ok, header), "{header} in {ok}");
    }
    let unready = ask(&server, "GET /unready HTTP/1.1\r\n\r\n");
    assert_eq!(
        (status(&unready), body(&unready)),
        ("HTTP/1.1 503 Service Unavailable", "[-]redis down\n")
    );
    let nothing = ask(&server, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(
        (status(&nothing), body(&nothing)),
        ("HTTP/1.1 404 Not Found", "not found\n")
    );
}

#[test]
fn http_1_0_and_head_are_served_and_other_methods_refused() {
    let server = door(PATIENCE);
    let old = ask(&server, "GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!((status(&old), body(&old)), ("HTTP/1.0 200 OK", "ok\n"));
    let head = ask(&server, "HEAD /healthz HTTP/1.1\r\n\r\n");
    assert_eq!((status(&head), body(&head)), ("HTTP/1.1 200 OK", ""));
    assert!(has(&head, "Content-Length: 3"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let refused = ask(&server, &format!("{method} /healthz HTTP/1.1\r\n\r\n"));
        assert_eq!(status(&refused), "HTTP/1.1 405 Method Not Allowed");
        assert!(has(&refused, "Allow: GET, HEAD"), "{refused}");
    }
    assert_eq!(
        status(&ask(&server, "nonsense\r\n\r\n")),
        "HTTP/1.1 400 Bad Request"
    );
}

#[test]
fn of_pipelined_requests_the_first_is_answered_and_the_rest_dropped() {
    let server = door(PATIENCE);
    let both = "GET /healthz HTTP/1.1\r\nConnection: keep-alive\r\n\r\nGET /unready HTTP/1.1\r\n\r\n";
    let answer = ask(&server, both);
    assert_eq!(body(&answer), "ok\n");
    assert!(has(&answer, "Connection: close"), "{answer}");
}

#[test]
fn a_body_nobody_asked_for_does_not_cost_the_answer() {
    let server = door(PATIENCE);
    for headers in [
        "Content-Length: 900000",
        "Transfer-Encoding: chunked",
        "Content-Length: 900000\r\nExpect: 100-continue",
    ] {
        let request = format!(
            "POST /healthz HTTP/1.1\r\n{headers}\r\n\r\n{}",
            "b".repeat(900_000)
        );
        assert_eq!(status(&ask(&server, &request)), "HTTP/1.1 405 Method Not Allowed");
    }
    // A body that is promised and never sent.
    let promised = ask(&server, "GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(body(&promised), "ok\n");
}

#[test]
fn a_client_may_finish_its_body_after_the_answer() {
    let server = door(PATIENCE);
    let mut stream = connect(&server);
    stream
        .write_all(b"POST /healthz HTTP/1.1\r\nContent-Length: 30\r\n\r\n")
        .expect("the door reads");
    stream
        .peek(&mut [0])
        .expect("the answer does not wait for the body");
    for part in [b"first part", b"next part ", b"last part "] {
        stream.write_all(part).expect("the door still reads");
    }
    assert_eq!(status(&answer(&mut stream)), "HTTP/1.1 405 Method Not Allowed");
}

#[test]
fn a_head_may_have_8_kib_and_no_more() {
    let server = door(PATIENCE);
    let head = |length: usize| {
        let empty = "GET /healthz HTTP/1.1\r\nX: \r\n\r\n";
        format!(
            "GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(length - empty.len())
        )
    };
    assert_eq!(status(&ask(&server, &head(8 * 1024))), "HTTP/1.1 200 OK");
    for length in [8 * 1024 + 1, 9 * 1024, 100 * 1024] {
        assert_eq!(
            status(&ask(&server, &head(length))),
            "HTTP/1.1 431 Request Header Fields Too Large",
            "{length}"
        );
    }
}

#[test]
fn a_head_without_an_end_is_refused_at_8_kib_and_not_waited_for() {
    let server = door(PATIENCE * 10);
    let endless = format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(8 * 1024));
    assert_eq!(
        status(&ask(&server, &endless)),
        "HTTP/1.1 431 Request Header Fields Too Large"
    );
}

#[test]
fn a_half_sent_head_is_over_at_the_deadline() {
    let timeout = Duration::from_millis(300);
    let server = door(timeout);
    let started = Instant::now();
    let answer = ask(&server, "GET /healthz HTTP/1.1\r\nHost:");
    assert_eq!(status(&answer), "HTTP/1.1 408 Request Timeout");
    assert!(started.elapsed() >= timeout && started.elapsed() < PATIENCE);
}

#[test]
fn dripping_bytes_do_not_move_the_deadline() {
    let server = door(Duration::from_millis(400));
    let mut stream = connect(&server);
    let started = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("not zero");
    let mut byte = [0];
    let ended = loop {
        assert!(started.elapsed() < PATIENCE, "the connection is still open");
        if stream.write_all(b"x").is_err() {
            break started.elapsed();
        }
        match stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => break started.elapsed(),
        }
    };
    assert!(ended >= Duration::from_millis(400), "{ended:?}");
}

#[test]
fn a_client_that_reads_slowly_loses_the_rest_at_the_deadline() {
    let server = door(Duration::from_millis(500));
    let mut stream = connect(&server);
    stream
        .write_all(b"GET /large HTTP/1.1\r\n\r\n")
        .expect("the door reads");
    let started = Instant::now();
    let mut chunk = vec![0; 64 * 1024];
    let mut received = 0;
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        received += read;
        assert!(started.elapsed() < PATIENCE, "the connection is still open");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(received < 7 * 1024 * 1024, "{received}");
    let whole = door(PATIENCE);
    assert_eq!(
        body(&ask(&whole, "GET /large HTTP/1.1\r\n\r\n")).len(),
        7 * 1024 * 1024
    );
}

#[test]
fn idle_connections_are_bounded_and_keep_no_probe_out() {
    let server = door(PATIENCE);
    let idle: Vec<TcpStream> = (0..200).map(|_| connect(&server)).collect();
    for _ in 0..10 {
        let started = Instant::now();
        let answer = ask(&server, "GET /healthz HTTP/1.1\r\n\r\n");
        assert_eq!(body(&answer), "ok\n");
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    }
    // All of them were accepted before the probes were: what is open is what the door holds.
    let open = idle
        .iter()
        .filter(|stream| {
            let mut stream: &TcpStream = stream;
            stream.set_nonblocking(true).expect("a socket can");
            matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        })
        .count();
    assert!((1..=CONNECTIONS_MAX).contains(&open), "{open}");
}

#[test]
fn a_route_that_panics_is_answered_500_and_the_next_request_is_served() {
    let server = door(PATIENCE);
    let panicked = ask(&server, "GET /panic HTTP/1.1\r\n\r\n");
    assert_eq!(status(&panicked), "HTTP/1.1 500 Internal Server Error");
    assert_eq!(body(&ask(&server, "GET /healthz HTTP/1.1\r\n\r\n")), "ok\n");
    assert!(server.death.try_recv().is_err());
}

#[test]
fn a_dropped_door_is_closed() {
    let server = door(PATIENCE);
    let address = server.local_addr;
    assert_eq!(body(&ask(&server, "GET /healthz HTTP/1.1\r\n\r\n")), "ok\n");
    drop(server);
    let started = Instant::now();
    // A connection would wake the accept loop; binding does not.
    while TcpListener::bind(address).is_err() {
        assert!(started.elapsed() < PATIENCE, "{address} is still held");
        std::thread::yield_now();
    }
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let server = door(PATIENCE);
    let second = http::serve(
        &[server.local_addr],
        PATIENCE,
        Arc::new(|_| Response::not_found()),
    );
    match second {
        Err(error) => assert_eq!(error.to_string(), format!("listening on {}", server.local_addr)),
        Ok(_) => panic!("the address is in use"),
    }
}

#[test]
fn every_interface_answers_on_ipv4() {
    let server = http::serve(
        &http::every_interface(0),
        PATIENCE,
        Arc::new(|_| Response::text(200, "here\n")),
    )
    .expect("one of them can be bound");
    let mut stream = TcpStream::connect(("127.0.0.1", server.local_addr.port())).expect("the door listens");
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("the door reads");
    assert_eq!(body(&answer(&mut stream)), "here\n");
}
