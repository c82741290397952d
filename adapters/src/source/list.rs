//! The queue as a Redis list: producers `LPUSH`, we take from the other end.
//!
//! Owns the keys `<prefix>` (waiting), `<prefix>:taken`, `<prefix>:dead` and `<prefix>:attempts`. It never touches
//! `<prefix>:processing`, which belongs to a predecessor. A message is settled by its exact bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Script;

use super::{
    Cursor, DeadLetter, Delivery, Depth, Error, Joint, LETTERS_MAX, PAGE_MAX, Page, Receipt, Source,
};
use crate::connection::{Call, Link, Target};

/// Time that an answer may take beyond the wait that was asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Counts of attempts are dropped when none was counted for so long, in s.
const ATTEMPTS_KEPT: u64 = 7 * 24 * 3600;

/// Is a queue in a Redis list.
pub struct List {
    waiting: String,
    joint: Joint,
    /// Blocking takes only: whoever settles must not wait for a message to come.
    blocking: Mutex<Link>,
    direct: Mutex<Link>,
    scripts: Scripts,
}

impl List {
    /// Prepares the queue with key prefix `prefix`; nothing is connected before the first call.
    ///
    /// # Errors
    /// When the target cannot be used at all.
    pub fn new(target: &Target, prefix: &str, pod: &str) -> Result<List, Error> {
        Ok(List {
            waiting: prefix.to_owned(),
            joint: Joint {
                address: target.endpoint.address().to_string(),
                db: i64::from(target.db),
                waiting: prefix.to_owned(),
                taken: format!("{prefix}:taken"),
                dead: format!("{prefix}:dead"),
                attempts: format!("{prefix}:attempts"),
            },
            blocking: Mutex::new(target.link("intake", pod)?),
            direct: Mutex::new(target.link("queue", pod)?),
            scripts: Scripts::new(),
        })
    }

    /// Puts a message on the queue, as any producer does, and returns how many wait.
    ///
    /// # Errors
    /// When the queue cannot be written; it may have been, where the answer was lost.
    pub fn push(&self, raw: &[u8]) -> Result<u64, Error> {
        let mut push = redis::cmd("LPUSH");
        push.arg(&self.waiting).arg(raw);
        Ok(lock(&self.direct).query(&push, ANSWER_TIMEOUT)?)
    }

    fn wait_for_one(&self, link: &mut Link, wait: Duration) -> Result<Option<Vec<u8>>, Error> {
        let mut blocking = redis::cmd("BLMOVE");
        blocking
            .arg(&self.waiting)
            .arg(&self.joint.taken)
            .arg("RIGHT")
            .arg("LEFT")
            .arg(wait.as_secs_f64());
        Ok(link.query(&blocking, wait + ANSWER_TIMEOUT)?)
    }

    fn drain(&self, link: &mut Link, max: usize) -> Result<Vec<Vec<u8>>, Error> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let keys = keys(&[&self.waiting, &self.joint.taken]);
        let call = Call::new(&self.scripts.drain, &keys, [max]);
        Ok(link.run(&call, ANSWER_TIMEOUT)?)
    }

    fn run<T: redis::FromRedisValue>(&self, call: &Call<'_>) -> Result<T, Error> {
        Ok(lock(&self.direct).run(call, ANSWER_TIMEOUT)?)
    }
}

