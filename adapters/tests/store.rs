//! What every store promises, on memory and on a real redis-server in its three layouts.

#![expect(clippy::unwrap_used, reason = "a test fails where its scenery does")]

#[path = "store/faults.rs"]
mod faults;
#[path = "store/model.rs"]
mod model;
#[path = "store/place.rs"]
mod place;
#[path = "store/proxy.rs"]
mod proxy;

use std::time::{Duration, Instant};

use adapters::source::{Cursor, DeadLetter, Depth};
use adapters::store::{BYTES_MAX, Batch, Conflict, Error, OPS_MAX, Op, Store, Trimmed};

use place::{
    LONG, Place, ack, commit, entry, in_memory, ingest, loaded, moved, one_database, push, task, tombstone,
    two_databases, two_servers,
};

const DUE: Option<u64> = Some(1_700_000_000_123);

#[test]
fn a_store_in_memory_keeps_the_contract() {
    contract(in_memory);
}

#[test]
fn one_database_keeps_the_contract() {
    contract(one_database);
}

#[test]
fn two_databases_keep_the_contract() {
    contract(two_databases);
}

#[test]
fn two_servers_keep_the_contract() {
    contract(two_servers);
}

type Law = fn(&Place, &mut dyn Store);

fn contract(make: fn() -> Place) {
    let laws: [(&str, Law); 14] = [
        ("what is committed is loaded", committed_is_loaded),
        ("steps of one task may share a batch", steps_share_a_batch),
        ("a message is kept until it is forgotten", message_is_kept),
        ("tombstones are found", tombstones_are_found),
        ("another version is a conflict", another_version),
        ("a task that exists is a conflict", existing_task),
        ("a tombstone is a conflict", tombstone_conflicts),
        ("what is gone is told", gone_is_told),
        ("a later leader fences an earlier one", later_leader_fences),
        ("an unclaimed store refuses", unclaimed_refuses),
        ("bounds are kept", bounds_are_kept),
        ("a joint store settles", joint_store_settles),
        ("a split store refuses to settle", split_store_refuses),
        ("many tasks are loaded in order", many_tasks_are_loaded),
    ];
    for (law, check) in laws {
        eprintln!("{law}");
        let place = make();
        let mut store = (place.open)();
        store.claim("pod-0").unwrap();
        check(&place, &mut *store);
    }
}

fn committed_is_loaded(place: &Place, store: &mut dyn Store) {
    let ops = vec![ingest("b"), ingest("a"), push("b/0"), push("a/0"), push("a/1")];
    let log = vec![b"one".to_vec(), b"two".to_vec()];
    let trimmed = store.commit(&Batch { ops, log }, Instant::now() + LONG);
    assert_eq!(trimmed, Ok(Trimmed::default()));
    let retry = Op::OutRetry {
        key: "a/0".to_owned(),
        entry: b"later".to_vec(),
    };
    let dead = Op::OutDead {
        key: "b/0".to_owned(),
        dead: vec![("body".to_owned(), b"callback".to_vec())],
    };
    commit(store, vec![moved("a", 1), retry, dead, ack("a/1")]).unwrap();
    let mut next = (place.open)();
    assert_eq!(
        loaded(&mut *next),
        [
            task("a", 2, "after 1"),
            task("b", 1, "received"),
            entry("a/0", "later"),
        ]
    );
}

fn steps_share_a_batch(_: &Place, store: &mut dyn Store) {
    let forget = Op::Forget {
        task: "b".to_owned(),
        expect: 2,
    };
    let ops = vec![
        ingest("a"),
        moved("a", 1),
        push("a/0"),
        moved("a", 2),
        ack("a/0"),
        ingest("b"),
        moved("b", 1),
        forget,
        ingest("b"),
    ];
    commit(store, ops).unwrap();
    assert_eq!(loaded(store), [task("a", 3, "after 2"), task("b", 1, "received")]);
}

fn message_is_kept(_: &Place, store: &mut dyn Store) {
    commit(store, vec![ingest("a"), ingest("b"), ingest("c")]).unwrap();
    assert_eq!(store.message("a"), Ok(Some(b"{raw}".to_vec())));
    let created = Op::Move {
        task: "a".to_owned(),
        expect: 1,
        snapshot: Vec::new(),
        due: DUE,
        forget_message: true,
        tombstone: None,
    };
    let forget = Op::Forget {
        task: "b".to_owned(),
        expect: 1,
    };
    commit(store, vec![created, forget, moved("c", 1)]).unwrap();
    assert_eq!(
        store.messages(&["a", "b", "c", "d"]),
        Ok(vec![None, None, Some(b"{raw}".to_vec()), None])
    );
    assert_eq!(loaded(store), [task("a", 2, ""), task("c", 2, "after 1")]);
}

