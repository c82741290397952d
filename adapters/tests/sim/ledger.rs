//! The store and the queue, as one server or two, with their faults; and what is known of every write that was made.
//!
//! Each leader has a [`Writer`], which stands between its driver and the store in memory. The ledger checks what is written
//! (I4, I6, I9, I12, I17) and keeps what the other checks need.

use crate::plan::{Mutant, Plan};
use crate::records::{orders, transitions};
use adapters::source::memory::Memory;
use adapters::source::{Cursor, DeadLetter, Delivery, Receipt, Source as _};
use adapters::store::memory::Image;
use adapters::store::{Batch, Epoch, Error, Loaded, MemoryStore, Op, Store, Trimmed};
use engine::outbox::{Key, Owner, Schedule};
use engine::{Advance, Code, Policy, Record, Snapshot, State, StateKind, Task, TaskId, Transition};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When the simulation begins, by right clocks.
pub(crate) const EPOCH: u64 = 1_795_500_000_000;
/// How far back a store may fall.
const LOSS_MAX_MS: u64 = 20_000;

/// What every part of the simulation may note.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Broken invariants: name, task, words.
    pub(crate) broken: Vec<Broken>,
    /// How often something worth reaching was reached.
    pub(crate) reached: BTreeMap<String, u64>,
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) task: String,
    pub(crate) what: String,
}

impl Findings {
    pub(crate) fn reach(&mut self, what: &str) {
        *self.reached.entry(what.to_owned()).or_insert(0) += 1;
    }

    pub(crate) fn broke(&mut self, rule: &'static str, task: &str, what: String) {
        let task = task.to_owned();
        self.broken.push(Broken { rule, task, what });
    }
}

/// A callback as the driver stores it: of its stored form, what is needed here.
#[derive(Deserialize)]
#[serde(tag = "v")]
enum Stored {
    #[serde(rename = "1")]
    V1 {
        key: Key,
        url: String,
        webhook_id: String,
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
        schedule: Schedule,
    },
    #[serde(rename = "1-closed")]
    Closed {
        #[expect(dead_code, reason = "its presence is enough")]
        owner: Owner,
    },
}

/// A callback that was owed at some time.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) key: Key,
    pub(crate) url: String,
    pub(crate) webhook_id: String,
    pub(crate) body: Vec<u8>,
}

/// What becomes of the answer to the next write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    Written,
    NotWritten,
}

#[derive(Clone)]
struct Saved {
    image: Image,
    tasks: BTreeMap<String, Task>,
    garbage: BTreeSet<String>,
    outbox: BTreeMap<String, String>,
    holder: u64,
    number: u64,
    current: Option<MemoryStore>,
    waiting: VecDeque<Vec<u8>>,
    taken: Vec<Vec<u8>>,
}

/// The server or servers.
pub(crate) struct Ledger {
    pub(crate) now: u64,
    pub(crate) found: Findings,
    /// Tasks as the store holds them.
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Tasks whose snapshot was damaged.
    pub(crate) garbage: BTreeSet<String>,
    /// Tasks whose raw message was lost.
    pub(crate) forgotten: BTreeSet<String>,
    /// Keys of the outbox, with the `webhook-id`.
    pub(crate) outbox: BTreeMap<String, String>,
    /// Every callback that ever was in the store, by `webhook-id`.
    pub(crate) letters: BTreeMap<String, Letter>,
    /// Callbacks that were given up, by `webhook-id`.
    pub(crate) dead: BTreeSet<String>,
    /// What was written since the world last looked.
    pub(crate) applied: Vec<Transition>,
    /// Letters sent too early, by the mutant that does so.
    pub(crate) early: Vec<Letter>,
    pub(crate) loss: Option<Loss>,
    pub(crate) damage_next: bool,
    /// The next read of raw messages finds none.
    pub(crate) forget_messages: bool,
    /// Messages that were set aside, as the contract has it, since three processes in a row died with them in hand.
    pub(crate) condemned: Vec<Vec<u8>>,
    /// Acknowledged writes were lost at these times.
    pub(crate) lost_at: Vec<u64>,
    pub(crate) queue: Arc<Memory>,
    pub(crate) waiting: VecDeque<Vec<u8>>,
    pub(crate) raws: BTreeMap<Receipt, Vec<u8>>,
    master: MemoryStore,
    holder: u64,
    number: u64,
    current: Option<MemoryStore>,
    writers: u64,
    handed: u64,
    history: VecDeque<(u64, Saved)>,
    policy: Policy,
    joint: bool,
    mutant: Option<Mutant>,
}

