//! The receivers of callbacks, and the pool that brings them there.

use crate::ledger::Letter;
use crate::plan::{Fault, Plan};
use crate::rng::Rng;
use crate::world::{Event, ToProcess, ToTerm, World};
use adapters::driver::Input;
use adapters::webhook::{Answer, Delivery, Failure};
use engine::outbox::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a receiver got.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: u64,
    pub(crate) owner: String,
    pub(crate) rank: u8,
    pub(crate) webhook_id: String,
    pub(crate) body: Vec<u8>,
}

/// A callback on its way.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) letter: Letter,
    answer_to: Option<(usize, u64, u64)>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Receivers {
    pub(crate) arrived: Vec<Arrived>,
    /// First arrivals by `webhook-id`.
    pub(crate) first: BTreeMap<String, u64>,
    /// When a callback was first answered 2xx, by `webhook-id`.
    pub(crate) accepted: BTreeMap<String, u64>,
    /// Owners whose receiver said 410.
    pub(crate) gone: BTreeSet<String>,
    moods: BTreeMap<String, Mood>,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Down,
    Busy,
    Hanging,
    Forgetful,
    Mixed,
}

impl Receivers {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut rng = Rng::new(plan.seed ^ 0x0000_70e0_0000_0003);
        let moods = (0..3).map(|index| {
            let mood = if plan.has(Fault::Receivers) {
                *rng.pick(&[
                    Mood::Well,
                    Mood::Down,
                    Mood::Busy,
                    Mood::Hanging,
                    Mood::Forgetful,
                    Mood::Mixed,
                    Mood::Mixed,
                ])
            } else {
                Mood::Well
            };
            (format!("http://r{index}.test"), mood)
        });
        Self {
            arrived: Vec::new(),
            first: BTreeMap::new(),
            accepted: BTreeMap::new(),
            gone: BTreeSet::new(),
            moods: moods.collect(),
        }
    }
}

enum Reply {
    Ok,
    Status(u16, Option<u64>),
    Gone,
    /// The receiver takes it, or not, and no answer comes.
    Silence(bool),
}

impl World {
    /// The pool begins an attempt, or not: it looks at the lease deadline.
    pub(crate) fn post_begins(&mut self, index: usize, term: u64, key: Key, delivery: Delivery) {
        let life = self.replicas[index].life;
        if delivery.begin_by.is_some_and(|by| self.now >= by) {
            self.reach("callback not begun");
            let input = Box::new(Input::Webhook(key, Answer::NotBegun));
            return self.tell_term(0, index, term, ToTerm::Input(input));
        }
        let letter = Letter {
            key,
            url: delivery.url,
            webhook_id: delivery.webhook_id,
            body: delivery.body,
        };
        let trouble = self.faulty(Fault::Receivers) && self.rng.chance(10);
        let hop = if trouble {
            self.rng.range(100, 14_000)
        } else {
            self.hop()
        };
        let answer_to = Some((index, life, term));
        self.after(hop, Event::Post(Post { letter, answer_to }));
    }

    /// A letter that the mutant sends before its write.
    pub(crate) fn post_early(&mut self, letter: Letter) {
        let answer_to = None;
        self.posted(Post { letter, answer_to });
    }

    pub(crate) fn posted(&mut self, post: Post) {
        let Post { letter, answer_to } = post;
        let reply = self.reply(&letter);
        let taken = !matches!(reply, Reply::Silence(false));
        if taken {
            self.received(&letter);
        }
        let answer = match reply {
            Reply::Ok => {
                self.receivers
                    .accepted
                    .entry(letter.webhook_id.clone())
                    .or_insert(self.now);
                Answer::Delivered { status: 200 }
            }
            Reply::Gone => {
                self.reach("receiver gone (410)");
                self.receivers.gone.insert(letter.key.owner.as_str().to_owned());
                Answer::Gone
            }
            Reply::Status(status, after) => Answer::Failed {
                reason: Failure::Status,
                status: Some(status),
                retry_after: after.map(Duration::from_secs),
            },
            Reply::Silence(taken) => {
                if taken {
                    self.reach("2xx lost");
                    self.receivers
                        .accepted
                        .entry(letter.webhook_id.clone())
                        .or_insert(self.now);
                }
                Answer::Failed {
                    reason: Failure::Timeout("answer".to_owned()),
                    status: None,
                    retry_after: None,
                }
            }
        };
        let wait = match &answer {
            Answer::Failed { status: None, .. } => 15_000,
            Answer::Failed { .. } | Answer::Delivered { .. } | Answer::Gone | Answer::NotBegun => self.hop(),
        };
        if let Some((index, life, term)) = answer_to {
            let input = Box::new(Input::Webhook(letter.key, answer));
            self.after(
                wait,
                Event::Process(index, life, ToProcess::Term(term, ToTerm::Input(input))),
            );
        }
    }

    fn reply(&mut self, letter: &Letter) -> Reply {
        let mood = self
            .receivers
            .moods
            .iter()
            .find(|(origin, _)| letter.url.starts_with(origin.as_str()))
            .map_or(Mood::Well, |(_, mood)| *mood);
        if !self.faulty(Fault::Receivers) {
            return Reply::Ok;
        }
        match mood {
            Mood::Well => Reply::Ok,
            Mood::Down => Reply::Status(503, None),
            Mood::Busy if self.rng.chance(60) => Reply::Status(429, Some(self.rng.range(1, 40))),
            Mood::Hanging => Reply::Silence(self.rng.chance(50)),
            Mood::Forgetful if self.rng.chance(60) => Reply::Silence(true),
            Mood::Mixed => match self.rng.below(10) {
                0 | 1 => Reply::Status(500, None),
                2 => Reply::Silence(true),
                3 => Reply::Silence(false),
                4 if self.rng.chance(20) => Reply::Gone,
                _ => Reply::Ok,
            },
            Mood::Busy | Mood::Forgetful => Reply::Ok,
        }
    }

    fn received(&mut self, letter: &Letter) {
        let arrived = Arrived {
            at: self.now,
            owner: letter.key.owner.as_str().to_owned(),
            rank: letter.key.rank,
            webhook_id: letter.webhook_id.clone(),
            body: letter.body.clone(),
        };
        self.note(|| {
            format!(
                "{} callback {}",
                letter.key,
                String::from_utf8_lossy(&letter.body)
                    .chars()
                    .take(160)
                    .collect::<String>()
            )
        });
        self.check_arrival(&arrived);
        self.receivers
            .first
            .entry(arrived.webhook_id.clone())
            .or_insert(arrived.at);
        self.receivers.arrived.push(arrived);
    }
}
