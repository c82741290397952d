//! The webhook adapter against a real receiver on loopback.

#![expect(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adapters::webhook::{Answer, Clock, Delivery, Failure, Guard, Pool, Settings, secrets};
use crossbeam_channel::Receiver;
use fixtures::sink::{Reply, Request, Script, Sink};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);
const DRIP: Duration = Duration::from_millis(20);

/// A pool and the answers that it gave.
struct Line {
    pool: Pool,
    answers: Receiver<(String, Answer)>,
}

impl Line {
    fn start(settings: &Settings) -> Line {
        let (answered, answers) = crossbeam_channel::unbounded();
        let pool = Pool::start(settings, move |key, answer| {
            // A test that has seen enough does not listen any more.
            drop(answered.send((key, answer)));
        });
        let pool = pool.unwrap();
        Line { pool, answers }
    }

    fn post(&self, url: &str) -> Answer {
        self.send(delivery("k", url));
        self.answer()
    }

    fn send(&self, delivery: Delivery) {
        self.pool.send(delivery).unwrap();
    }

    fn answer(&self) -> Answer {
        self.answers.recv_timeout(LONG).unwrap().1
    }
}

fn loopback() -> Settings {
    let guard = Guard::with_default_deny(vec!["127.0.0.0/8".parse().unwrap()]);
    Settings {
        threads: 4,
        ..Settings::new(guard, Clock::new(|| 0))
    }
}

fn hurried() -> Settings {
    Settings {
        total: SHORT,
        ..loopback()
    }
}

fn delivery(key: &str, url: &str) -> Delivery {
    Delivery {
        key: key.to_owned(),
        url: url.to_owned(),
        webhook_id: "msg_abc".to_owned(),
        body: br#"{"id":"t-1","status":0,"detail":{}}"#.to_vec(),
        traceparent: None,
        begin_by: None,
    }
}

fn failed(reason: Failure, status: Option<u16>) -> Answer {
    Answer::Failed {
        reason,
        status,
        retry_after: None,
    }
}

fn reason(answer: Answer) -> Failure {
    match answer {
        Answer::Failed { reason, .. } => reason,
        Answer::Delivered { .. } | Answer::Gone | Answer::NotBegun => {
            panic!("not a failure: {answer:?}")
        }
    }
}

fn scripted(reply: Reply) -> Sink {
    Sink::start(Script::default().on("/hook", [reply]))
}

#[test]
fn a_delivery_is_one_post_with_the_bytes_and_headers_of_the_contract() {
    let sink = scripted(Reply::status(204));
    let line = Line::start(&loopback());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    line.send(Delivery {
        traceparent: Some(trace.to_owned()),
        ..delivery("key-1", &sink.url("/hook?token=x#part"))
    });
    let answer = line.answers.recv_timeout(LONG).unwrap();
    assert_eq!(answer, ("key-1".to_owned(), Answer::Delivered { status: 204 }));
    let requests = sink.requests();
    let [request] = requests.as_slice() else {
        panic!("one request: {requests:?}")
    };
    let mut headers: BTreeMap<&str, &str> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let timestamp: u64 = headers.remove("webhook-timestamp").unwrap().parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now.as_secs() - timestamp <= LONG.as_secs());
    let host = sink.url("").replace("http://", "");
    let agent = concat!("job-worker/", env!("CARGO_PKG_VERSION"));
    let expected = BTreeMap::from([
        ("accept", "*/*"),
        ("content-length", "35"),
        ("content-type", "application/json"),
        ("host", host.as_str()),
        ("traceparent", trace),
        ("user-agent", agent),
        ("webhook-id", "msg_abc"),
    ]);
    assert_eq!(headers, expected);
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/hook?token=x")
    );
    assert_eq!(request.body, delivery("", "").body);
}

#[test]
fn each_attempt_is_made_once() {
    let sink = Sink::start(Script::default().on("/hook", [500, 503, 200].map(Reply::status)));
    let line = Line::start(&loopback());
    let answers = [(); 3].map(|()| line.post(&sink.url("/hook")));
    assert_eq!(
        answers,
        [
            failed(Failure::Status, Some(500)),
            failed(Failure::Status, Some(503)),
            Answer::Delivered { status: 200 },
        ]
    );
    assert_eq!(sink.requests().len(), 3);
}

#[test]
fn a_redirect_is_a_failure() {
    let elsewhere = Sink::start(Script::default());
    let line = Line::start(&loopback());
    for status in [301, 302, 303, 307, 308] {
        let sink = scripted(Reply::redirect(status, &elsewhere.url("/")));
        let answer = line.post(&sink.url("/hook"));
        assert_eq!(answer, failed(Failure::Redirect, Some(status)));
    }
    for status in [300, 302, 304] {
        let sink = scripted(Reply::status(status));
        let answer = line.post(&sink.url("/hook"));
        assert_eq!(answer, failed(Failure::Redirect, Some(status)));
    }
    assert_eq!(elsewhere.requests(), Vec::<Request>::new());
}