/// The ledger, shared by every leader.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(Arc::new(Mutex::new(Ledger {
            now: 0,
            found: Findings::default(),
            tasks: BTreeMap::new(),
            garbage: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            outbox: BTreeMap::new(),
            letters: BTreeMap::new(),
            dead: BTreeSet::new(),
            applied: Vec::new(),
            early: Vec::new(),
            loss: None,
            damage_next: false,
            forget_messages: false,
            condemned: Vec::new(),
            lost_at: Vec::new(),
            queue: Arc::new(Memory::new()),
            waiting: VecDeque::new(),
            raws: BTreeMap::new(),
            master: MemoryStore::new("jobs", "lock"),
            holder: 0,
            number: 0,
            current: None,
            writers: 0,
            handed: 0,
            history: VecDeque::new(),
            policy: plan.policy.clone(),
            joint: plan.joint,
            mutant: plan.mutant,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the store for a new leader.
    pub(crate) fn writer(&self) -> Writer {
        let mut ledger = self.lock();
        ledger.writers += 1;
        Writer {
            inner: ledger.master.clone(),
            id: ledger.writers,
            number: 0,
            joint: ledger.joint,
            ledger: self.clone(),
        }
    }
}

/// One leader's connection to the store.
pub(crate) struct Writer {
    inner: MemoryStore,
    id: u64,
    number: u64,
    joint: bool,
    ledger: Shared,
}

impl Store for Writer {
    fn claim(&mut self, holder: &str) -> Result<Epoch, Error> {
        let epoch = self.inner.claim(holder)?;
        self.number = epoch.number;
        let mut ledger = self.ledger.lock();
        ledger.holder = self.id;
        ledger.number = epoch.number;
        ledger.current = Some(self.inner.clone());
        Ok(epoch)
    }

    fn commit(&mut self, batch: &Batch, until: Instant) -> Result<Trimmed, Error> {
        let shared = self.ledger.clone();
        let mut ledger = shared.lock();
        let loss = if batch.ops.is_empty() {
            None
        } else {
            ledger.loss.take()
        };
        if loss == Some(Loss::NotWritten) {
            ledger.found.reach("reply lost, not written");
            return Err(Error::Answer("none".to_owned()));
        }
        ledger.send_early(batch);
        let (prepared, damaged) = ledger.prepared(batch);
        let mut written = self.inner.commit(&prepared, until);
        let by_order = ledger.mutant == Some(Mutant::EpochByOrder) && self.number >= ledger.number;
        let unfenced = matches!(ledger.mutant, Some(Mutant::FenceOff | Mutant::VersionsOff));
        if written == Err(Error::Fenced)
            && (by_order || unfenced)
            && let Some(current) = &mut ledger.current
        {
            written = current.commit(&prepared, until);
        } else if written.is_ok() {
            ledger.current = Some(self.inner.clone());
        }
        match &written {
            Ok(_) => {
                if ledger.holder != self.id && ledger.mutant != Some(Mutant::VersionsOff) {
                    let task = first_task(batch);
                    ledger
                        .found
                        .broke("I9", &task, "a write under a former token was applied".to_owned());
                }
                ledger.apply(batch, damaged.as_deref());
            }
            Err(error) => ledger.found.reach(&format!("store: {}", error.class())),
        }
        if loss == Some(Loss::Written) && written.is_ok() {
            ledger.found.reach("reply lost, written");
            return Err(Error::Answer("none".to_owned()));
        }
        written
    }

    fn tombstones(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.inner.tombstones(ids)
    }

    fn load(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error> {
        self.inner.load(each)
    }

    fn messages(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut ledger = self.ledger.lock();
        if ledger.forget_messages && !ids.is_empty() {
            ledger.forget_messages = false;
            ledger.forgotten.extend(ids.iter().map(|id| (*id).to_owned()));
            ledger.found.reach("raw messages are lost");
            return Ok(vec![None; ids.len()]);
        }
        drop(ledger);
        self.inner.messages(ids)
    }

    fn joint(&self) -> bool {
        self.joint
    }
}

fn first_task(batch: &Batch) -> String {
    batch
        .ops
        .iter()
        .find_map(|op| match op {
            Op::Ingest { task, .. }
            | Op::Move { task, .. }
            | Op::Forget { task, .. }
            | Op::Tombstone { task, .. } => Some(task.clone()),
            Op::OutPush { .. }
            | Op::OutAck { .. }
            | Op::OutRetry { .. }
            | Op::OutDead { .. }
            | orders!()
            | Op::Settle { .. }
            | Op::DeadLetter { .. } => None,
        })
        .unwrap_or_default()
}

impl Ledger {
    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
        self.master.set_now(EPOCH + now);
    }

