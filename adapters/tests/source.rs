//! What every queue promises, and what a Redis list promises beyond it, on a real redis-server.

#![expect(clippy::unwrap_used, reason = "a test fails where its scenery does")]

use std::cell::RefCell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adapters::connection::{Class, Target};
use adapters::endpoint::Secret;
use adapters::source::list::List;
use adapters::source::memory::Memory;
use adapters::source::{Cursor, DeadLetter, Delivery, Depth, Error, Receipt, Source};
use fixtures::redis::{Options, Server};

const NO_WAIT: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(120);

type Producer = Box<dyn Fn(&[u8])>;
type Law = fn(&Place);

/// Is a queue, a producer for it, and what keeps both alive.
struct Place {
    source: Arc<dyn Source>,
    push: Producer,
    _server: Option<Server>,
}

fn in_memory() -> Place {
    let queue = Arc::new(Memory::new());
    let producer = Arc::clone(&queue);
    Place {
        source: queue,
        push: Box::new(move |raw| producer.push(raw)),
        _server: None,
    }
}

fn in_redis(options: Options) -> Place {
    let server = Server::start(options).unwrap();
    let url = server.url();
    let producer = RefCell::new(server.connection(2).unwrap());
    let password = Some("secret".to_owned());
    Place {
        source: Arc::new(list(&url, password)),
        push: Box::new(move |raw| {
            redis::cmd("LPUSH")
                .arg("queue-")
                .arg(raw)
                .exec(&mut *producer.borrow_mut())
                .unwrap();
        }),
        _server: Some(server),
    }
}

fn list(url: &str, password: Option<String>) -> List {
    let target = Target {
        endpoint: url.parse().unwrap(),
        db: 2,
        password: password.map(Secret::new),
        ca: None,
    };
    List::new(&target, "queue-", "pod-0").unwrap()
}

fn with_password() -> Options {
    Options {
        password: Some("secret".to_owned()),
        fsync_always: true,
        ..Options::default()
    }
}

#[test]
fn a_queue_in_memory_keeps_the_contract() {
    contract(in_memory);
}

#[test]
fn a_redis_list_over_tcp_with_a_password_keeps_the_contract() {
    contract(|| in_redis(with_password()));
}

#[test]
fn a_redis_list_over_a_unix_socket_keeps_the_contract() {
    contract(|| {
        in_redis(Options {
            unix: true,
            ..with_password()
        })
    });
}

fn contract(make: impl Fn() -> Place) {
    let laws: [(&str, Law); 10] = [
        ("messages come in order", messages_come_in_order),
        ("an empty queue is waited for", an_empty_queue_is_waited_for),
        (
            "one message is taken as soon as it is there",
            one_is_taken_at_once,
        ),
        ("what is taken stays until it is acknowledged", taken_stays),
        ("leftovers come in pages", leftovers_come_in_pages),
        ("a dead letter is kept once", a_dead_letter_is_kept_once),
        (
            "attempts are counted until the message is settled",
            attempts_are_counted,
        ),
        ("acknowledging twice is no error", acknowledging_twice),
        ("equal messages are settled one by one", equal_messages),
        ("any bytes come back as they were", any_bytes),
    ];
    for (law, check) in laws {
        eprintln!("{law}");
        check(&make());
    }
}

fn raws(deliveries: &[Delivery]) -> Vec<&[u8]> {
    deliveries.iter().map(|delivery| &*delivery.raw).collect()
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries
        .iter()
        .map(|delivery| delivery.receipt.clone())
        .collect()
}

fn depth(waiting: u64, taken: u64, dead: u64) -> Depth {
    Depth { waiting, taken, dead }
}

fn letter(delivery: &Delivery) -> DeadLetter {
    DeadLetter {
        receipt: delivery.receipt.clone(),
        raw: delivery.raw.clone(),
        reason: "INVALID_MESSAGE".to_owned(),
        detail: "id: is missing".to_owned(),
        at_ms: 1_700_000_000_000,
    }
}

fn messages_come_in_order(place: &Place) {
    for raw in ["a", "b", "c", "d"] {
        (place.push)(raw.as_bytes());
    }
    assert_eq!(raws(&place.source.take(0, LONG).unwrap()), Vec::<&[u8]>::new());
    assert_eq!(raws(&place.source.take(3, LONG).unwrap()), [b"a", b"b", b"c"]);
    assert_eq!(raws(&place.source.take(3, LONG).unwrap()), [b"d"]);
    assert_eq!(place.source.depth().unwrap(), depth(0, 4, 0));
}

