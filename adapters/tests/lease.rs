//! The lease adapter against a scripted API server on loopback.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use adapters::lease::{self, ANNOTATION, Error, Event, Handle, Settings, Status, Verb};
use crossbeam_channel::{Receiver, unbounded};
use engine::lease::Lost;
use serde_json::{Value, json};

const D: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(400);
/// What a loaded machine may add to any of the times above.
const SLACK: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);
/// An answer that does not come, for longer than any request may take.
const HANG: Duration = Duration::from_secs(20);

/// How the server answers a request, in place of the truth.
#[derive(Clone, Copy, Debug)]
enum Trick {
    /// Answers with this code and changes nothing.
    Refuse(u16),
    /// Does it, then closes the connection without an answer.
    DropReply,
    /// Never answers.
    Hang,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    log: Vec<String>,
    /// Tricks for the next requests of a method, in order.
    once: VecDeque<(&'static str, Trick)>,
    /// A trick for every request of a method.
    always: Vec<(&'static str, Trick)>,
}

#[derive(Clone)]
struct Server {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Self {
            url,
            state: Arc::default(),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                thread::spawn(move || server.answer(stream));
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test thread panicked with it")
    }

    fn config(&self) -> kube::Config {
        kube::Config::new(self.url.parse().expect("a URL"))
    }

    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (trick, code, answer) = self.state().decide(&method, &path, &body);
        match trick {
            Some(Trick::DropReply) => return None,
            Some(Trick::Hang) => thread::sleep(HANG),
            Some(Trick::Refuse(_)) | None => {}
        }
        let answer = answer.to_string();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .ok()
    }
}

impl State {
    fn decide(&mut self, method: &str, path: &str, body: &[u8]) -> (Option<Trick>, u16, Value) {
        let trick = match self.once.front() {
            Some((of, trick)) if *of == method => {
                let trick = *trick;
                self.once.pop_front();
                Some(trick)
            }
            Some(_) | None => self.always.iter().find(|(of, _)| *of == method).map(|(_, t)| *t),
        };
        let (code, answer) = match trick {
            Some(Trick::Refuse(code)) => (code, status(code)),
            Some(Trick::Hang) => (0, Value::Null),
            Some(Trick::DropReply) | None => self.perform(method, path, body),
        };
        self.log.push(format!("{method} {code}"));
        (trick, code, answer)
    }

    fn perform(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let all = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
        let one = format!("{all}/lock");
        let path = path.trim_end_matches('?');
        assert_eq!(path, if method == "POST" { all } else { &one });
        let sent = || serde_json::from_slice::<Value>(body).expect("JSON");
        match (method, self.lease.clone()) {
            ("GET", Some(lease)) => (200, lease),
            ("GET" | "PUT", None) => (404, status(404)),
            ("POST", None) => (201, self.store(sent())),
            ("PUT", Some(lease)) => {
                let sent = sent();
                if sent["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"] {
                    (200, self.store(sent))
                } else {
                    (409, status(409))
                }
            }
            _ => (409, status(409)),
        }
    }

    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    /// Changes the Lease as a person with kubectl would.
    fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut lease = self.lease.clone().expect("a Lease");
        change(&mut lease);
        self.store(lease);
    }

    fn spec(&self) -> Value {
        self.lease
            .as_ref()
            .map_or(Value::Null, |lease| lease["spec"].clone())
    }
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "scripted" })
}

fn settings(identity: &str) -> Settings {
    Settings {
        namespace: "ns".to_owned(),
        name: "lock".to_owned(),
        identity: identity.to_owned(),
        duration: D,
    }
}

fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    1 + u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).expect("not that long")
}

struct Replica {
    identity: String,
    handle: Handle,
    events: Receiver<Event>,
}

fn replica(server: &Server, identity: &str) -> Replica {
    let (sender, events) = unbounded();
    let tell = move |event| {
        // The test may have dropped its end.
        drop(sender.send(event));
    };
    let handle = lease::campaign(settings(identity), server.config(), clock, tell);
    Replica {
        identity: identity.to_owned(),
        handle: handle.expect("a campaign"),
        events,
    }
}

