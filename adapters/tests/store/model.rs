//! Random batches: the store in Redis and the one in memory give the same answers and hold the same.

use std::collections::BTreeMap;
use std::time::Duration;

use adapters::store::memory::Image;
use adapters::store::{Batch, Error, MemoryStore, Op, RedisStore, Store, Tombstone};

use super::place::{LONG, commit, ingest, loaded, server, settings, tombstone};

const BATCHES: usize = 400;
const TASKS: [&str; 5] = ["a", "b", "c", "ü", "long id with spaces"];
const ENTRIES: [&str; 4] = ["a/0", "a/1", "b/0", "b/1"];

/// Is a small generator: the same seed gives the same batches for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(40);
        (0..length)
            .map(|_| u8::try_from(self.below(256)).unwrap())
            .collect()
    }

    fn tombstone(&mut self) -> Tombstone {
        Tombstone {
            value: self.bytes(),
            expires_in: (self.below(2) == 0).then_some(Duration::from_secs(3600)),
        }
    }

    fn due(&mut self) -> Option<u64> {
        (self.below(2) == 0).then(|| self.below(1 << 30) as u64 * 1000)
    }

    fn op(&mut self) -> Op {
        let task = self.one(&TASKS).to_owned();
        let key = self.one(&ENTRIES).to_owned();
        let expect = 1 + self.below(3) as u64;
        match self.below(16) {
            0..5 => Op::Ingest {
                task,
                snapshot: self.bytes(),
                due: self.due(),
                message: (self.below(2) == 0).then(|| self.bytes()),
                settle: None,
            },
            5..10 => Op::Move {
                task,
                expect,
                snapshot: self.bytes(),
                due: self.due(),
                forget_message: self.below(2) == 0,
                tombstone: (self.below(12) == 0).then(|| self.tombstone()),
            },
            10..12 => Op::Forget { task, expect },
            12 if self.below(6) == 0 => Op::Tombstone {
                task,
                tombstone: self.tombstone(),
            },
            12..14 => Op::OutPush {
                key,
                entry: self.bytes(),
            },
            14 => match self.below(3) {
                0 => Op::OutAck { key },
                1 => Op::FreeId { task },
                _ => Op::OutRetry {
                    key,
                    entry: self.bytes(),
                },
            },
            _ => Op::OutDead {
                key,
                dead: vec![("body".to_owned(), self.bytes())],
            },
        }
    }

    fn batch(&mut self) -> Batch {
        let ops = self.below(4);
        let log = self.below(3);
        Batch {
            ops: (0..ops).map(|_| self.op()).collect(),
            log: (0..log).map(|_| self.bytes()).collect(),
        }
    }
}

#[test]
fn redis_and_memory_agree_on_random_batches() {
    let (mut done, mut refused) = (0, 0);
    for seed in 1..=3 {
        let server = server();
        let mut real = RedisStore::open(settings(&server.url(), None)).unwrap();
        let mut model = MemoryStore::new("default", "lock");
        real.claim("pod-0").unwrap();
        model.claim("pod-0").unwrap();
        let mut random = Random(seed);
        for number in 0..BATCHES {
            let batch = random.batch();
            let until = std::time::Instant::now() + LONG;
            let expected = model.commit(&batch, until);
            let place = format!("seed {seed}, batch {number}: {batch:?}");
            assert_eq!(real.commit(&batch, until), expected, "{place}");
            assert_eq!(loaded(&mut real), loaded(&mut model), "{place}");
            assert_eq!(index(&server), model.image().deadlines(), "{place}");
            assert_eq!(real.messages(&TASKS), model.messages(&TASKS), "{place}");
            assert_eq!(real.tombstones(&TASKS), model.tombstones(&TASKS), "{place}");
            if expected.is_ok() {
                done += 1;
            } else {
                refused += 1;
            }
        }
        let image = model.image();
        assert_eq!(
            stream(&server, "dead", "body"),
            bodies(&image.dead),
            "seed {seed}"
        );
        assert_eq!(image.log, stream(&server, "log", "r"), "seed {seed}");
    }
    // The batches are of use only when both ends are met often.
    assert!(done > 200 && refused > 200, "{done} done, {refused} refused");
}

/// Returns the index of deadlines: the ids of tasks, each with the time in ms, or none.
fn index(server: &fixtures::redis::Server) -> BTreeMap<String, Option<u64>> {
    let mut ask = redis::cmd("ZRANGE");
    ask.arg("job-worker-{lock}:live").arg(0).arg(-1).arg("WITHSCORES");
    let found: Vec<(String, String)> = ask.query(&mut server.connection(1).unwrap()).unwrap();
    found.into_iter().map(|(id, at)| (id, at.parse().ok())).collect()
}

fn bodies<'a>(dead: impl IntoIterator<Item = &'a Vec<(String, Vec<u8>)>>) -> Vec<Vec<u8>> {
    dead.into_iter().map(|fields| fields[0].1.clone()).collect()
}

/// Returns one field of each entry of a stream.
fn stream(server: &fixtures::redis::Server, name: &str, field: &str) -> Vec<Vec<u8>> {
    let entries: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg(format!("job-worker-{{lock}}:{name}"))
        .arg("-")
        .arg("+")
        .query(&mut server.connection(1).unwrap())
        .unwrap();
    let value = |entry: &redis::streams::StreamId| entry.get::<Vec<u8>>(field).unwrap();
    entries.ids.iter().map(value).collect()
}

#[test]
fn a_memory_that_lost_writes_is_found_out() {
    let until = std::time::Instant::now() + LONG;
    let mut store = MemoryStore::new("default", "lock");
    store.claim("pod-0").unwrap();
    let before = store.image();
    store.beat(until).unwrap();
    store.restore(before);
    let rollback = Error::Rollback {
        known: 2,
        found: "1".to_owned(),
    };
    assert_eq!(store.beat(until), Err(rollback));
    store.restore(Image::default());
    assert_eq!(store.beat(until), Err(Error::Fenced));
}

#[test]
fn a_tombstone_in_memory_ends_when_its_clock_says_so() {
    let mut store = MemoryStore::new("default", "lock");
    store.claim("pod-0").unwrap();
    store.set_now(1_000);
    let tombstone = tombstone("done", Some(Duration::from_millis(500)));
    let task = "a".to_owned();
    commit(&mut store, vec![Op::Tombstone { task, tombstone }]).unwrap();
    store.set_now(1_499);
    assert_eq!(store.tombstones(&["a"]), Ok(vec![Some(b"done".to_vec())]));
    store.set_now(1_500);
    assert_eq!(store.tombstones(&["a"]), Ok(vec![None]));
    commit(&mut store, vec![ingest("a")]).unwrap();
}