fn an_empty_queue_is_waited_for(place: &Place) {
    let start = Instant::now();
    assert_eq!(place.source.take(1, NO_WAIT).unwrap(), []);
    assert_eq!(place.source.take(1, SHORT).unwrap(), []);
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
}

fn one_is_taken_at_once(place: &Place) {
    let source = Arc::clone(&place.source);
    let taker = thread::spawn(move || source.take(10, LONG).unwrap());
    let start = Instant::now();
    // Answered while the taker blocks: settling does not wait for a message.
    place.source.acknowledge(&[]).unwrap();
    assert_eq!(place.source.depth().unwrap().taken, 0);
    (place.push)(b"only one");
    assert_eq!(raws(&taker.join().unwrap()), [b"only one"]);
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
}

fn taken_stays(place: &Place) {
    (place.push)(b"a");
    (place.push)(b"b");
    let taken = place.source.take(2, LONG).unwrap();
    let page = place.source.leftovers(Cursor::default(), 10).unwrap();
    assert_eq!(page.deliveries, taken);
    assert_eq!(page.next, None);
    place.source.acknowledge(&receipts(&taken[..1])).unwrap();
    let page = place.source.leftovers(Cursor::default(), 10).unwrap();
    assert_eq!(page.deliveries, taken[1..]);
    assert_eq!(place.source.depth().unwrap(), depth(0, 1, 0));
}

fn leftovers_come_in_pages(place: &Place) {
    for raw in ["a", "b", "c", "d", "e"] {
        (place.push)(raw.as_bytes());
    }
    let taken = place.source.take(4, LONG).unwrap();
    let first = place.source.leftovers(Cursor::default(), 2).unwrap();
    assert_eq!(first.deliveries, taken[..2]);
    // What is taken meanwhile comes behind the place of the cursor.
    let more = place.source.take(1, LONG).unwrap();
    let second = place.source.leftovers(first.next.unwrap(), 2).unwrap();
    assert_eq!(second.deliveries, taken[2..]);
    let third = place.source.leftovers(second.next.unwrap(), 2).unwrap();
    assert_eq!(third.deliveries, more);
    assert_eq!(third.next, None);
}

fn a_dead_letter_is_kept_once(place: &Place) {
    (place.push)(b"bad");
    let taken = place.source.take(1, LONG).unwrap();
    assert_eq!(place.source.dead_letter(&letter(&taken[0])).unwrap(), 0);
    assert_eq!(place.source.dead_letter(&letter(&taken[0])).unwrap(), 0);
    assert_eq!(place.source.depth().unwrap(), depth(0, 0, 1));
}

fn attempts_are_counted(place: &Place) {
    (place.push)(b"poison");
    let taken = place.source.take(1, LONG).unwrap();
    let receipt = &taken[0].receipt;
    assert_eq!(place.source.count_attempt(receipt).unwrap(), 1);
    assert_eq!(place.source.count_attempt(receipt).unwrap(), 2);
    place.source.forget_attempts(receipt).unwrap();
    assert_eq!(place.source.count_attempt(receipt).unwrap(), 1);
    place.source.acknowledge(&receipts(&taken)).unwrap();
    assert_eq!(place.source.count_attempt(receipt).unwrap(), 0);
    (place.push)(b"poison");
    let again = place.source.take(1, LONG).unwrap();
    assert_eq!(place.source.count_attempt(&again[0].receipt).unwrap(), 1);
    place.source.dead_letter(&letter(&again[0])).unwrap();
    assert_eq!(place.source.count_attempt(&again[0].receipt).unwrap(), 0);
}

fn acknowledging_twice(place: &Place) {
    (place.push)(b"a");
    (place.push)(b"b");
    let taken = place.source.take(2, LONG).unwrap();
    place.source.acknowledge(&receipts(&taken[..1])).unwrap();
    place.source.acknowledge(&receipts(&taken[..1])).unwrap();
    assert_eq!(place.source.depth().unwrap(), depth(0, 1, 0));
}

fn equal_messages(place: &Place) {
    (place.push)(b"same");
    (place.push)(b"same");
    let taken = place.source.take(2, LONG).unwrap();
    place.source.acknowledge(&receipts(&taken[..1])).unwrap();
    assert_eq!(place.source.depth().unwrap(), depth(0, 1, 0));
    place.source.acknowledge(&receipts(&taken[1..])).unwrap();
    assert_eq!(place.source.depth().unwrap(), depth(0, 0, 0));
}

