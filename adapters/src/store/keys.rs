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

use crate::source::Joint;

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
        ];
        let mut keys: Vec<Vec<u8>> = own.into_iter().cloned().collect();
        if let Some(joint) = joint {
            let queue = [&joint.taken, &joint.dead, &joint.attempts];
            keys.extend(queue.into_iter().map(|key| key.as_bytes().to_vec()));
        }
        keys
    }

    /// Returns the keys of a claim, and each command that a batch will run with the number of its key.
    pub(super) fn of_claim(&self, joint: Option<&Joint>) -> (Vec<Vec<u8>>, Vec<String>) {
        let own: [(&Vec<u8>, &[&str]); 10] = [
            (&self.epoch, &["TYPE", "HMGET", "HSET"]),
            (&self.counter, &["GET", "SET"]),
            (&self.instance, &["GET", "SET"]),
            (&self.tasks, &["TYPE", "HMGET", "HSET", "HDEL"]),
            (&self.live, &["TYPE", "ZADD", "ZREM"]),
            (&self.messages, &["TYPE", "HSET", "HDEL"]),
            (&self.outbox, &["TYPE", "HMGET", "HSET", "HDEL"]),
            (&self.dead, &["TYPE", "XADD", "XLEN"]),
            (&self.log, &["TYPE", "XADD", "XLEN"]),
            (&self.tombstone("id"), &["EXISTS", "SET"]),
        ];
        let mut keys = Vec::new();
        let mut commands = Vec::new();
        let mut add = |key: &[u8], names: &[&str]| {
            keys.push(key.to_vec());
            for name in names {
                commands.extend([(*name).to_owned(), keys.len().to_string()]);
            }
        };
        for (key, names) in own {
            add(key, names);
        }
        if let Some(joint) = joint {
            add(joint.taken.as_bytes(), &["SELECT", "TYPE", "LREM"]);
            add(joint.dead.as_bytes(), &["TYPE", "XADD", "XLEN"]);
            add(joint.attempts.as_bytes(), &["TYPE", "HLEN", "HDEL"]);
        }
        (keys, commands)
    }
}