fn tombstones_are_found(_: &Place, store: &mut dyn Store) {
    let ended = Op::Move {
        task: "a".to_owned(),
        expect: 1,
        snapshot: b"completed".to_vec(),
        due: None,
        forget_message: true,
        tombstone: Some(tombstone("stays", None)),
    };
    commit(store, vec![ingest("a"), ended]).unwrap();
    assert_eq!(
        store.tombstones(&["b", "a"]),
        Ok(vec![None, Some(b"stays".to_vec())])
    );
    let day = Duration::from_secs(86_400);
    let replace = Op::Tombstone {
        task: "a".to_owned(),
        tombstone: tombstone("expires", Some(day)),
    };
    commit(store, vec![replace]).unwrap();
    assert_eq!(store.tombstones(&["a"]), Ok(vec![Some(b"expires".to_vec())]));
}

fn another_version(_: &Place, store: &mut dyn Store) {
    commit(store, vec![ingest("a"), ingest("b")]).unwrap();
    let before = loaded(store);
    let forget = Op::Forget {
        task: "b".to_owned(),
        expect: 2,
    };
    for (wrong, id) in [(moved("a", 2), "a"), (forget, "b")] {
        let answer = commit(store, vec![push("x"), ingest("c"), wrong]);
        let conflict = Conflict::Version(id.to_owned());
        assert_eq!(answer, Err(Error::Conflict(conflict)));
        assert_eq!(loaded(store), before);
    }
    commit(store, vec![moved("a", 1)]).unwrap();
}

fn existing_task(_: &Place, store: &mut dyn Store) {
    commit(store, vec![ingest("a")]).unwrap();
    let exists = |id: &str| Err(Error::Conflict(Conflict::Exists(id.to_owned())));
    assert_eq!(commit(store, vec![ingest("b"), ingest("a")]), exists("a"));
    assert_eq!(commit(store, vec![ingest("b"), ingest("b")]), exists("b"));
    assert_eq!(loaded(store), [task("a", 1, "received")]);
}

fn tombstone_conflicts(_: &Place, store: &mut dyn Store) {
    let stone = |task: &str| Op::Tombstone {
        task: task.to_owned(),
        tombstone: tombstone("done", None),
    };
    commit(store, vec![stone("a")]).unwrap();
    let conflict = |id: &str| Err(Error::Conflict(Conflict::Tombstone(id.to_owned())));
    assert_eq!(commit(store, vec![ingest("a")]), conflict("a"));
    assert_eq!(commit(store, vec![stone("b"), ingest("b")]), conflict("b"));
    assert_eq!(store.tombstones(&["b"]), Ok(vec![None]));
}

fn gone_is_told(_: &Place, store: &mut dyn Store) {
    let forget = Op::Forget {
        task: "a".to_owned(),
        expect: 1,
    };
    let retry = Op::OutRetry {
        key: "a".to_owned(),
        entry: Vec::new(),
    };
    let dead = Op::OutDead {
        key: "a".to_owned(),
        dead: vec![("body".to_owned(), Vec::new())],
    };
    for op in [moved("a", 1), forget, retry, dead, ack("a")] {
        let answer = commit(store, vec![ingest("b"), op.clone()]);
        assert_eq!(answer, Err(Error::Gone("a".to_owned())), "{op:?}");
    }
    assert_eq!(loaded(store), []);
}

fn later_leader_fences(place: &Place, store: &mut dyn Store) {
    commit(store, vec![ingest("a")]).unwrap();
    let mut next = (place.open)();
    let epoch = next.claim("pod-1").unwrap();
    assert_eq!(epoch.number, 2);
    let nonce = epoch.token.strip_prefix("2:pod-1:").unwrap();
    assert_eq!(nonce.len(), 32);
    assert_eq!(store.beat(Instant::now() + LONG), Err(Error::Fenced));
    assert_eq!(commit(store, vec![moved("a", 1)]), Err(Error::Fenced));
    commit(&mut *next, vec![moved("a", 1)]).unwrap();
    next.beat(Instant::now() + LONG).unwrap();
    store.claim("pod-0").unwrap();
    commit(store, vec![moved("a", 2)]).unwrap();
    assert_eq!(next.beat(Instant::now() + LONG), Err(Error::Fenced));
}

fn unclaimed_refuses(place: &Place, _: &mut dyn Store) {
    let answer = commit(&mut *(place.open)(), vec![ingest("a")]);
    assert_eq!(answer, Err(Error::Invalid("the store is not claimed")));
}

