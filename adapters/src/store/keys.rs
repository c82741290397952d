//! Names of the store's keys: `<prefix>{<lock name>}:…`, one hash tag, so that one script may touch them all.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `epoch` | hash | `tok`: whose the store is; `seq`: count of writes; `wid`: the last write |
//! | `epoch:n` | string | count of claims |
//! | `instance` | string | pair of namespace and lock name that came first |
//! | `tasks` | hash | id → version (8 bytes, big-endian) and snapshot |
//! | `live` | sorted set | id → when it wants attention, in ms, or `+inf` |
//! | `messages` | hash | id → raw message, until the Job exists |
//! | `outbox` | hash | entry key → entry |
//! | `done:<id>` | string | tombstone |
//! | `dead` | stream | dead callbacks |
//! | `log` | stream | event log, field `r` |
//! | `orders` | stream | orders of operators that wait for the leader, field `order` |
//! | `paused` | string | who paused the intake; none: it goes on |
//! | `answers` | stream | orders with what became of them, fields `place`, `order`, `answer` |

use crate::source::Joint;
use crate::survey::{Needed, Typed};

/// Holds the name of each key.
pub(super) struct Keys {
    base: String,
    epoch: Vec<u8>,
    counter: Vec<u8>,
    instance: Vec<u8>,
    pub(super) tasks: Vec<u8>,
    pub(super) live: Vec<u8>,
    pub(super) messages: Vec<u8>,
    pub(super) outbox: Vec<u8>,
    dead: Vec<u8>,
    log: Vec<u8>,
    pub(super) orders: Vec<u8>,
    pub(super) answers: Vec<u8>,
    pub(super) paused: Vec<u8>,
}

impl Keys {
    pub(super) fn new(prefix: &str, lock: &str) -> Keys {
        let base = format!("{prefix}{{{lock}}}:");
        let key = |name: &str| format!("{base}{name}").into_bytes();
        Keys {
            epoch: key("epoch"),
            counter: key("epoch:n"),
            instance: key("instance"),
            tasks: key("tasks"),
            live: key("live"),
            messages: key("messages"),
            outbox: key("outbox"),
            dead: key("dead"),
            log: key("log"),
            orders: key("orders"),
            answers: key("answers"),
            paused: key("paused"),
            base,
        }
    }

    pub(super) fn tombstone(&self, id: &str) -> Vec<u8> {
        format!("{}done:{id}", self.base).into_bytes()
    }

    /// Returns the keys of every batch, in the order that `commit.lua` reads.
    pub(super) fn of_batch(&self, joint: Option<&Joint>) -> Vec<Vec<u8>> {
        let own = [
            &self.epoch,
            &self.tasks,
            &self.live,
            &self.messages,
            &self.outbox,
            &self.dead,
            &self.log,
            &self.orders,
            &self.answers,
            &self.paused,
        ];
        let mut keys: Vec<Vec<u8>> = own.into_iter().cloned().collect();
        if let Some(joint) = joint {
            let queue = [&joint.taken, &joint.dead, &joint.attempts, &joint.waiting];
            keys.extend(queue.into_iter().map(|key| key.as_bytes().to_vec()));
        }
        keys
    }

    /// Returns the keys of a claim, and each command that a batch will run with the number of its key.
    pub(super) fn of_claim(&self, joint: Option<&Joint>) -> (Vec<Vec<u8>>, Vec<String>) {
        let mut keys = Vec::new();
        let mut commands = Vec::new();
        for (key, names) in self.written(joint) {
            keys.push(key);
            for name in names {
                commands.extend([(*name).to_owned(), keys.len().to_string()]);
            }
        }
        (keys, commands)
    }

    /// Returns the keys of a claim in its order, each with the commands that the scripts run on it.
    fn written(&self, joint: Option<&Joint>) -> Vec<(Vec<u8>, &'static [&'static str])> {
        let mut written: Vec<(Vec<u8>, &'static [&'static str])> = vec![
            (self.epoch.clone(), &["TYPE", "HMGET", "HSET"]),
            (self.counter.clone(), &["GET", "SET"]),
            (self.instance.clone(), &["GET", "SET"]),
            (self.tasks.clone(), &["TYPE", "HMGET", "HSET", "HDEL"]),
            (self.live.clone(), &["TYPE", "ZADD", "ZREM"]),
            (self.messages.clone(), &["TYPE", "HSET", "HDEL"]),
            (self.outbox.clone(), &["TYPE", "HMGET", "HSET", "HDEL"]),
            (self.dead.clone(), &["TYPE", "XADD", "XLEN", "XRANGE", "XDEL"]),
            (self.log.clone(), &["TYPE", "XADD", "XLEN"]),
            (self.orders.clone(), &["TYPE", "XDEL"]),
            (self.answers.clone(), &["TYPE", "XADD"]),
            (self.paused.clone(), &["TYPE", "SET", "DEL"]),
            (self.tombstone("id"), &["EXISTS", "SET", "DEL"]),
        ];
        if let Some(joint) = joint {
            let key = |name: &str| name.as_bytes().to_vec();
            written.push((key(&joint.taken), &["SELECT", "TYPE", "LREM"]));
            written.push((key(&joint.dead), &["TYPE", "XADD", "XLEN", "XRANGE", "XDEL"]));
            written.push((key(&joint.waiting), &["TYPE", "LPUSH"]));
            written.push((key(&joint.attempts), &["TYPE", "HLEN", "HDEL"]));
        }
        written
    }

    pub(super) fn dead(&self) -> &[u8] {
        &self.dead
    }

    pub(super) fn instance(&self) -> &[u8] {
        &self.instance
    }

    pub(super) fn epoch(&self) -> &[u8] {
        &self.epoch
    }

    pub(super) fn log(&self) -> &[u8] {
        &self.log
    }

    /// Returns every key with its type.
    pub(super) fn types(&self) -> [Typed; 12] {
        [
            (&self.epoch, "hash"),
            (&self.counter, "string"),
            (&self.instance, "string"),
            (&self.tasks, "hash"),
            (&self.live, "zset"),
            (&self.messages, "hash"),
            (&self.outbox, "hash"),
            (&self.dead, "stream"),
            (&self.log, "stream"),
            (&self.orders, "stream"),
            (&self.answers, "stream"),
            (&self.paused, "string"),
        ]
        .map(|(key, kind)| (key.clone(), kind))
    }

    /// Returns each command that a leader runs, in scripts and by itself, with its key.
    pub(super) fn needed(&self, joint: Option<&Joint>) -> Vec<Needed> {
        let tombstone = self.tombstone("id");
        let reads = [
            ("HLEN", &self.tasks),
            ("HSCAN", &self.tasks),
            ("HKEYS", &self.tasks),
            ("HKEYS", &self.outbox),
            ("HMGET", &self.messages),
            ("MGET", &tombstone),
            ("XRANGE", &self.orders),
            ("XRANGE", &self.log),
            ("GET", &self.paused),
        ];
        let mut needed: Vec<Needed> = reads.map(|(command, key)| (command, vec![key.clone()])).into();
        for (key, commands) in self.written(joint) {
            needed.extend(commands.iter().map(|command| (*command, vec![key.clone()])));
        }
        needed
    }
}