    /// Tells whether the id has a tombstone.
    pub(crate) fn is_buried(&mut self, id: &str) -> bool {
        matches!(self.master.tombstones(&[id]).as_deref(), Ok([Some(_)]))
    }

    /// Removes what the queue, not this store, has to settle, and takes away what a mutant lacks.
    fn prepared(&mut self, batch: &Batch) -> (Batch, Option<String>) {
        let mut damaged = None;
        let mut ops = Vec::new();
        for op in &batch.ops {
            let mut op = op.clone();
            match &mut op {
                Op::Settle { .. } | Op::DeadLetter { .. } => continue,
                Op::Tombstone { .. } if self.mutant == Some(Mutant::NoTombstone) => continue,
                Op::Ingest { settle, .. } => *settle = None,
                Op::Move {
                    task,
                    expect,
                    snapshot,
                    tombstone,
                    ..
                } => {
                    if self.mutant == Some(Mutant::NoTombstone) {
                        *tombstone = None;
                    }
                    if self.mutant == Some(Mutant::VersionsOff)
                        && let Some(held) = self.tasks.get(task)
                    {
                        *expect = held.seq;
                    }
                    if self.damage_next {
                        self.damage_next = false;
                        *snapshot = b"\x81\xa1v\xa19".to_vec();
                        damaged = Some(task.clone());
                    }
                }
                Op::Forget { task, expect } => {
                    if self.mutant == Some(Mutant::VersionsOff)
                        && let Some(held) = self.tasks.get(task)
                    {
                        *expect = held.seq;
                    }
                }
                Op::Tombstone { .. }
                | Op::OutPush { .. }
                | Op::OutAck { .. }
                | Op::OutRetry { .. }
                | Op::OutDead { .. }
                | orders!() => {}
            }
            ops.push(op);
        }
        let log = batch.log.clone();
        (Batch { ops, log }, damaged)
    }

    fn send_early(&mut self, batch: &Batch) {
        if self.mutant != Some(Mutant::EarlyCallback) {
            return;
        }
        for op in &batch.ops {
            if let Op::OutPush { entry, .. } = op
                && let Some((letter, 0)) = read_letter(entry)
            {
                self.early.push(letter);
            }
        }
    }

    fn apply(&mut self, batch: &Batch, damaged: Option<&str>) {
        let mut log = transitions(batch);
        for op in &batch.ops {
            match op {
                Op::Ingest {
                    task,
                    snapshot,
                    settle,
                    ..
                } => {
                    self.moved(task, snapshot, log.next(), None);
                    if let Some(receipt) = settle {
                        self.settle(receipt);
                    }
                }
                Op::Move {
                    task,
                    snapshot,
                    expect,
                    ..
                } => {
                    self.moved(task, snapshot, log.next(), Some(*expect));
                    if damaged == Some(task.as_str()) {
                        self.garbage.insert(task.clone());
                    } else {
                        self.garbage.remove(task);
                    }
                }
                Op::Forget { task, .. } => {
                    self.tasks.remove(task);
                    self.garbage.remove(task);
                }
                Op::Tombstone { .. } | orders!() => {}
                Op::OutPush { key, entry } | Op::OutRetry { key, entry } => self.owed(key, entry),
                Op::OutAck { key } => drop(self.outbox.remove(key)),
                Op::OutDead { key, .. } => {
                    if let Some(webhook_id) = self.outbox.remove(key) {
                        self.dead.insert(webhook_id);
                        self.found.reach("callback given up");
                    }
                }
                Op::Settle { receipt } => self.settle(receipt),
                Op::DeadLetter { letter } => self.bury(letter),
            }
        }
    }

    /// A message goes to the dead letters.
    pub(crate) fn bury(&mut self, letter: &DeadLetter) {
        self.found.reach(&format!("dead letter {}", letter.reason));
        if letter.reason == Code::InternalError.as_str() && letter.raw != crate::replica::POISON {
            self.found.reach("known: three crashes in a row met one message");
            self.condemned.push(letter.raw.clone());
        }
        if let Err(error) = self.queue.dead_letter(letter) {
            self.found.broke("queue", "", error.to_string());
        }
    }