fn any_bytes(place: &Place) {
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    (place.push)(&all);
    (place.push)(b"");
    let taken = place.source.take(2, LONG).unwrap();
    assert!(taken[0].raw == all && taken[1].raw.is_empty());
    place.source.acknowledge(&receipts(&taken)).unwrap();
    assert_eq!(place.source.depth().unwrap(), depth(0, 0, 0));
}

fn failed<T: std::fmt::Debug>(answer: Result<T, Error>) -> (Class, bool) {
    let Error::Redis(error) = answer.unwrap_err();
    (error.class, error.transient)
}

#[test]
fn a_letter_holds_message_reason_detail_and_time() {
    let server = Server::start(Options::default()).unwrap();
    let mut connection = server.connection(2).unwrap();
    let queue = list(&server.url(), None);
    redis::cmd("LPUSH")
        .arg("queue-")
        .arg("bad")
        .exec(&mut connection)
        .unwrap();
    let taken = queue.take(1, LONG).unwrap();
    queue.dead_letter(&letter(&taken[0])).unwrap();
    let letters: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg("queue-:dead")
        .arg("-")
        .arg("+")
        .query(&mut connection)
        .unwrap();
    let fields: std::collections::BTreeMap<&str, String> = letters.ids[0]
        .map
        .iter()
        .map(|(name, value)| (name.as_str(), redis::from_redis_value(value.clone()).unwrap()))
        .collect();
    let wanted = [
        ("detail", "id: is missing"),
        ("raw", "bad"),
        ("reason", "INVALID_MESSAGE"),
        ("time", "1700000000000"),
    ];
    assert_eq!(fields, wanted.map(|(k, v)| (k, v.to_owned())).into());
}

#[test]
fn the_predecessors_list_is_never_touched() {
    let server = Server::start(Options::default()).unwrap();
    let mut connection = server.connection(2).unwrap();
    let queue = list(&server.url(), None);
    for key in ["queue-:processing", "queue-"] {
        redis::cmd("LPUSH")
            .arg(key)
            .arg("old")
            .exec(&mut connection)
            .unwrap();
    }
    let taken = queue.take(5, LONG).unwrap();
    assert_eq!(raws(&taken), [b"old"]);
    assert_eq!(queue.leftovers(Cursor::default(), 5).unwrap().deliveries, taken);
    queue.acknowledge(&receipts(&taken)).unwrap();
    assert_eq!(queue.depth().unwrap(), depth(0, 0, 0));
    let left: Vec<String> = redis::cmd("LRANGE")
        .arg("queue-:processing")
        .arg(0)
        .arg(-1)
        .query(&mut connection)
        .unwrap();
    assert_eq!(left, ["old"]);
}

#[test]
fn old_letters_are_trimmed_and_counted() {
    let server = Server::start(Options::default()).unwrap();
    let mut connection = server.connection(2).unwrap();
    let queue = list(&server.url(), None);
    let fill =
        redis::Script::new("for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'raw', i) end");
    fill.key("queue-:dead")
        .arg(10_500)
        .invoke::<()>(&mut connection)
        .unwrap();
    redis::cmd("LPUSH")
        .arg("queue-")
        .arg("bad")
        .exec(&mut connection)
        .unwrap();
    let taken = queue.take(1, LONG).unwrap();
    let trimmed = queue.dead_letter(&letter(&taken[0])).unwrap();
    let kept = queue.depth().unwrap().dead;
    assert_eq!(kept + trimmed, 10_501);
    assert!((10_000..=10_100).contains(&kept), "{kept}");
}

/// Waits until the taker blocks, and returns the id of its connection.
fn blocked_client(connection: &mut redis::Connection) -> String {
    let deadline = Instant::now() + LONG;
    loop {
        let clients: String = redis::cmd("CLIENT").arg("LIST").query(connection).unwrap();
        let blocked = clients
            .lines()
            .find(|line| line.contains("name=job-worker:intake:pod-0") && line.contains("cmd=blmove"));
        if let Some(line) = blocked {
            return line.split(['=', ' ']).nth(1).unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "{clients}");
    }
}

#[test]
fn messages_that_come_together_are_taken_in_order() {
    let server = Server::start(Options::default()).unwrap();
    let mut connection = server.connection(2).unwrap();
    let queue = list(&server.url(), None);
    let taker = thread::spawn(move || queue.take(3, LONG).unwrap());
    blocked_client(&mut connection);
    redis::cmd("LPUSH")
        .arg("queue-")
        .arg("a")
        .arg("b")
        .arg("c")
        .exec(&mut connection)
        .unwrap();
    let taken = taker.join().unwrap();
    assert_eq!(raws(&taken)[0], b"a");
    assert_eq!(raws(&taken), [b"a", b"b", b"c"]);
}

