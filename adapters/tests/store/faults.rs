//! What the store in Redis does when connections, servers, keys and disks fail.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use adapters::connection::Class;
use adapters::source::{DeadLetter, Source};
use adapters::store::{Batch, Conflict, Error, Op, RedisStore, Settings, Store, Trimmed};
use fixtures::redis::{Options, Server};

use super::place::{
    LONG, commit, digest, ingest, leader, list, loaded, moved, push, server, settings, task, tombstone,
};
use super::proxy::Proxy;

const SHORT: Duration = Duration::from_millis(300);
const DUE: Option<u64> = Some(1_700_000_000_123);

fn empty() -> Batch {
    Batch::default()
}

fn with_log(op: Op) -> Batch {
    Batch {
        ops: vec![op],
        log: vec![b"record".to_vec()],
    }
}

fn run<T: redis::FromRedisValue>(server: &Server, db: i64, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query(&mut server.connection(db).unwrap()).unwrap()
}

fn key(name: &str) -> String {
    format!("job-worker-{{lock}}:{name}")
}

fn refused(answer: &Result<Trimmed, Error>) -> Option<Class> {
    match answer {
        Err(Error::Refused(error)) => Some(error.class),
        _ => None,
    }
}

fn behind_proxy(server: &Server) -> (Proxy, RedisStore) {
    let proxy = Proxy::new(server.port());
    let mut store = RedisStore::open(settings(&proxy.address(), None)).unwrap();
    store.claim("pod-0").unwrap();
    (proxy, store)
}

#[test]
fn a_write_whose_answer_is_lost_is_done_once() {
    let server = server();
    let (proxy, mut store) = behind_proxy(&server);
    commit(&mut store, vec![ingest("a"), push("a/0")]).unwrap();
    proxy.lose_answers(1);
    let answer = store.commit(&with_log(moved("a", 1)), Instant::now() + LONG);
    assert_eq!(answer, Ok(Trimmed::default()));
    assert_eq!(loaded(&mut store)[0], task("a", 2, "after 1"));
    assert_eq!(run::<u64>(&server, 1, &["XLEN", &key("log")]), 1);
    assert_eq!(run::<u64>(&server, 1, &["HGET", &key("epoch"), "seq"]), 3);
    commit(&mut store, vec![moved("a", 2)]).unwrap();
}

#[test]
fn a_write_that_is_never_answered_is_unknown_and_the_next_one_sees_it() {
    let server = server();
    let (proxy, mut store) = behind_proxy(&server);
    store.beat(Instant::now() + LONG).unwrap();
    proxy.lose_answers(usize::MAX);
    let answer = store.commit(&with_log(ingest("a")), Instant::now() + SHORT);
    let unknown = |answer| match answer {
        Err(Error::Unavailable { unknown, .. }) => unknown,
        other => panic!("{other:?}"),
    };
    assert!(unknown(answer));
    proxy.lose_answers(0);
    let conflict = Conflict::Ahead {
        known: 2,
        found: "3".to_owned(),
    };
    assert_eq!(
        commit(&mut store, vec![ingest("b")]),
        Err(Error::Conflict(conflict))
    );
    store.claim("pod-0").unwrap();
    assert_eq!(loaded(&mut store), [task("a", 1, "received")]);
    commit(&mut store, vec![ingest("b")]).unwrap();
}