fn bounds_are_kept(_: &Place, store: &mut dyn Store) {
    let full: Vec<Op> = (0..OPS_MAX).map(|n| ingest(&format!("{n:03}"))).collect();
    let mut over = full.clone();
    over.push(ingest("one more"));
    let invalid = |answer: Result<Trimmed, Error>| matches!(answer, Err(Error::Invalid(_)));
    assert!(invalid(commit(store, over)));
    let large = Op::OutPush {
        key: "large".to_owned(),
        entry: vec![0; BYTES_MAX],
    };
    assert!(invalid(commit(store, vec![large.clone(), ack("large")])));
    let no_time = Op::Tombstone {
        task: "a".to_owned(),
        tombstone: tombstone("done", Some(Duration::ZERO)),
    };
    assert!(invalid(commit(store, vec![no_time])));
    let no_fields = Op::OutDead {
        key: "a".to_owned(),
        dead: Vec::new(),
    };
    assert!(invalid(commit(store, vec![push("a"), no_fields])));
    assert_eq!(loaded(store), []);
    commit(store, full).unwrap();
    assert_eq!(loaded(store).len(), OPS_MAX);
    // One that cannot be split is written, whatever its size.
    commit(store, vec![large]).unwrap();
    assert_eq!(loaded(store).len(), OPS_MAX + 1);
}

fn joint_store_settles(place: &Place, store: &mut dyn Store) {
    if !store.joint() {
        return;
    }
    for raw in ["task", "copy", "refused", "other"] {
        (place.push)(raw.as_bytes());
    }
    let taken = place.source.take(4, LONG).unwrap();
    for delivery in &taken {
        place.source.count_attempt(&delivery.receipt).unwrap();
    }
    let receipt = |n: usize| taken[n].receipt.clone();
    let letter = DeadLetter {
        receipt: receipt(2),
        raw: taken[2].raw.clone(),
        reason: "INVALID_MESSAGE".to_owned(),
        detail: "id: is missing".to_owned(),
        at_ms: 1,
    };
    let ingest_task = Op::Ingest {
        task: "a".to_owned(),
        snapshot: Vec::new(),
        due: None,
        message: None,
        settle: Some(receipt(0)),
    };
    let settle_all = vec![
        ingest_task,
        Op::Settle { receipt: receipt(1) },
        Op::DeadLetter { letter },
    ];
    let mut fails = settle_all.clone();
    fails.push(moved("a", 7));
    commit(store, fails).unwrap_err();
    assert_eq!(place.source.depth().unwrap().taken, 4);
    commit(store, settle_all.clone()).unwrap();
    let depth = Depth {
        waiting: 0,
        taken: 1,
        dead: 1,
    };
    assert_eq!(place.source.depth().unwrap(), depth);
    let left = place.source.leftovers(Cursor::default(), 5).unwrap();
    assert_eq!(left.deliveries, taken[3..]);
    // A letter of a message that is settled already is no second letter.
    commit(store, settle_all[1..].to_vec()).unwrap();
    assert_eq!(place.source.depth().unwrap(), depth);
    assert_eq!(place.source.count_attempt(&receipt(3)).unwrap(), 2);
    // The counts of settled messages are forgotten.
    for raw in ["task", "copy", "refused"] {
        (place.push)(raw.as_bytes());
    }
    for delivery in place.source.take(3, LONG).unwrap() {
        let count = place.source.count_attempt(&delivery.receipt);
        assert_eq!(count, Ok(1), "{:?}", delivery.raw);
    }
}

fn split_store_refuses(place: &Place, store: &mut dyn Store) {
    if store.joint() {
        return;
    }
    (place.push)(b"task");
    let taken = place.source.take(1, LONG).unwrap();
    let receipt = taken[0].receipt.clone();
    let answer = commit(store, vec![ingest("a"), Op::Settle { receipt }]);
    assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
    assert_eq!(loaded(store), []);
    assert_eq!(place.source.depth().unwrap().taken, 1);
}

fn many_tasks_are_loaded(_: &Place, store: &mut dyn Store) {
    let names: Vec<String> = (0..700).map(|n| format!("{n:04}")).collect();
    for some in names.chunks(350) {
        commit(store, some.iter().map(|name| ingest(name)).collect()).unwrap();
        commit(store, some.iter().map(|name| push(name)).collect()).unwrap();
    }
    let tasks = names.iter().map(|name| task(name, 1, "received"));
    let entries = names.iter().map(|name| entry(name, "callback"));
    assert!(loaded(store) == tasks.chain(entries).collect::<Vec<_>>());
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(store.messages(&ids).unwrap().iter().all(Option::is_some));
    assert!(store.tombstones(&ids).unwrap().iter().all(Option::is_none));
}