impl Replica {
    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("an event in time")
    }

    fn leads(&self) -> bool {
        self.handle.deadline().load(Ordering::SeqCst) > clock()
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a leader among `replicas`, with never more than one, and returns its place and how long it took.
fn leader(replicas: &[Replica]) -> (usize, Duration) {
    let begun = Instant::now();
    let mut found = None;
    until("one leads", || {
        let leading: Vec<_> = (0..replicas.len()).filter(|i| replicas[*i].leads()).collect();
        assert!(leading.len() <= 1, "{leading:?} lead at once");
        found = leading.first().copied();
        found.is_some()
    });
    (found.expect("just seen"), begun.elapsed())
}

const LEADS: Event = Event::Gained { transitions: 0 };

#[test]
fn of_three_replicas_one_leads_and_a_crash_and_a_release_pass_the_role_on() {
    let server = Server::start();
    let mut replicas: Vec<_> = ["a_1", "b_2", "c_3"].map(|name| replica(&server, name)).into();
    let (first, _) = leader(&replicas);
    let crashed = replicas.swap_remove(first);
    assert_eq!(crashed.event(), LEADS);
    let deadline = crashed.handle.deadline();
    crashed.handle.stop(false);
    assert_eq!(deadline.load(Ordering::SeqCst), 0);
    assert_eq!(server.state().spec()["holderIdentity"], crashed.identity.as_str());

    let (second, took) = leader(&replicas);
    assert!(
        took > D - RETRY - RETRY,
        "taken while it was still good: {took:?}"
    );
    assert!(took < D + RETRY * 6 / 5 + SLACK, "{took:?}");
    let released = replicas.swap_remove(second);
    assert_eq!(released.event(), Event::Gained { transitions: 1 });
    released.handle.stop(true);
    assert_eq!(
        released.events.recv().expect("it is there"),
        Event::Lost { why: Lost::Stopped }
    );

    let (third, took) = leader(&replicas);
    assert!(took < RETRY * 6 / 5 + SLACK, "{took:?}");
    assert_eq!(replicas[third].event(), Event::Gained { transitions: 2 });
}

#[test]
fn a_leader_renews_and_keeps_what_others_wrote() {
    let server = Server::start();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    assert_eq!(one.handle.watch().status(), Status::Leading);
    let first = one.handle.watch().deadline_ms();
    server
        .state()
        .edit(|lease| lease["metadata"]["labels"] = json!({ "team": "x" }));
    let acquired = server.state().spec()["acquireTime"].clone();
    until("two more renewals", || {
        one.handle.watch().deadline_ms() > first + 1_000
    });
    let state = server.state();
    assert_eq!(
        state.lease.as_ref().expect("a Lease")["metadata"]["labels"],
        json!({ "team": "x" })
    );
    assert_eq!(state.spec()["acquireTime"], acquired);
    assert_ne!(state.spec()["renewTime"], acquired);
    assert_eq!(one.events.try_recv().ok(), None);
}

#[test]
fn the_lease_names_the_namespaces_to_the_next_leader() {
    let server = Server::start();
    let named = || server.state().lease.clone().unwrap_or_default()["metadata"]["annotations"].clone();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    assert_eq!(named(), Value::Null);
    one.handle.known().add("b");
    until("a renewal writes it", || named() == json!({ ANNOTATION: "b" }));
    server.state().edit(|lease| {
        lease["metadata"]["annotations"] = json!({ "team": "x", ANNOTATION: "c,Not A Name" });
    });
    until("both are named", || {
        named() == json!({ "team": "x", ANNOTATION: "b,c" })
    });
    one.handle.known().remove("c");
    until("it is dropped", || {
        named() == json!({ "team": "x", ANNOTATION: "b" })
    });
    server.state().lease = None;
    until("a new Lease names it", || named() == json!({ ANNOTATION: "b" }));
    drop(one.handle);

    let two = replica(&server, "b_2");
    assert_eq!(two.event(), Event::Gained { transitions: 1 });
    assert_eq!(two.handle.known().snapshot(), BTreeSet::from(["b".to_owned()]));
}

#[test]
fn a_release_leaves_the_lease_without_holder_for_one_second() {
    let server = Server::start();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    let watch = one.handle.watch();
    one.handle.stop(true);
    let spec = server.state().spec();
    assert_eq!(
        (
            &spec["holderIdentity"],
            &spec["leaseDurationSeconds"],
            &spec["leaseTransitions"]
        ),
        (&json!(""), &json!(1), &json!(0))
    );
    assert_eq!((watch.deadline_ms(), watch.status()), (0, Status::Stopped));
}

#[test]
fn a_failed_write_is_sent_once_and_looked_at_before_the_next() {
    for (code, posted) in [(503, "POST 503"), (409, "POST 409")] {
        let server = Server::start();
        server.state().once.push_back(("POST", Trick::Refuse(code)));
        let one = replica(&server, "a_1");
        assert_eq!(one.event(), LEADS);
        let log = server.state().log[..5].to_vec();
        assert_eq!(log, ["GET 404", posted, "GET 404", "GET 404", "POST 201"]);
    }
}

#[test]
fn an_acquisition_whose_answer_was_lost_is_found_and_kept() {
    let server = Server::start();
    server.state().once.push_back(("POST", Trick::DropReply));
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    let log = server.state().log[..4].to_vec();
    assert_eq!(log, ["GET 404", "POST 201", "GET 200", "PUT 200"]);
}

#[test]
fn a_missing_permission_is_shown_not_hammered_and_picked_up_when_granted() {
    let server = Server::start();
    server.state().always.push(("POST", Trick::Refuse(403)));
    let one = replica(&server, "a_1");
    let begun = Instant::now();
    until("three attempts", || {
        server
            .state()
            .log
            .iter()
            .filter(|line| *line == "POST 403")
            .count()
            == 3
    });
    assert!(begun.elapsed() >= RETRY * 2, "{:?}", begun.elapsed());
    assert_eq!(one.handle.watch().status(), Status::Forbidden(Verb::Create));
    server.state().always.clear();
    assert_eq!(one.event(), LEADS);
    assert_eq!(one.handle.watch().status(), Status::Leading);
}

#[test]
fn a_hung_renewal_ends_the_role_by_itself_and_the_replica_campaigns_again() {
    let server = Server::start();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    server
        .state()
        .always
        .extend([("PUT", Trick::Hang), ("GET", Trick::Hang)]);
    let deadline = one.handle.deadline();
    assert_eq!(one.event(), Event::Lost { why: Lost::Expired });
    assert_eq!(deadline.load(Ordering::SeqCst), 0);
    assert!(matches!(one.handle.watch().status(), Status::Unreachable(_)));
    server.state().always.clear();
    assert_eq!(one.event(), LEADS);
}

#[test]
fn a_lease_that_names_another_holder_ends_the_role() {
    let server = Server::start();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    server
        .state()
        .edit(|lease| lease["spec"]["holderIdentity"] = json!("b_2"));
    let holder = "b_2".to_owned();
    assert_eq!(
        one.event(),
        Event::Lost {
            why: Lost::Taken { holder }
        }
    );
    assert_eq!(one.handle.watch().status(), Status::Standby);
}

#[test]
fn a_deleted_lease_is_created_again_without_a_change_of_role() {
    let server = Server::start();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    server.state().lease = None;
    until("it is back", || server.state().spec()["holderIdentity"] == "a_1");
    let state = server.state();
    let last = state
        .log
        .iter()
        .position(|line| line == "PUT 404")
        .expect("the renewal found out");
    assert_eq!(
        state.log[last..last + 4],
        ["PUT 404", "GET 404", "GET 404", "POST 201"]
    );
    drop(state);
    until("it leads", || one.leads());
    assert_eq!(one.events.try_recv().ok(), None);
}

#[test]
fn dropping_the_handle_ends_the_campaign_without_a_release() {
    let server = Server::start();
    let one = replica(&server, "a_1");
    assert_eq!(one.event(), LEADS);
    let watch = one.handle.watch();
    drop(one.handle);
    until("it has stopped", || watch.status() == Status::Stopped);
    assert_eq!(server.state().spec()["holderIdentity"], "a_1");
}

#[test]
fn the_holder_is_read_afresh() {
    let server = Server::start();
    let read = || lease::read_holder(&settings("x_9"), server.config());
    assert_eq!(read().expect("an answer"), None);
    server.state().store(json!({
        "metadata": { "name": "lock", "namespace": "ns" }, "spec": { "holderIdentity": "b_2" },
    }));
    assert_eq!(read().expect("an answer"), Some("b_2".to_owned()));
    server.state().once.push_back(("GET", Trick::Refuse(500)));
    assert!(matches!(read(), Err(Error::Read(_))));
    server.state().once.push_back(("GET", Trick::Hang));
    assert!(matches!(read(), Err(Error::TimedOut(_))));
}
