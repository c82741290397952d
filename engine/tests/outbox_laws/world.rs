//! What the driver and its store know of an outbox, and the laws that hold of it at every step.

use std::collections::{BTreeMap, BTreeSet};

use engine::outbox::{Answer, Decision, Key, Limits, Outbox, Owner, Schedule, WAITS_MS};

use crate::at;

/// A small generator: the same seed gives the same run.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What the driver and its store know, and the laws that hold of it at every step.
pub(crate) struct World {
    pub(crate) limits: Limits,
    pub(crate) now: u64,
    pub(crate) outbox: Outbox,
    pub(crate) stored: BTreeMap<Key, (String, Schedule)>,
    pub(crate) closed: BTreeSet<Owner>,
    pub(crate) in_flight: BTreeSet<Key>,
    /// Ranks that every owner still has to push, the next one last.
    pub(crate) unpushed: Vec<(Owner, Vec<u8>)>,
    /// Keys that ended, with how often.
    pub(crate) ended: BTreeMap<Key, u32>,
    pub(crate) pushed: usize,
    /// The ways in which keys ended.
    pub(crate) seen: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(limits: Limits, owners: u64, random: &mut SplitMix64) -> Self {
        let unpushed = (0..owners).map(|n| {
            let verdict = [2, 3, 99][n as usize % 3];
            let ranks = match random.below(4) {
                0 => vec![verdict],
                1 => vec![verdict, 0],
                _ => vec![verdict, 1, 0],
            };
            (Owner::new(format!("t:{n}")), ranks)
        });
        Self {
            limits,
            now: 1_000,
            outbox: Outbox::new(limits),
            stored: BTreeMap::new(),
            closed: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            unpushed: unpushed.collect(),
            ended: BTreeMap::new(),
            pushed: 0,
            seen: BTreeSet::new(),
        }
    }

    pub(crate) fn receiver(owner: &Owner) -> String {
        format!("r{}", owner.as_str().bytes().map(u64::from).sum::<u64>() % 7)
    }

    pub(crate) fn push(&mut self, index: usize) -> Vec<Decision> {
        let (owner, ranks) = &mut self.unpushed[index];
        let key = Key {
            owner: owner.clone(),
            rank: ranks.pop().expect("an owner without ranks is dropped"),
        };
        if ranks.is_empty() {
            self.unpushed.swap_remove(index);
        }
        self.pushed += 1;
        let receiver = Self::receiver(&key.owner);
        let decisions = self.outbox.push(at(self.now), key, &receiver);
        self.apply(&decisions);
        decisions
    }

    pub(crate) fn start(&mut self) {
        for key in self.outbox.start(at(self.now)) {
            let (_, schedule) = &self.stored[&key];
            assert!(schedule.due <= at(self.now) && schedule.not_before <= at(self.now));
            let first = self.stored.keys().find(|stored| stored.owner == key.owner);
            assert_eq!(first, Some(&key), "the head goes first");
            assert!(self.in_flight.insert(key), "one send at a time");
        }
        assert!(self.in_flight.len() <= self.limits.threads);
        for (name, load) in self.outbox.receivers() {
            assert!(load.in_flight <= self.limits.per_receiver, "{name}");
        }
        assert!(self.outbox.next_due().is_none_or(|due| due > at(self.now)));
    }

    pub(crate) fn answer(&mut self, key: &Key, answer: Answer) -> Vec<Decision> {
        assert!(self.in_flight.remove(key));
        let before = self.stored[key].1;
        let decisions = self.outbox.answered(at(self.now), key, answer);
        let decisions = decisions.expect("the attempt is in flight");
        for decision in &decisions {
            if let Decision::Owed(owed, schedule) = decision
                && owed == key
            {
                assert_eq!(schedule.attempts, before.attempts + 1);
                let wait = schedule.due.since_ms(at(self.now).max(schedule.not_before));
                let base = WAITS_MS[before.attempts as usize];
                assert!(schedule.not_before.0 > self.now || wait >= base * 4 / 5);
                assert!(wait <= base * 6 / 5);
            }
        }
        self.apply(&decisions);
        decisions
    }

    pub(crate) fn apply(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Owed(key, schedule) => {
                    let receiver = Self::receiver(&key.owner);
                    self.stored.insert(key.clone(), (receiver, *schedule));
                }
                Decision::Acknowledge(key) => self.end(key, "delivered".to_owned()),
                Decision::Dead(key, reason) => self.end(key, reason.to_string()),
                Decision::Close(owner) => assert!(self.closed.insert(owner.clone())),
                Decision::Forget(owner) => assert!(self.closed.remove(owner)),
            }
        }
        assert_eq!(self.outbox.pending(), self.stored.len());
    }

    pub(crate) fn end(&mut self, key: &Key, way: String) {
        assert!(!self.in_flight.contains(key), "{key} ends in flight");
        self.stored.remove(key);
        *self.ended.entry(key.clone()).or_default() += 1;
        self.seen.insert(way);
    }

    pub(crate) fn restored(&self) -> Outbox {
        let owed = self
            .stored
            .iter()
            .map(|(key, (receiver, schedule))| (key.clone(), receiver.clone(), *schedule));
        Outbox::restore(self.limits, at(self.now), owed, self.closed.iter().cloned())
    }

    pub(crate) fn restart(&mut self) {
        self.outbox = self.restored();
        self.in_flight.clear();
    }

    pub(crate) fn wait(&mut self, random: &mut SplitMix64) {
        let due = self.outbox.next_due().map_or(0, |due| due.since_ms(at(self.now)));
        self.now += 1 + match random.below(4) {
            0 => due,
            1 => random.below(3_000),
            _ => random.below(20),
        };
    }

    pub(crate) fn is_over(&self) -> bool {
        self.unpushed.is_empty() && self.stored.is_empty()
    }
}