impl Source for List {
    fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let max = max.min(PAGE_MAX);
        let mut link = lock(&self.blocking);
        let mut taken = self.drain(&mut link, max)?;
        // BLMOVE takes 0 for "for ever", and less than a millisecond as 0.
        if taken.is_empty()
            && max > 0
            && wait >= Duration::from_millis(1)
            && let Some(first) = self.wait_for_one(&mut link, wait)?
        {
            taken.push(first);
            match self.drain(&mut link, max - 1) {
                Ok(more) => taken.extend(more),
                Err(error) => {
                    log::warn!("{error}; going on with the one message that was taken");
                }
            }
        }
        Ok(taken.into_iter().map(delivery).collect())
    }

    fn leftovers(&self, cursor: Cursor, max: usize) -> Result<Page, Error> {
        let max = max.clamp(1, PAGE_MAX) as u64;
        // The oldest are at the tail, where nothing is added: positions counted from there only shrink by settling.
        let mut range = redis::cmd("LRANGE");
        range
            .arg(&self.joint.taken)
            .arg(format!("-{}", cursor.0 + max))
            .arg(format!("-{}", cursor.0 + 1));
        let newest_first: Vec<Vec<u8>> = lock(&self.direct).read(&range, ANSWER_TIMEOUT)?;
        let full = newest_first.len() as u64 == max;
        Ok(Page {
            deliveries: newest_first.into_iter().rev().map(delivery).collect(),
            next: full.then_some(Cursor(cursor.0 + max)),
        })
    }

    fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), Error> {
        let keys = keys(&[&self.joint.taken, &self.joint.attempts]);
        for some in receipts.chunks(PAGE_MAX) {
            let call = Call::new(&self.scripts.settle, &keys, some.iter().map(|r| &*r.0));
            self.run::<u64>(&call)?;
        }
        Ok(())
    }

    fn dead_letter(&self, letter: &DeadLetter) -> Result<u64, Error> {
        let keys = keys(&[&self.joint.taken, &self.joint.dead, &self.joint.attempts]);
        let time = letter.at_ms.to_string();
        let bound = LETTERS_MAX.to_string();
        let arguments: [&[u8]; 6] = [
            &letter.receipt.0,
            &letter.raw,
            letter.reason.as_bytes(),
            letter.detail.as_bytes(),
            time.as_bytes(),
            bound.as_bytes(),
        ];
        self.run(&Call::new(&self.scripts.bury, &keys, arguments))
    }

    fn depth(&self) -> Result<Depth, Error> {
        let mut counts = redis::pipe();
        counts.cmd("LLEN").arg(&self.waiting);
        counts.cmd("LLEN").arg(&self.joint.taken);
        counts.cmd("XLEN").arg(&self.joint.dead);
        let (waiting, taken, dead) =
            lock(&self.direct).once_more(|link| link.pipeline(&counts, ANSWER_TIMEOUT))?;
        Ok(Depth { waiting, taken, dead })
    }

    fn count_attempt(&self, receipt: &Receipt) -> Result<u32, Error> {
        let keys = keys(&[&self.joint.taken, &self.joint.attempts]);
        let kept = ATTEMPTS_KEPT.to_string();
        let arguments: [&[u8]; 2] = [&receipt.0, kept.as_bytes()];
        self.run(&Call::new(&self.scripts.attempt, &keys, arguments))
    }

    fn forget_attempts(&self, receipt: &Receipt) -> Result<(), Error> {
        let keys = keys(&[&self.joint.attempts]);
        let arguments: [&[u8]; 1] = [&receipt.0];
        self.run::<u64>(&Call::new(&self.scripts.forget, &keys, arguments))?;
        Ok(())
    }

    fn requeue(&self, place: &str) -> Result<bool, Error> {
        let keys = keys(&[&self.joint.dead, &self.waiting]);
        let moved: u64 = self.run(&Call::new(&self.scripts.requeue, &keys, [place]))?;
        Ok(moved > 0)
    }

    fn drop_letter(&self, place: &str) -> Result<bool, Error> {
        let mut drop = redis::cmd("XDEL");
        drop.arg(&self.joint.dead).arg(place);
        let dropped: u64 = lock(&self.direct).query(&drop, ANSWER_TIMEOUT)?;
        Ok(dropped > 0)
    }

    fn joint(&self) -> Option<&Joint> {
        Some(&self.joint)
    }
}

struct Scripts {
    drain: Script,
    settle: Script,
    bury: Script,
    attempt: Script,
    forget: Script,
    requeue: Script,
}

impl Scripts {
    fn new() -> Scripts {
        Scripts {
            drain: Script::new(include_str!("drain.lua")),
            settle: Script::new(include_str!("settle.lua")),
            bury: Script::new(include_str!("bury.lua")),
            attempt: Script::new(include_str!("attempt.lua")),
            forget: Script::new(include_str!("forget.lua")),
            requeue: Script::new(include_str!("requeue.lua")),
        }
    }
}

fn delivery(raw: Vec<u8>) -> Delivery {
    Delivery {
        receipt: Receipt(Arc::from(raw.as_slice())),
        raw,
    }
}

fn keys(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// A panic while the lock was held leaves at worst a connection in doubt, which the next error drops.
fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(|poisoned| {
        let mut link = PoisonError::into_inner(poisoned);
        link.close();
        link
    })
}