#[test]
fn gone_is_a_class_of_its_own() {
    let sink = scripted(Reply::status(410));
    assert_eq!(Line::start(&loopback()).post(&sink.url("/hook")), Answer::Gone);
}

#[test]
fn the_wait_that_a_receiver_asks_for_is_reported() {
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    let sink = Sink::start(Script::default().on(
        "/hook",
        [
            Reply::retry_after(429, "120"),
            Reply::retry_after(503, &in_an_hour),
            Reply::retry_after(503, "later"),
        ],
    ));
    let line = Line::start(&loopback());
    let waits = [(); 3].map(|()| match line.post(&sink.url("/hook")) {
        Answer::Failed { retry_after, .. } => retry_after,
        Answer::Delivered { .. } | Answer::Gone | Answer::NotBegun => panic!("not a failure"),
    });
    assert_eq!(waits[0], Some(Duration::from_secs(120)));
    let hour = waits[1].unwrap().as_secs();
    assert!((3570..=3600).contains(&hour), "{hour}");
    assert_eq!(waits[2], None);
}

#[test]
fn a_receiver_that_does_not_answer_ends_with_the_time() {
    let line = Line::start(&hurried());
    for reply in [Reply::Hang, Reply::DripHead(DRIP)] {
        let sink = scripted(reply);
        let began = Instant::now();
        let answer = line.post(&sink.url("/hook"));
        let late = failed(Failure::Timeout("global".to_owned()), None);
        assert_eq!(answer, late);
        assert!(began.elapsed() >= SHORT);
    }
}

#[test]
fn the_time_also_bounds_a_handshake_that_drips() {
    let line = Line::start(&Settings {
        connect: SHORT,
        ..loopback()
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let receiver = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        // The head of a TLS record of 16 KiB, and then its bytes one by one.
        let mut next: &[u8] = &[0x16, 3, 3, 0x40, 0];
        while stream.write_all(next).is_ok() {
            next = &[0];
            std::thread::park_timeout(DRIP);
        }
    });
    let answer = line.post(&url);
    assert_eq!(answer, failed(Failure::Timeout("connect".to_owned()), None));
    receiver.join().unwrap();
}

#[test]
fn an_endless_body_does_not_delay_the_answer_for_long() {
    let line = Line::start(&loopback());
    for reply in [Reply::Flood, Reply::DripBody(DRIP)] {
        let sink = scripted(reply);
        let began = Instant::now();
        let answer = line.post(&sink.url("/hook"));
        assert_eq!(answer, Answer::Delivered { status: 200 });
        assert!(began.elapsed() < LONG);
    }
}

#[test]
fn a_body_beyond_the_bound_is_not_read_to_its_end() {
    let line = Line::start(&loopback());
    let connections = [3, 5].map(|kib| {
        let sink = scripted(Reply::Status {
            status: 200,
            headers: Vec::new(),
            body: vec![b'a'; kib * 1024],
        });
        for _ in 0..2 {
            line.post(&sink.url("/hook"));
        }
        sink.connections()
    });
    assert_eq!(connections, [1, 2]);
}

#[test]
fn a_head_that_is_too_long_is_a_failure() {
    let sink = scripted(Reply::HugeHead(64 * 1024));
    let answer = Line::start(&loopback()).post(&sink.url("/hook"));
    assert_eq!(answer, failed(Failure::HeadTooLong, None));
}

#[test]
fn a_broken_conversation_is_named() {
    let line = Line::start(&loopback());
    let kinds = [
        Reply::Close,
        Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 20".to_vec()),
    ]
    .map(|reply| {
        let sink = scripted(reply);
        reason(line.post(&sink.url("/hook"))).kind()
    });
    assert_eq!(kinds, ["connection", "protocol", "connection"]);

    let refused = reason(line.post("http://127.0.0.1:1/nobody-listens"));
    assert_eq!(refused.kind(), "connection");
    assert!(refused.to_string().contains("Connection refused"), "{refused}");
}

#[test]
fn no_spelling_of_loopback_passes_the_guard() {
    let sink = Sink::start(Script::default());
    let guard = Guard::with_default_deny(Vec::new());
    let line = Line::start(&Settings::new(guard, Clock::new(|| 0)));
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ] {
        let refusal = reason(line.post(&sink.url_at(host, "/hook")));
        assert_eq!(refusal.kind(), "denied", "{host}: {refusal}");
    }
    assert_eq!(sink.connections(), 0);
    let named = reason(line.post(&sink.url_at("127.1", "/hook")));
    assert_eq!(
        named.to_string(),
        "the address 127.0.0.1 is in 127.0.0.0/8, which WEBHOOK_DENY_CIDRS denies"
    );
}

#[test]
fn an_exception_also_opens_a_name() {
    let sink = Sink::start(Script::default());
    let line = Line::start(&loopback());
    let answer = line.post(&sink.url_at("localhost", "/hook"));
    assert_eq!(answer, Answer::Delivered { status: 200 });
}

#[test]
fn a_url_that_cannot_be_called_is_a_failure() {
    let line = Line::start(&loopback());
    let answer = line.post("http://user:pass@127.0.0.1/hook");
    assert_eq!(answer, failed(Failure::Url, None));
}

