//! Feeds recorded inputs to the engine of this program, and compares what it decides with what was recorded, byte for byte.
//!
//! Each task is followed by itself: whatever depends on other tasks (a create slot, a closed namespace) is an event of its own.

use crate::fields::{Fields, NotARecord};
use crate::orders::order_of;
use crate::usual::{Input, append};
use engine::{
    Advance, Effect, Event, Notice, Policy, Snapshot, Spec, State, StateKind, Task, TaskId, Timestamp,
    Transition,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// MessagePack's nil.
const NIL: &[u8] = &[0xc0];

/// Runs records again.
#[derive(Debug)]
pub struct Rerun {
    policy: Policy,
    restarts: bool,
    lives: HashMap<Box<[u8]>, Life>,
    buffer: Vec<u8>,
    counts: Counts,
}

/// A task as it is after the records so far.
#[derive(Debug)]
struct Life {
    id: TaskId,
    task: Task,
    /// Its spec as recorded.
    spec: Vec<u8>,
}

/// How many of what there was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Records.
    pub events: u64,
    /// Tasks; one whose id came back later counts again.
    pub tasks: u64,
    /// Tasks whose first record is not their first event: older ones were trimmed, or not asked for.
    pub midway: u64,
    /// Places where records of a task are missing.
    pub gaps: u64,
    /// Events that an older release recorded in other bytes with the same meaning.
    pub older: u64,
    /// Events that this program decides differently.
    pub different: u64,
    /// Records that cannot be read.
    pub unreadable: u64,
    /// Orders of operators among the records: they move no task.
    pub orders: u64,
}

/// One event that this program decides differently.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// Number of the record, from 1.
    pub event: u64,
    /// Where its frame begins.
    pub offset: u64,
    /// The task.
    pub task: String,
    /// Its version afterwards, as recorded.
    pub seq: u64,
    /// When it was decided, in ms since 1970.
    pub at: u64,
    /// The name of the event.
    pub input: &'static str,
    /// What differs.
    pub parts: Vec<Part>,
}

/// One part of a transition, twice.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Part {
    /// Its name in the record.
    pub name: &'static str,
    /// As recorded.
    pub recorded: Value,
    /// As this program has it.
    pub replayed: Value,
}

impl Rerun {
    /// Begins without tasks.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            restarts: false,
            lives: HashMap::new(),
            buffer: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// As [`Rerun::new`]; before each step the task is stored and read again, as a new leader would.
    pub fn with_restarts(policy: Policy) -> Self {
        Self {
            restarts: true,
            ..Self::new(policy)
        }
    }

    /// Decides with another policy from here on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Returns how many of what there was so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Runs one record again; `None` where it came out as recorded.
    ///
    /// After a difference the task goes on as recorded, so that one difference does not make others.
    ///
    /// # Errors
    /// The record cannot be read; its task goes on with its next record.
    pub fn record(&mut self, offset: u64, record: &[u8]) -> Result<Option<Difference>, NotARecord> {
        self.counts.events += 1;
        if self.is_usual(record) {
            return Ok(None);
        }
        let answer = match order_of(record) {
            Ok(Some(_)) => {
                self.counts.orders += 1;
                Ok(None)
            }
            Ok(None) => Fields::of(record).and_then(|fields| self.run(offset, &fields)),
            Err(error) => Err(error),
        };
        match &answer {
            Ok(None) => {}
            Ok(Some(_)) => self.counts.different += 1,
            Err(_) => self.counts.unreadable += 1,
        }
        answer
    }

    /// Runs a record that is as most are; false where anything is different, and nothing was done.
    fn is_usual(&mut self, record: &[u8]) -> bool {
        let Some(input) = Input::of(record) else {
            return false;
        };
        let Ok(event) = rmp_serde::from_slice::<Event>(input.event) else {
            return false;
        };
        let at = Timestamp(input.at);
        if let Some(spec) = input.taken() {
            return self.is_usual_beginning(&input, spec, event);
        }
        let Some(life) = self.lives.get_mut(input.task) else {
            return false;
        };
        if self.restarts {
            match restarted(&life.task) {
                Ok(task) => life.task = task,
                Err(_) => return false,
            }
        }
        let Ok(Advance::Moved(transition, _)) = life.task.advance(at, &life.id, event, &self.policy) else {
            return false;
        };
        let same = (Arc::ptr_eq(&transition.after.spec, &life.task.spec)
            || transition.after.spec == life.task.spec)
            && input.came_to(&transition, &life.spec);
        if same {
            life.task = transition.after;
        }
        same
    }

    fn is_usual_beginning(&mut self, input: &Input<'_>, spec: &[u8], event: Event) -> bool {
        let Ok(id) = std::str::from_utf8(input.task).map(TaskId::new) else {
            return false;
        };
        let Some(transition) = Task::begin(Timestamp(input.at), &id, event, &self.policy) else {
            return false;
        };
        let same = input.came_to(&transition, spec);
        if same {
            self.counts.tasks += 1;
            let life = Life {
                id,
                task: transition.after,
                spec: spec.to_vec(),
            };
            self.lives.insert(input.task.into(), life);
        }
        same
    }