#[test]
fn a_lost_connection_loses_no_message() {
    let server = Server::start(Options::default()).unwrap();
    let mut connection = server.connection(2).unwrap();
    let queue = Arc::new(list(&server.url(), None));
    let taker = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || queue.take(1, LONG))
    };
    let id = blocked_client(&mut connection);
    redis::cmd("CLIENT")
        .arg("KILL")
        .arg("ID")
        .arg(id)
        .exec(&mut connection)
        .unwrap();
    assert_eq!(failed(taker.join().unwrap()), (Class::Unanswered, true));
    redis::cmd("LPUSH")
        .arg("queue-")
        .arg("a")
        .exec(&mut connection)
        .unwrap();
    assert_eq!(raws(&queue.take(1, LONG).unwrap()), [b"a"]);
}

#[test]
fn each_failure_has_its_class() {
    let mut server = Server::start(with_password()).unwrap();
    let mut connection = server.connection(2).unwrap();
    let mut set = |name: &str, value: &str| {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg(name)
            .arg(value)
            .exec(&mut connection)
            .unwrap();
    };
    let queue = list(&server.url(), None);
    assert_eq!(queue.take(1, NO_WAIT).unwrap(), []);
    set("maxmemory", "1");
    assert_eq!(failed(queue.take(1, NO_WAIT)), (Class::OutOfMemory, true));
    assert_eq!(failed(queue.take(1, SHORT)), (Class::OutOfMemory, true));
    set("maxmemory", "0");
    redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .exec(&mut connection)
        .unwrap();
    assert_eq!(failed(queue.take(1, NO_WAIT)), (Class::ReadOnly, true));
    redis::cmd("REPLICAOF")
        .arg("NO")
        .arg("ONE")
        .exec(&mut connection)
        .unwrap();
    redis::cmd("SET")
        .arg("queue-")
        .arg("text")
        .exec(&mut connection)
        .unwrap();
    assert_eq!(failed(queue.take(1, NO_WAIT)), (Class::WrongType, false));
    assert_eq!(failed(queue.depth()), (Class::WrongType, false));

    let stranger = list(&format!("127.0.0.1:{}", server.port()), Some("wrong".to_owned()));
    assert_eq!(failed(stranger.depth()), (Class::Auth, false));
    let nobody = list(&format!("127.0.0.1:{}", server.port()), None);
    assert_eq!(failed(nobody.depth()), (Class::Auth, false));

    server.kill().unwrap();
    assert_eq!(failed(queue.take(1, NO_WAIT)), (Class::Unanswered, true));
    assert_eq!(failed(queue.take(1, NO_WAIT)), (Class::Unavailable, true));
    assert_eq!(failed(queue.depth()), (Class::Unavailable, true));
    server.restart().unwrap();
    assert_eq!(failed(queue.depth()), (Class::WrongType, false));
    // A connection that the server closed while idle is no failure of a reading.
    server.restart().unwrap();
    assert_eq!(failed(queue.depth()), (Class::WrongType, false));
}

#[test]
fn a_wrong_type_of_any_key_changes_nothing() {
    for key in ["queue-:taken", "queue-:dead", "queue-:attempts"] {
        let server = Server::start(Options {
            settings: vec![("enable-debug-command".to_owned(), "yes".to_owned())],
            ..Options::default()
        })
        .unwrap();
        let mut connection = server.connection(2).unwrap();
        let queue = list(&server.url(), None);
        redis::cmd("LPUSH")
            .arg("queue-")
            .arg("a")
            .arg("b")
            .exec(&mut connection)
            .unwrap();
        let taken = queue.take(1, LONG).unwrap();
        redis::cmd("SET")
            .arg(key)
            .arg("text")
            .exec(&mut connection)
            .unwrap();
        let mut digest = || -> String { redis::cmd("DEBUG").arg("DIGEST").query(&mut connection).unwrap() };
        let before = digest();
        let answer = queue.dead_letter(&letter(&taken[0]));
        assert_eq!(failed(answer), (Class::WrongType, false), "{key}");
        if key != "queue-:dead" {
            let answer = queue.count_attempt(&taken[0].receipt);
            assert_eq!(failed(answer), (Class::WrongType, false), "{key}");
            let answer = queue.acknowledge(&receipts(&taken));
            assert_eq!(failed(answer), (Class::WrongType, false), "{key}");
        }
        if key == "queue-:taken" {
            assert_eq!(failed(queue.take(1, SHORT)), (Class::WrongType, false));
        }
        assert_eq!(digest(), before, "{key}");
    }
}