#[test]
fn a_delivery_whose_deadline_has_passed_is_not_begun() {
    let sink = Sink::start(Script::default());
    let now = Arc::new(AtomicU64::new(999));
    let read = Arc::clone(&now);
    let line = Line::start(&Settings {
        clock: Clock::new(move || read.load(Ordering::SeqCst)),
        ..loopback()
    });
    let by_1000 = || Delivery {
        begin_by: Some(1000),
        ..delivery("k", &sink.url("/hook"))
    };
    line.send(by_1000());
    assert_eq!(line.answer(), Answer::Delivered { status: 200 });
    now.store(1000, Ordering::SeqCst);
    line.send(by_1000());
    assert_eq!(line.answer(), Answer::NotBegun);
    assert_eq!(sink.requests().len(), 1);
}

#[test]
fn a_full_queue_gives_the_delivery_back() {
    let sink = scripted(Reply::Hang);
    let line = Line::start(&Settings {
        threads: 1,
        queue: 1,
        ..loopback()
    });
    line.send(delivery("first", &sink.url("/hook")));
    sink.wait_for(1, LONG).unwrap();
    line.send(delivery("second", &sink.url("/hook")));
    let third = delivery("third", &sink.url("/hook"));
    assert_eq!(line.pool.send(third.clone()), Err(Box::new(third)));
}

#[test]
fn a_shutdown_interrupts_what_hangs_and_answers_all() {
    let sink = scripted(Reply::Hang);
    let line = Line::start(&Settings {
        threads: 1,
        ..loopback()
    });
    line.send(delivery("hangs", &sink.url("/hook")));
    line.send(delivery("waits", &sink.url("/hook")));
    sink.wait_for(1, LONG).unwrap();
    assert!(line.pool.shutdown(DRIP));
    let answers: Vec<(String, Answer)> = line.answers.iter().collect();
    assert_eq!(
        answers,
        [
            ("hangs".to_owned(), failed(Failure::Interrupted, None)),
            ("waits".to_owned(), Answer::NotBegun),
        ]
    );
}

#[test]
fn a_shutdown_lets_an_attempt_end_within_its_grace() {
    let sink = scripted(Reply::Hang);
    let line = Line::start(&loopback());
    line.send(delivery("hangs", &sink.url("/hook")));
    sink.wait_for(1, LONG).unwrap();
    let (pool, answers) = (line.pool, line.answers);
    let ended = std::thread::spawn(move || pool.shutdown(LONG));
    sink.release();
    assert!(ended.join().unwrap());
    let answers: Vec<Answer> = answers.iter().map(|(_, answer)| answer).collect();
    let [answer] = answers.try_into().unwrap();
    assert_eq!(reason(answer).kind(), "connection");
}

#[test]
fn a_receiver_that_hangs_does_not_hold_up_another() {
    let hanging = scripted(Reply::Hang);
    let healthy = Sink::start(Script::default());
    let line = Line::start(&loopback());
    for _ in 0..3 {
        line.send(delivery("slow", &hanging.url("/hook")));
    }
    hanging.wait_for(3, LONG).unwrap();
    assert_eq!(
        line.post(&healthy.url("/hook")),
        Answer::Delivered { status: 200 }
    );
}

#[test]
fn all_secrets_sign_and_a_new_file_is_used() {
    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets");
    std::fs::write(&path, FIRST).unwrap();
    let now = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&now);
    let line = Line::start(&Settings {
        clock: Clock::new(move || read.load(Ordering::SeqCst)),
        secret_file: Some(path.clone()),
        ..loopback()
    });
    let sink = Sink::start(Script::default());
    line.post(&sink.url("/hook"));
    let both = format!("{FIRST}\n{SECOND}\n");
    std::fs::write(&path, &both).unwrap();
    now.store(1000, Ordering::SeqCst);
    line.post(&sink.url("/hook"));
    let requests = sink.requests();
    for (request, text) in requests.iter().zip([FIRST, &both]) {
        let timestamp = request.header("webhook-timestamp").unwrap();
        let expected = secrets::Secrets::parse(text).unwrap().signature(
            "msg_abc",
            timestamp.parse().unwrap(),
            &request.body,
        );
        assert_eq!(request.header("webhook-signature"), Some(expected.as_str()));
    }
    assert_eq!(requests.len(), 2);
}

#[test]
fn a_thousand_deliveries_in_a_row_use_one_connection() {
    let mut short = Reply::status(200);
    if let Reply::Status { body, .. } = &mut short {
        body.extend_from_slice(b"{\"ok\":true}");
    }
    let sink = scripted(short);
    let line = Line::start(&loopback());
    let began = Instant::now();
    for _ in 0..1000 {
        assert_eq!(line.post(&sink.url("/hook")), Answer::Delivered { status: 200 });
    }
    println!(
        "1000 deliveries in a row: {} connections, {:?}",
        sink.connections(),
        began.elapsed()
    );
    assert_eq!(sink.connections(), 1);
}