    fn run(&mut self, offset: u64, fields: &Fields<'_>) -> Result<Option<Difference>, NotARecord> {
        if let Some(policy) = fields.said_policy()? {
            self.policy = policy;
        }
        let event: Event = read(fields.event)?;
        let (kind, at) = (event.kind(), Timestamp(fields.at));
        let answer = if fields.from == NIL {
            let id = std::str::from_utf8(fields.task).map_err(|_| NotARecord::Malformed)?;
            self.counts.tasks += 1;
            self.begin(at, TaskId::new(id), event, fields)?
        } else {
            match self.lives.get_mut(fields.task) {
                Some(life) if life.task.seq + 1 == fields.seq => {
                    if self.restarts {
                        life.task = restarted(&life.task)?;
                    }
                    let answer = match life.task.advance(at, &life.id, event, &self.policy) {
                        Ok(Advance::Moved(transition, _)) => Ok(*transition),
                        Ok(Advance::Ignored(why)) => Err(format!("ignored: {why}")),
                        Err(rejected) => Err(format!("rejected: {rejected}")),
                    };
                    life.takes(answer, fields, &mut self.buffer)?
                }
                found => {
                    if found.is_some() {
                        self.counts.gaps += 1;
                    } else {
                        (self.counts.tasks, self.counts.midway) =
                            (self.counts.tasks + 1, self.counts.midway + 1);
                    }
                    self.lives.insert(fields.task.into(), Life::recorded(fields)?);
                    Parts::default()
                }
            }
        };
        self.counts.older += u64::from(answer.older);
        if answer.differing.is_empty() {
            return Ok(None);
        }
        Ok(Some(Difference {
            event: self.counts.events,
            offset,
            task: String::from_utf8_lossy(fields.task).into_owned(),
            seq: fields.seq,
            at: fields.at,
            input: kind.name(),
            parts: answer.differing,
        }))
    }

    fn begin(
        &mut self,
        at: Timestamp,
        id: TaskId,
        event: Event,
        fields: &Fields<'_>,
    ) -> Result<Parts, NotARecord> {
        let answer = Task::begin(at, &id, event, &self.policy).ok_or_else(|| "it begins no task".to_owned());
        let mut life = Life {
            id,
            task: match &answer {
                Ok(transition) => transition.after.clone(),
                Err(_) => task(fields)?,
            },
            spec: Vec::new(),
        };
        let parts = life.takes(answer, fields, &mut self.buffer)?;
        self.lives.insert(fields.task.into(), life);
        Ok(parts)
    }
}

/// What became of a comparison.
#[derive(Debug, Default)]
struct Parts {
    older: bool,
    differing: Vec<Part>,
}

impl Parts {
    /// Compares one part. Other bytes may still mean the same: an older release wrote fewer fields.
    fn compare<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &'static str,
        replayed: &T,
        recorded: &[u8],
        buffer: &mut Vec<u8>,
    ) {
        write(replayed, buffer);
        if buffer == recorded {
            return;
        }
        let read = rmp_serde::from_slice::<T>(recorded).map_err(|error| format!("cannot be read: {error}"));
        if let Ok(read) = &read {
            let mut again = Vec::new();
            write(read, &mut again);
            if again == *buffer {
                self.older = true;
                return;
            }
        }
        self.differing.push(Part {
            name,
            recorded: read.map_or_else(Value::from, |read| shown(&read)),
            replayed: shown(replayed),
        });
    }
}

impl Life {
    /// A task as a record leaves it.
    fn recorded(fields: &Fields<'_>) -> Result<Self, NotARecord> {
        let id = std::str::from_utf8(fields.task).map_err(|_| NotARecord::Malformed)?;
        Ok(Self {
            id: TaskId::new(id),
            task: task(fields)?,
            spec: fields.spec.to_vec(),
        })
    }

    /// Compares what was decided, and goes on as recorded.
    fn takes(
        &mut self,
        answer: Result<Transition, String>,
        fields: &Fields<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Parts, NotARecord> {
        let mut parts = Parts::default();
        match answer {
            Ok(transition) => {
                // A spec hardly ever changes; then neither do its bytes.
                if transition.after.spec != self.task.spec || self.spec != fields.spec {
                    parts.compare::<Spec>("spec", &transition.after.spec, fields.spec, buffer);
                    self.spec.clear();
                    self.spec.extend_from_slice(fields.spec);
                }
                parts.compare::<State>("state", &transition.after.state, fields.state, buffer);
                parts.compare::<Vec<Notice>>("notices", &transition.notices, fields.notices, buffer);
                parts.compare::<Option<Effect>>(
                    "effect",
                    &transition.recorded_effect().cloned(),
                    fields.effect,
                    buffer,
                );
                parts.compare::<Option<StateKind>>("from", &transition.from, fields.from, buffer);
                if transition.after.seq != fields.seq {
                    parts.differing.push(Part {
                        name: "seq",
                        recorded: fields.seq.into(),
                        replayed: transition.after.seq.into(),
                    });
                }
                self.task = transition.after;
            }
            Err(why) => parts.differing.push(Part {
                name: "answer",
                recorded: "moved".into(),
                replayed: why.into(),
            }),
        }
        if !parts.differing.is_empty() {
            self.task = task(fields)?;
        }
        Ok(parts)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotARecord> {
    rmp_serde::from_slice(bytes).map_err(|error| NotARecord::Content(error.to_string()))
}

fn write<T: Serialize>(value: &T, buffer: &mut Vec<u8>) {
    buffer.clear();
    append(value, buffer);
}

fn shown<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| format!("cannot be shown: {error}").into())
}

fn task(fields: &Fields<'_>) -> Result<Task, NotARecord> {
    Ok(Task {
        seq: fields.seq,
        spec: read(fields.spec)?,
        state: read(fields.state)?,
    })
}

/// The task as the next leader finds it in the store.
fn restarted(task: &Task) -> Result<Task, NotARecord> {
    let mut stored = Vec::new();
    write(&Snapshot::from(task.clone()), &mut stored);
    read::<Snapshot>(&stored).map(Task::from)
}