#[test]
fn a_refusal_does_not_hide_that_the_same_write_may_be_done() {
    let server = server();
    let (proxy, mut store) = behind_proxy(&server);
    store.beat(Instant::now() + LONG).unwrap();
    let mut admin = server.connection(0).unwrap();
    proxy.at_loss(move || {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(1)
            .exec(&mut admin)
            .unwrap();
    });
    proxy.lose_answers(1);
    let answer = store.commit(&with_log(ingest("a")), Instant::now() + SHORT);
    let Err(Error::Unavailable { error, unknown }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((error.class, unknown), (Class::OutOfMemory, true));
    assert_eq!(loaded(&mut store), [task("a", 1, "received")]);
}

#[test]
fn a_server_that_is_away_is_waited_for_until_the_deadline() {
    let mut server = server();
    let mut store = leader(&server);
    commit(&mut store, vec![ingest("a")]).unwrap();
    server.kill().unwrap();
    let answer = store.commit(&empty(), Instant::now() + SHORT);
    assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
    let answer = store.commit(&empty(), Instant::now() + SHORT);
    let Err(Error::Unavailable { error, unknown }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((error.class, unknown), (Class::Unavailable, false));
    let restart = thread::spawn(move || {
        server.restart().unwrap();
        server
    });
    commit(&mut store, vec![moved("a", 1)]).unwrap();
    let _server = restart.join().unwrap();
    assert_eq!(loaded(&mut store), [task("a", 2, "after 1")]);
}

#[test]
fn a_frozen_server_does_not_hold_a_write_beyond_its_deadline() {
    let server = server();
    let mut store = leader(&server);
    server.stop().unwrap();
    // The first time on the open connection, the second time while a new one is not answered.
    for _ in 0..2 {
        let start = Instant::now();
        let answer = store.commit(&with_log(ingest("a")), start + SHORT);
        assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    }
    server.cont().unwrap();
    store.claim("pod-0").unwrap();
    commit(&mut store, vec![push("a/0")]).unwrap();
}

#[test]
fn a_script_that_the_server_forgot_is_sent_again() {
    let server = server();
    let mut store = leader(&server);
    run::<()>(&server, 0, &["SCRIPT", "FLUSH"]);
    commit(&mut store, vec![ingest("a")]).unwrap();
    run::<()>(&server, 0, &["SCRIPT", "FLUSH"]);
    store.claim("pod-0").unwrap();
}

#[test]
fn a_refused_write_changes_nothing_and_may_be_repeated() {
    let server = server();
    let mut store = leader(&server);
    commit(&mut store, vec![ingest("a")]).unwrap();
    let before = digest(&server);

    run::<()>(&server, 0, &["CONFIG", "SET", "maxmemory", "1"]);
    let answer = commit(&mut store, vec![moved("a", 1)]);
    assert_eq!(refused(&answer), Some(Class::OutOfMemory));
    assert_eq!(digest(&server), before);
    run::<()>(&server, 0, &["CONFIG", "SET", "maxmemory", "0"]);

    run::<()>(&server, 0, &["REPLICAOF", "127.0.0.1", "1"]);
    let answer = commit(&mut store, vec![moved("a", 1)]);
    assert_eq!(refused(&answer), Some(Class::ReadOnly));
    run::<()>(&server, 0, &["REPLICAOF", "NO", "ONE"]);
    assert_eq!(digest(&server), before);

    run::<()>(&server, 0, &["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let answer = store.commit(&with_log(moved("a", 1)), Instant::now() + SHORT);
    let Err(Error::Unavailable { unknown: false, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(digest(&server), before);
    run::<()>(&server, 0, &["CONFIG", "SET", "min-replicas-to-write", "0"]);
    commit(&mut store, vec![moved("a", 1)]).unwrap();
}

#[test]
fn an_emptied_store_is_fenced() {
    let server = server();
    let mut store = leader(&server);
    run::<()>(&server, 0, &["FLUSHALL"]);
    assert_eq!(store.beat(Instant::now() + LONG), Err(Error::Fenced));
    assert_eq!(store.claim("pod-0").unwrap().number, 1);
}

/// Everything that a batch can write, in the layout of two databases.
struct Everything {
    server: Server,
    store: RedisStore,
    batch: Batch,
}

impl Everything {
    fn new() -> Everything {
        let server = server();
        let queue = list(&server, 3);
        for raw in ["task", "refused", "copy"] {
            run::<()>(&server, 3, &["LPUSH", "queue-", raw]);
        }
        let taken = queue.take(3, LONG).unwrap();
        for delivery in &taken {
            queue.count_attempt(&delivery.receipt).unwrap();
        }
        let joint = queue.joint().cloned();
        let mut store = RedisStore::open(settings(&server.url(), joint)).unwrap();
        store.claim("pod-0").unwrap();
        let before = vec![ingest("old"), push("old/0"), push("old/1"), push("old/2")];
        commit(&mut store, before).unwrap();
        let letter = DeadLetter {
            receipt: taken[1].receipt.clone(),
            raw: taken[1].raw.clone(),
            reason: "INVALID_MESSAGE".to_owned(),
            detail: String::new(),
            at_ms: 1,
        };
        let ended = Op::Move {
            task: "old".to_owned(),
            expect: 1,
            snapshot: b"ended".to_vec(),
            due: None,
            forget_message: true,
            tombstone: Some(tombstone("done", Some(LONG * 1000))),
        };
        let ops = vec![
            Op::Ingest {
                task: "new".to_owned(),
                snapshot: b"received".to_vec(),
                due: DUE,
                message: Some(b"task".to_vec()),
                settle: Some(taken[0].receipt.clone()),
            },
            ended,
            push("new/0"),
            Op::OutAck {
                key: "old/0".to_owned(),
            },
            Op::OutRetry {
                key: "old/1".to_owned(),
                entry: b"later".to_vec(),
            },
            Op::OutDead {
                key: "old/2".to_owned(),
                dead: vec![("body".to_owned(), b"callback".to_vec())],
            },
            Op::DeadLetter { letter },
            Op::Settle {
                receipt: taken[2].receipt.clone(),
            },
        ];
        let log = vec![b"one".to_vec(), b"two".to_vec()];
        Everything {
            server,
            store,
            batch: Batch { ops, log },
        }
    }

    fn commit(&mut self) -> Result<Trimmed, Error> {
        self.store.commit(&self.batch, Instant::now() + LONG)
    }
}

#[test]
fn a_wrong_type_of_any_key_changes_nothing() {
    let own = ["epoch", "tasks", "live", "messages", "outbox", "dead", "log"];
    let own = own.map(|name| (1, key(name)));
    let queue = ["queue-:taken", "queue-:dead", "queue-:attempts"].map(|key| (3, key.to_owned()));
    for (db, key) in own.into_iter().chain(queue) {
        let mut all = Everything::new();
        let held: bool = run(&all.server, db, &["EXISTS", &key]);
        if held {
            run::<()>(&all.server, db, &["RENAME", &key, "aside"]);
        }
        run::<()>(&all.server, db, &["SET", &key, "text"]);
        let before = digest(&all.server);
        assert_eq!(all.commit(), Err(Error::WrongType { key: key.clone() }));
        assert_eq!(digest(&all.server), before, "{key}");
        run::<()>(&all.server, db, &["DEL", &key]);
        if held {
            run::<()>(&all.server, db, &["RENAME", "aside", &key]);
        }
        all.commit().unwrap();
    }
}

#[test]
fn a_wrong_type_stops_a_claim() {
    for name in ["epoch", "epoch:n", "instance"] {
        let server = server();
        let mut store = RedisStore::open(settings(&server.url(), None)).unwrap();
        run::<()>(&server, 1, &["LPUSH", &key(name), "text"]);
        let before = digest(&server);
        let wrong = Error::WrongType { key: key(name) };
        assert_eq!(store.claim("pod-0"), Err(wrong));
        assert_eq!(digest(&server), before, "{name}");
    }
}

#[test]
fn another_instance_is_refused() {
    let server = server();
    let mut store = leader(&server);
    let before = digest(&server);
    let mut other = RedisStore::open(Settings {
        namespace: "other".to_owned(),
        ..settings(&server.url(), None)
    })
    .unwrap();
    let instance = Error::Instance {
        ours: "other/lock".to_owned(),
        theirs: "default/lock".to_owned(),
    };
    assert_eq!(other.claim("pod-1"), Err(instance));
    assert_eq!(digest(&server), before);
    store.beat(Instant::now() + LONG).unwrap();
}

#[test]
fn a_login_that_may_not_write_all_keys_is_told_at_the_claim() {
    let server = server();
    let rule = "+@all -xadd";
    let mut words = vec!["ACL", "SETUSER", "worker", "on", ">secret", "~*"];
    words.extend(rule.split(' '));
    run::<()>(&server, 0, &words);
    let url = format!("redis://worker:secret@127.0.0.1:{}", server.port());
    let mut store = RedisStore::open(settings(&url, None)).unwrap();
    let permission = Error::Permission {
        command: "XADD".to_owned(),
        key: key("dead"),
    };
    assert_eq!(store.claim("pod-0"), Err(permission));
}

#[test]
fn an_old_server_is_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let info = "redis_version:6.2.14\r\n";
        let info = format!("${}\r\n{info}\r\n", info.len());
        let mut request = [0; 1024];
        while let Ok(length @ 1..) = client.read(&mut request) {
            let asked = String::from_utf8_lossy(&request[..length]).into_owned();
            let answer = if asked.contains("INFO") { &info } else { "+OK\r\n" };
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    let old = Error::TooOld {
        version: "6.2.14".to_owned(),
    };
    match RedisStore::open(settings(&address, None)) {
        Err(error) => assert_eq!(error, old),
        Ok(_) => panic!("an old server is accepted"),
    }
}

#[test]
fn the_settings_of_a_server_are_reported() {
    let server = Server::start(Options {
        appendonly: false,
        maxmemory: Some(100_000_000),
        settings: vec![("maxmemory-policy".to_owned(), "allkeys-lru".to_owned())],
        ..Options::default()
    })
    .unwrap();
    let mut store = RedisStore::open(settings(&server.url(), None)).unwrap();
    let report = store.settings_report().unwrap();
    assert_eq!(
        (
            &*report.role,
            report.appendonly,
            report.maxmemory,
            &*report.maxmemory_policy
        ),
        ("master", false, 100_000_000, "allkeys-lru")
    );
    assert_eq!(report.appendfsync.as_deref(), Some("everysec"));
    let weak = report.remarks().iter().filter(|remark| remark.weak).count();
    assert_eq!(weak, 2, "appendonly and maxmemory-policy");
}

#[test]
fn a_tombstone_expires_only_where_it_was_told_to() {
    let mut all = Everything::new();
    all.commit().unwrap();
    let left: i64 = run(&all.server, 1, &["PTTL", &key("done:old")]);
    let life = i64::try_from((LONG * 1000).as_millis()).unwrap();
    assert!(left > life - 60_000 && left <= life, "{left}");
    let stays = Op::Tombstone {
        task: "old".to_owned(),
        tombstone: tombstone("done", None),
    };
    commit(&mut all.store, vec![stays]).unwrap();
    assert_eq!(run::<i64>(&all.server, 1, &["PTTL", &key("done:old")]), -1);
    let short = Op::Tombstone {
        task: "old".to_owned(),
        tombstone: tombstone("done", Some(Duration::from_millis(1))),
    };
    commit(&mut all.store, vec![short]).unwrap();
    let deadline = Instant::now() + LONG;
    while all.store.tombstones(&["old"]).unwrap() != [None] {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn full_histories_are_trimmed_and_counted() {
    let mut all = Everything::new();
    let fill = redis::Script::new("for i = 1, 10500 do redis.call('XADD', KEYS[1], '*', 'field', i) end");
    for (db, name) in [(1, key("dead")), (3, "queue-:dead".to_owned())] {
        let mut connection = all.server.connection(db).unwrap();
        fill.key(name).invoke::<()>(&mut connection).unwrap();
    }
    let trimmed = all.commit().unwrap();
    let kept = |db, name: &str| run::<u64>(&all.server, db, &["XLEN", name]);
    assert_eq!(kept(1, &key("dead")), 10_501 - trimmed.callbacks);
    assert_eq!(kept(3, "queue-:dead"), 10_501 - trimmed.letters);
    assert!(trimmed.callbacks >= 400 && trimmed.letters >= 400);
    assert_eq!(trimmed.records, 0);
}

#[test]
fn nothing_is_left_behind_by_a_task_that_is_forgotten() {
    let server = server();
    let mut store = leader(&server);
    let before = run::<Vec<String>>(&server, 1, &["KEYS", "*"]).len();
    commit(&mut store, vec![ingest("a"), push("a/0")]).unwrap();
    assert_eq!(run::<Vec<String>>(&server, 1, &["KEYS", "*"]).len(), before + 4);
    let forget = Op::Forget {
        task: "a".to_owned(),
        expect: 1,
    };
    let ack = Op::OutAck {
        key: "a/0".to_owned(),
    };
    commit(&mut store, vec![forget, ack]).unwrap();
    assert_eq!(run::<Vec<String>>(&server, 1, &["KEYS", "*"]).len(), before);
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_server_that_lost_acknowledged_writes_is_found_out() {
    let mut server = server();
    let mut store = leader(&server);
    commit(&mut store, vec![ingest("a")]).unwrap();
    let aof = server.directory().join("appendonlydir");
    let copy = server.directory().join("copy");
    copy_directory(&aof, &copy);
    for version in 1..=3 {
        commit(&mut store, vec![moved("a", version)]).unwrap();
    }
    server.kill().unwrap();
    fs::remove_dir_all(&aof).unwrap();
    fs::rename(&copy, &aof).unwrap();
    server.restart().unwrap();
    let rollback = Error::Rollback {
        known: 5,
        found: "2".to_owned(),
    };
    assert_eq!(store.beat(Instant::now() + LONG), Err(rollback.clone()));
    // Even a write that fits the versions that are left.
    assert_eq!(commit(&mut store, vec![moved("a", 1)]), Err(rollback));
    store.claim("pod-0").unwrap();
    assert_eq!(loaded(&mut store), [task("a", 1, "received")]);
}

#[test]
fn acknowledged_writes_outlive_a_kill() {
    let mut server = server();
    let mut store = leader(&server);
    commit(&mut store, vec![ingest("a")]).unwrap();
    for version in 1..=20 {
        commit(&mut store, vec![moved("a", version)]).unwrap();
        server.restart().unwrap();
    }
    assert_eq!(loaded(&mut store), [task("a", 21, "after 20")]);
}

/// Cuts the append-only file inside the last write; sampled, since each cut needs a server of its own.
#[test]
fn a_torn_write_is_lost_as_a_whole() {
    const CUTS: usize = 40;
    let mut all = Everything::new();
    let file = all
        .server
        .directory()
        .join("appendonlydir/appendonly.aof.1.incr.aof");
    let before = (digest(&all.server), fs::metadata(&file).unwrap().len());
    all.commit().unwrap();
    let after = (digest(&all.server), fs::metadata(&file).unwrap().len());
    assert!(before.0 != after.0 && before.1 < after.1);
    all.server.kill().unwrap();
    let whole = fs::read(&file).unwrap();
    let length = usize::try_from(after.1 - before.1).unwrap();
    for cut in (1..=length).step_by(length / CUTS).chain([length]) {
        fs::write(&file, &whole[..whole.len() - cut]).unwrap();
        all.server.restart().unwrap();
        assert_eq!(digest(&all.server), before.0, "{cut} bytes of {length} cut");
        all.server.kill().unwrap();
    }
    fs::write(&file, &whole).unwrap();
    all.server.restart().unwrap();
    assert_eq!(digest(&all.server), after.0);
}

#[test]
fn a_commit_is_one_round_trip() {
    let server = server();
    let (proxy, mut store) = behind_proxy(&server);
    commit(&mut store, vec![ingest("a")]).unwrap();
    let before = proxy.answers();
    for version in 1..=10 {
        commit(&mut store, vec![moved("a", version), push("a/0")]).unwrap();
    }
    assert_eq!(proxy.answers() - before, 10);
}

/// Prints how long a commit takes; nothing is asserted, since machines differ.
#[test]
fn the_time_of_a_commit_is_printed() {
    let server = Server::start(Options::default()).unwrap();
    let mut store = leader(&server);
    let snapshot = vec![b'x'; 400];
    for size in [1_u64, 16, 128] {
        let name = |n| format!("{size}-{n}");
        commit(&mut store, (0..size).map(|n| ingest(&name(n))).collect()).unwrap();
        let rounds = 2_000 / size + 20;
        run::<()>(&server, 0, &["CONFIG", "RESETSTAT"]);
        let start = Instant::now();
        for expect in 1..=rounds {
            let step = |n| Op::Move {
                task: name(n),
                expect,
                snapshot: snapshot.clone(),
                due: DUE,
                forget_message: false,
                tombstone: None,
            };
            let batch = Batch {
                ops: (0..size).map(step).collect(),
                log: vec![snapshot.clone(); usize::try_from(size).unwrap()],
            };
            store.commit(&batch, Instant::now() + LONG).unwrap();
        }
        let each = start.elapsed().as_micros() / u128::from(rounds);
        let stats: String = run(&server, 0, &["INFO", "commandstats"]);
        let script = stats.lines().find(|line| line.contains("_evalsha:"));
        let script = script.and_then(|line| line.split([',', '=']).nth(5));
        println!("batch of {size}: {each} µs a commit, {script:?} µs of it in the script");
    }
}