    fn settle(&mut self, receipt: &Receipt) {
        if let Err(error) = self.queue.acknowledge(std::slice::from_ref(receipt)) {
            self.found.broke("queue", "", error.to_string());
        }
    }

    fn owed(&mut self, key: &str, entry: &[u8]) {
        let Some((letter, _)) = read_letter(entry) else {
            self.outbox.insert(key.to_owned(), String::new());
            return;
        };
        self.outbox.insert(key.to_owned(), letter.webhook_id.clone());
        if letter.body.len() > 20 * 1024 {
            self.found
                .broke("I17", key, "a callback is longer than 20 KiB".to_owned());
        }
        match self.letters.get(&letter.webhook_id) {
            Some(known) if known.body != letter.body && self.lost_at.is_empty() => {
                let what = format!("two bodies under {}", letter.webhook_id);
                self.found.broke("I6", key, what);
            }
            Some(_) => {}
            None => drop(self.letters.insert(letter.webhook_id.clone(), letter)),
        }
    }

    /// One transition: it has to follow from what the store held (I4, I12).
    fn moved(&mut self, id: &str, snapshot: &[u8], record: Option<&Vec<u8>>, expect: Option<u64>) {
        let Some(Ok(Record::V1 { transition, .. })) =
            record.map(|bytes| rmp_serde::from_slice::<Record>(bytes))
        else {
            self.found
                .broke("I12", id, "a write without its record".to_owned());
            return;
        };
        let before = self.tasks.get(id).cloned();
        let task = TaskId::new(id);
        let (at, event) = (transition.at, transition.event.clone());
        let again = match (&before, expect) {
            (None, None) => {
                self.found.reach(&format!("begins by {}", event.kind().name()));
                Task::begin(at, &task, event, &self.policy)
            }
            (Some(before), Some(expect)) if before.seq == expect => {
                match before.advance(at, &task, event, &self.policy) {
                    Ok(Advance::Moved(again, row)) => {
                        self.found.reach(&row_name(row));
                        Some(*again)
                    }
                    Ok(Advance::Ignored(_)) | Err(_) => None,
                }
            }
            (_, _) => {
                let held = before.as_ref().map(|before| before.seq);
                self.found.broke(
                    "I4",
                    id,
                    format!("version {held:?} was overwritten by one after {expect:?}"),
                );
                None
            }
        };
        if again.as_ref() != Some(&transition) {
            let what = format!(
                "the record does not follow from the snapshot: {:?}",
                transition.event.kind().name()
            );
            self.found.broke("I12", id, what);
        }
        let bytes = rmp_serde::to_vec_named(&Snapshot::from(transition.after.clone())).expect("our own type");
        if bytes != snapshot {
            self.found
                .broke("I12", id, "snapshot and record differ".to_owned());
        }
        if snapshot.len() > 64 * 1024 {
            self.found
                .broke("I17", id, "a snapshot is longer than 64 KiB".to_owned());
        }
        if let Some(before) = &before
            && rank(before.state.kind()) > rank(transition.after.state.kind())
        {
            self.found.broke("I4", id, "a state went back".to_owned());
        }
        self.found.reach(&format!(
            "phase {}/{}",
            transition.after.state.kind().name(),
            transition.after.state.phase()
        ));
        self.tasks.insert(id.to_owned(), transition.after.clone());
        self.applied.push(transition);
    }

    // The queue.

    pub(crate) fn push(&mut self, raw: Vec<u8>) {
        self.waiting.push_back(raw.clone());
        self.queue.push(raw);
    }

    pub(crate) fn take(&mut self, max: usize) -> Vec<Delivery> {
        let deliveries = self
            .queue
            .take(max, Duration::ZERO)
            .expect("a queue in memory does not fail");
        for delivery in &deliveries {
            self.waiting.pop_front();
            self.handed += 1;
            self.raws.insert(delivery.receipt.clone(), delivery.raw.clone());
        }
        deliveries
    }

    /// What was taken and is not settled.
    pub(crate) fn taken(&self) -> Vec<Delivery> {
        let mut taken = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            let page = self
                .queue
                .leftovers(at, 512)
                .expect("a queue in memory does not fail");
            taken.extend(page.deliveries);
            cursor = page.next;
        }
        taken
    }

    // Lost writes.

    pub(crate) fn save(&mut self) {
        let saved = Saved {
            image: self.master.image(),
            tasks: self.tasks.clone(),
            garbage: self.garbage.clone(),
            outbox: self.outbox.clone(),
            holder: self.holder,
            number: self.number,
            current: self.current.clone(),
            waiting: self.waiting.clone(),
            taken: self.taken().into_iter().map(|delivery| delivery.raw).collect(),
        };
        self.history.push_back((self.now, saved));
        while self
            .history
            .front()
            .is_some_and(|(at, _)| at + LOSS_MAX_MS < self.now)
        {
            self.history.pop_front();
        }
    }

    /// Falls back to the state of some moment; returns it, or `None` where none is near enough.
    pub(crate) fn roll_back(&mut self, choice: u64) -> Option<u64> {
        let len = self.history.len() as u64;
        let at = usize::try_from(choice % len.max(1)).expect("an index");
        let (at, saved) = self.history.get(at)?.clone();
        if at + LOSS_MAX_MS < self.now {
            return None;
        }
        self.put_back(saved);
        self.history.retain(|(when, _)| *when <= at);
        Some(at)
    }

    /// Everything is gone.
    pub(crate) fn wipe(&mut self) {
        self.put_back(Saved {
            image: Image::default(),
            tasks: BTreeMap::new(),
            garbage: BTreeSet::new(),
            outbox: BTreeMap::new(),
            holder: 0,
            number: 0,
            current: None,
            waiting: VecDeque::new(),
            taken: Vec::new(),
        });
        self.history.clear();
    }

    fn put_back(&mut self, saved: Saved) {
        self.lost_at.push(self.now);
        self.master.restore(saved.image);
        self.master.set_now(EPOCH + self.now);
        self.tasks = saved.tasks;
        self.garbage = saved.garbage;
        self.outbox = saved.outbox;
        self.holder = saved.holder;
        self.number = saved.number;
        self.current = saved.current;
        if self.joint {
            self.rebuild_queue(saved.taken, saved.waiting);
        }
    }

    /// A queue with these messages, whose receipts no leader has seen.
    fn rebuild_queue(&mut self, taken: Vec<Vec<u8>>, waiting: VecDeque<Vec<u8>>) {
        self.queue = Arc::new(Memory::new());
        self.waiting.clear();
        for _ in 0..self.handed {
            self.queue.push(Vec::new());
        }
        let mut left = self.handed;
        while left > 0 {
            let burnt = self
                .queue
                .take(512, Duration::ZERO)
                .expect("a queue in memory does not fail");
            left -= burnt.len() as u64;
            for delivery in burnt {
                self.settle(&delivery.receipt);
            }
        }
        let count = taken.len();
        for raw in taken {
            self.push(raw);
        }
        let mut moved = 0;
        while moved < count {
            moved += self.take(count - moved).len();
        }
        for raw in waiting {
            self.push(raw);
        }
    }
}

fn read_letter(entry: &[u8]) -> Option<(Letter, u32)> {
    match rmp_serde::from_slice(entry) {
        Ok(Stored::V1 {
            key,
            url,
            webhook_id,
            body,
            schedule,
        }) => Some((
            Letter {
                key,
                url,
                webhook_id,
                body,
            },
            schedule.attempts,
        )),
        Ok(Stored::Closed { .. }) => None,
        Err(error) => panic!("an outbox entry cannot be read: {error}"),
    }
}

/// Names a row of the engine's table.
pub(crate) fn row_name(row: &engine::Move) -> String {
    let guard = row.guard.unwrap_or("-");
    format!(
        "row {} + {} if {guard} => {}",
        row.from.name(),
        row.on.name(),
        row.handler
    )
}

const fn rank(kind: StateKind) -> u8 {
    match kind {
        StateKind::Received => 0,
        StateKind::Created => 1,
        StateKind::PodStarted => 2,
        StateKind::Completed | StateKind::Failed | StateKind::Exception => 3,
    }
}

/// Tells whether a Job of the task was left in place.
pub(crate) const fn left_in_place(state: &State) -> bool {
    let closing = match state {
        State::Completed(end) => &end.closing,
        State::Failed(end) => &end.closing,
        State::Exception(end) => &end.closing,
        State::Received(_) | State::Created(_) | State::PodStarted(_) => return false,
    };
    matches!(closing, engine::Closing::LeftInPlace { .. })
}
