//! The invariants that the world can see, after every step and at the end.
//!
//! What is written is checked by the ledger. Names are those of `reliability.md` 3: I for what holds always, L for what holds
//! once the faults have ended.

use crate::kube::{Deleter, Job};
use crate::ledger::left_in_place;
use crate::plan::Mutant;
use crate::receivers::Arrived;
use crate::world::World;
use adapters::cluster::Report;
use adapters::source::{Receipt, Source as _};
use engine::{Code, Event, Failure, Notice, State, StateKind, Transition};
use std::collections::{BTreeMap, BTreeSet};

/// Rebuilds that one replica may need once the faults have ended.
const REBUILDS_MAX: u64 = 12;

/// What was promised, and what was seen of it.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Ids that have to come to a verdict.
    owed: BTreeSet<String>,
    /// How many tasks an id may have had.
    allowed: BTreeMap<String, u64>,
    /// Ids that a loss of writes took away whole.
    lost: BTreeSet<String>,
    /// Verdicts that were decided: time, status and code, by id.
    pub(crate) decided: BTreeMap<String, Vec<(u64, StateKind, Option<Code>)>>,
    /// Verdicts that arrived, without repetitions, by id.
    told: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// The Job of a task, by id and time of intake.
    jobs: BTreeMap<(String, u64), String>,
    /// Ids whose Job could not be stopped, for a while.
    pub(crate) unpatched: BTreeSet<String>,
    pub(crate) lease_deleted: bool,
}

impl World {
    pub(crate) fn pushed(&mut self, id: &str) {
        let lost = self.claims.lost.remove(id);
        let allowed = self.claims.allowed.entry(id.to_owned()).or_insert(0);
        if *allowed == 0 || lost {
            *allowed += 1;
        }
        self.claims.owed.insert(id.to_owned());
    }

    fn allowed(&self, id: &str) -> u64 {
        self.claims.allowed.get(id).copied().unwrap_or(0)
    }

    /// Which ids nobody knows of any more: not the queue, not the store, not the cluster.
    pub(crate) fn writes_were_lost(&mut self) {
        let ids: Vec<String> = self.claims.owed.iter().cloned().collect();
        for id in ids {
            if self.has_forgotten(&id) {
                *self.claims.allowed.entry(id.clone()).or_insert(0) += 1;
                self.reach("known: a loss of writes took a tombstone whose Job is gone");
            }
            if !self.is_known(&id) {
                self.claims.owed.remove(&id);
                self.claims.lost.insert(id.clone());
                self.reach("an id was lost whole");
                self.note(|| format!("{id} is lost whole"));
            }
        }
    }

    /// A verdict was given, and neither store nor cluster know of it: a copy of the message begins anew.
    fn has_forgotten(&self, id: &str) -> bool {
        let last = self.claims.decided.get(id).and_then(|all| all.last());
        if last.is_none_or(|(at, ..)| self.now >= at + self.plan.policy.dedup_window_ms) {
            return false;
        }
        let mut ledger = self.shared.lock();
        let job = self
            .kube
            .jobs
            .values()
            .any(|job| job.task() == id && self.is_adoptable(job));
        !ledger.tasks.contains_key(id) && !ledger.is_buried(id) && !job
    }

    fn is_known(&self, id: &str) -> bool {
        let mut ledger = self.shared.lock();
        let holds = |raw: &[u8]| holds_id(raw, id);
        ledger.tasks.contains_key(id)
            || ledger.is_buried(id)
            || ledger.waiting.iter().any(|raw| holds(raw))
            || ledger.taken().iter().any(|delivery| holds(&delivery.raw))
            || self
                .kube
                .jobs
                .values()
                .any(|job| job.task() == id && self.is_adoptable(job))
    }

    /// A Job that a leader which comes soon finds and adopts.
    pub(crate) fn is_adoptable(&self, job: &Job) -> bool {
        let young = |at: u64| self.kube.wall() + 60_000 < at + self.plan.policy.dedup_window_ms / 2;
        job.label.is_some() && job.end.as_ref().is_none_or(|end| young(end.at))
    }

    // After every step.

    pub(crate) fn examine(&mut self) {
        let (applied, early) = {
            let mut ledger = self.shared.lock();
            if ledger.applied.is_empty() && ledger.early.is_empty() {
                return;
            }
            (
                std::mem::take(&mut ledger.applied),
                std::mem::take(&mut ledger.early),
            )
        };
        for letter in early {
            self.post_early(letter);
        }
        for transition in applied {
            self.moved(&transition);
        }
    }

    fn moved(&mut self, transition: &Transition) {
        let id = transition.task.as_str().to_owned();
        self.note(|| {
            format!(
                "{id} {} -{}-> {} ({}) v{}",
                transition.from.map_or("none", StateKind::name),
                transition.event.kind().name(),
                transition.after.state.kind().name(),
                transition.after.state.phase(),
                transition.after.seq
            )
        });
        if let Event::Taken(_) = &transition.event {
            self.taken_anew(&id);
        }
        if let Event::Adopted(adopted) = &transition.event {
            self.reach("adoption");
            let hidden = self.kube.truth.unlabelled.contains(&adopted.job.uid.to_string());
            self.adopted_in_time(&id, adopted.job.received_at.0, hidden);
        }
        for notice in &transition.notices {
            self.noticed(&id, transition, notice);
        }
        if transition.gave_verdict() {
            let code = failure(&transition.after.state).map(|failure| failure.code);
            let verdict = (self.now, transition.after.state.kind(), code);
            self.claims.decided.entry(id).or_default().push(verdict);
        }
    }

    /// After the window an id is free for another task.
    fn taken_anew(&mut self, id: &str) {
        let decided = self.claims.decided.get(id).and_then(|all| all.last());
        let window = self.plan.policy.dedup_window_ms;
        if decided.is_some_and(|(at, ..)| self.now + 60_000 >= at + window) {
            *self.claims.allowed.entry(id.to_owned()).or_insert(0) += 1;
        }
    }

    /// I8: nothing is said that has not happened.
    fn noticed(&mut self, id: &str, transition: &Transition, notice: &Notice) {
        let key = (id.to_owned(), transition.after.spec.received_at.0);
        let job = self.claims.jobs.get(&key).cloned().unwrap_or_default();
        let truth = &self.kube.truth;
        let wrong = match notice {
            Notice::Created { job } => {
                let made = truth
                    .made
                    .get(id)
                    .is_some_and(|made| made.contains(&job.to_string()));
                self.claims.jobs.insert(key, job.to_string());
                (!made).then(|| format!("a Job {job:?} was never made"))
            }
            Notice::Started { pod, .. } => {
                let fits = truth.pods.get(&pod.to_string()) == Some(&job) && truth.started.contains(&job);
                (!fits).then(|| format!("no pod of {job} has started, or {pod:?} is not its pod"))
            }
            Notice::Completed { .. } => {
                (truth.ended.get(&job) != Some(&true)).then(|| format!("Job {job} is not complete"))
            }
            Notice::Failed(_) => {
                (truth.ended.get(&job) != Some(&false)).then(|| format!("Job {job} has not failed"))
            }
            Notice::Exception(failure) => self.wrong_exception(id, &job, failure),
        };
        if let Some(what) = wrong {
            self.broke("I8", id, what);
        }
        if let Notice::Exception(failure) = notice {
            self.reach(&format!("verdict {}", failure.code.as_str()));
        }
    }

    fn wrong_exception(&self, id: &str, job: &str, failure: &Failure) -> Option<String> {
        let gone = self.kube.truth.gone.get(job);
        match failure.code {
            // A create in doubt whose Job may have come and gone before anybody looked.
            Code::JobResultUnknown if job.is_empty() && !self.plan.patch => None,
            Code::JobDeleted | Code::JobResultUnknown => match gone {
                None => Some(format!("Job {job} is not gone")),
                Some(Deleter::Ttl) if self.plan.patch && self.shared.lock().lost_at.is_empty() => Some(
                    format!("the TTL removed Job {job} before its verdict was durable"),
                ),
                Some(Deleter::Ttl | Deleter::ThirdParty | Deleter::Janitor) => None,
            },
            Code::InternalError if self.shared.lock().forgotten.contains(id) => None,
            Code::InternalError | Code::InvalidMessage | Code::TaskCancelled => {
                Some(format!("{} has no cause here", failure.code.as_str()))
            }
            Code::JobExecutionFailed
            | Code::JobOutOfMemory
            | Code::JobDeadlineExceeded
            | Code::JobDisrupted
            | Code::JobFailed
            | Code::PodStartTimeout
            | Code::PodStartFailed
            | Code::JobCreateFailed
            | Code::JobAlreadyExists => None,
        }
    }

    /// A verdict that was told long ago is not told again because its tombstone has ended.
    fn adopted_in_time(&mut self, id: &str, received_at: u64, hidden: bool) {
        let owner = format!("t:{id}@{received_at}");
        let told = self
            .receivers
            .arrived
            .iter()
            .filter(|arrived| arrived.owner == owner && arrived.rank >= 2)
            .filter_map(|arrived| self.receivers.accepted.get(&arrived.webhook_id))
            .min()
            .copied();
        let limit = self.plan.policy.dedup_window_ms / 2 + 90_000;
        if let Some(at) = told
            && self.now > at + limit
            && self.shared.lock().lost_at.is_empty()
        {
            if hidden {
                self.reach("known: age: a Job left in place lost its label, and has it again");
                // What follows from it, a verdict told anew, is known too.
                self.done = true;
                return;
            }
            self.broke(
                "age",
                id,
                "its Job was adopted long after its verdict was accepted".to_owned(),
            );
        }
    }

    /// I2: one Job.
    pub(crate) fn made(&mut self, job: &Job) {
        let id = job.task().to_owned();
        let made = self.kube.truth.made.get(&id).cloned().unwrap_or_default();
        let deleted = made
            .iter()
            .filter(|uid| self.kube.truth.gone.get(*uid) == Some(&Deleter::ThirdParty))
            .count();
        if (made.len() - deleted) as u64 > self.allowed(&id) {
            self.wrong(
                "I2",
                &id,
                format!("Jobs {made:?}, allowed: {}", self.allowed(&id)),
            );
        }
    }

    /// I9: nobody else leads while a leader writes to the cluster.
    pub(crate) fn may_write(&mut self, index: usize, what: &str, task: &str) {
        let now = self.now;
        let other = self
            .replicas
            .iter()
            .enumerate()
            .any(|(at, replica)| at != index && replica.up && replica.deadline > now);
        if other && !self.claims.lease_deleted {
            self.broke("I9", task, format!("{what} by w{index} while another leads"));
        }
    }

    /// I11: where queue and store are two servers, the last message of a task is settled once its Job exists.
    pub(crate) fn may_acknowledge(&mut self, receipts: &[Receipt]) {
        for receipt in receipts {
            let raw = self.shared.lock().raws.get(receipt).cloned().unwrap_or_default();
            let Ok(parsed) = adapters::message::parse(&raw) else {
                continue;
            };
            let id = parsed.message.id;
            let waits = {
                let mut ledger = self.shared.lock();
                let other = ledger
                    .taken()
                    .iter()
                    .any(|taken| !receipts.contains(&taken.receipt) && holds_id(&taken.raw, &id));
                let waits = match ledger.tasks.get(&id) {
                    Some(task) => task.state.kind() == StateKind::Received,
                    None => !ledger.is_buried(&id),
                };
                waits && !other
            };
            if waits && self.shared.lock().lost_at.is_empty() {
                self.broke(
                    "I11",
                    &id,
                    "its message was acknowledged before its Job exists".to_owned(),
                );
            }
        }
    }

    /// I3, I5, I6, I10: what a receiver sees.
    pub(crate) fn check_arrival(&mut self, arrived: &Arrived) {
        let Some((kind, rest)) = arrived.owner.split_once(':') else {
            return;
        };
        let id = rest.rsplit_once('@').map_or(rest, |(id, _)| id).to_owned();
        let known = self.shared.lock().letters.get(&arrived.webhook_id).cloned();
        let Some(known) = known else {
            let what = format!("callback {} was sent but never stored", arrived.rank);
            return self.broke("I10", &id, what);
        };
        if kind != "t" {
            self.reach("answer to a refused message");
            return;
        }
        if known.body != arrived.body && arrived.rank == 1 && !self.shared.lock().lost_at.is_empty() {
            self.reach("known: I6: lost writes, and status 1 names another pod");
        } else if known.body != arrived.body {
            self.wrong(
                "I6",
                &id,
                format!("two bodies under one webhook-id, status {}", arrived.rank),
            );
        }
        let new = !self.receivers.first.contains_key(&arrived.webhook_id);
        if new {
            self.in_order(&id, arrived);
        } else {
            self.reach("repeated delivery");
        }
        if arrived.rank >= 2 {
            let told = self.claims.told.entry(id.clone()).or_default();
            told.insert(arrived.body.clone());
            let told = told.len() as u64;
            if told > self.allowed(&id) {
                let bodies: Vec<String> = self.claims.told[&id]
                    .iter()
                    .map(|body| String::from_utf8_lossy(body).into_owned())
                    .collect();
                self.wrong("I3", &id, format!("verdicts {bodies:?}"));
            }
        }
    }

    fn in_order(&mut self, id: &str, arrived: &Arrived) {
        let last = self
            .receivers
            .arrived
            .iter()
            .filter(|earlier| earlier.owner == arrived.owner)
            .map(|earlier| earlier.rank)
            .max();
        if let Some(last) = last
            && last >= arrived.rank
        {
            self.wrong("I5", id, format!("{} first arrives after {last}", arrived.rank));
        }
        let skipped = {
            let ledger = self.shared.lock();
            ledger
                .letters
                .values()
                .filter(|letter| letter.key.owner.as_str() == arrived.owner && letter.key.rank < arrived.rank)
                .find(|letter| {
                    !self.receivers.accepted.contains_key(&letter.webhook_id)
                        && !ledger.dead.contains(&letter.webhook_id)
                })
                .map(|letter| {
                    let owed = ledger.outbox.values().any(|owed| *owed == letter.webhook_id);
                    (letter.key.rank, !owed && !ledger.lost_at.is_empty())
                })
        };
        // Of a start that was lost with the store only the pod could tell again.
        if let Some((1, true)) = skipped
            && self.kube.pods_of(id).is_empty()
        {
            self.reach("known: I5: lost writes, and the pod that started is gone");
        } else if let Some((skipped, _)) = skipped {
            self.wrong(
                "I5",
                id,
                format!("{} arrives though {skipped} was not accepted", arrived.rank),
            );
        }
    }

    /// Takes from a report what a mutant does not see.
    pub(crate) fn mutated(&mut self, report: Report) -> Report {
        let Report::Job {
            task,
            mut facts,
            mut adoption,
        } = report
        else {
            return report;
        };
        if self.plan.is(Mutant::NoAdoption) {
            adoption = None;
        }
        if self.plan.is(Mutant::AdoptionWithoutAge) {
            let known = {
                let mut ledger = self.shared.lock();
                ledger.tasks.contains_key(task.as_str()) || ledger.is_buried(task.as_str())
            };
            for fact in &mut facts {
                if let Event::JobSeen(seen) = fact
                    && !known
                {
                    seen.ended_at = None;
                }
            }
        }
        Report::Job {
            task,
            facts,
            adoption,
        }
    }

    // Once the faults have ended.

    /// L1, L2, L3: what is still to be done.
    pub(crate) fn unfinished(&self) -> Vec<(String, String)> {
        let ledger = self.shared.lock();
        let mut busy = Vec::new();
        for (id, task) in &ledger.tasks {
            let left = left_in_place(&task.state)
                && task
                    .state
                    .job()
                    .is_some_and(|job| self.kube.jobs.contains_key(&job.to_string()));
            let unseen = task
                .state
                .job()
                .is_some_and(|job| self.kube.truth.unseen.contains(&job.to_string()));
            let waits = !(left || left_in_place(&task.state) && unseen);
            if waits && !ledger.garbage.contains(id) {
                busy.push((
                    id.clone(),
                    format!("still {} ({})", task.state.kind().name(), task.state.phase()),
                ));
            }
        }
        for key in ledger.outbox.keys() {
            let id = key
                .split_once(':')
                .map_or("", |(_, rest)| rest.split('@').next().unwrap_or(""));
            if !key.ends_with("/closed") {
                busy.push((id.to_owned(), format!("callback {key} is still owed")));
            }
        }
        match ledger.queue.depth() {
            Ok(depth) if depth.waiting + depth.taken > 0 => {
                busy.push((String::new(), format!("the queue holds {depth:?}")));
            }
            Ok(_) => {}
            Err(error) => busy.push((String::new(), error.to_string())),
        }
        if self.producers.iter().any(|push| push.at > self.now) {
            busy.push((String::new(), "messages are to come".to_owned()));
        }
        busy
    }

    pub(crate) fn final_checks(&mut self) {
        let leaders = self
            .replicas
            .iter()
            .filter(|replica| {
                replica.deadline > self.now && replica.term.as_ref().is_some_and(|term| term.driver.is_some())
            })
            .count();
        if leaders != 1 {
            self.broke("L4", "", format!("{leaders} leaders"));
        }
        if self.rebuilds_after_heal > REBUILDS_MAX {
            let count = self.rebuilds_after_heal;
            self.broke("L5", "", format!("{count} rebuilds after the faults had ended"));
        }
        for id in self.claims.owed.clone() {
            self.ended(&id);
        }
    }

    /// I1, L1, L3: every id that was taken has a verdict, and it was told.
    fn ended(&mut self, id: &str) {
        let garbage = self.shared.lock().garbage.contains(id);
        if garbage {
            return self.reach("a damaged task is left alone");
        }
        let buried = self.shared.lock().is_buried(id);
        let decided = self.claims.decided.contains_key(id);
        if !decided {
            return self.wrong("I1", id, "it has no verdict".to_owned());
        }
        let letters: Vec<(String, String, u8)> = {
            let ledger = self.shared.lock();
            let owner = format!("t:{id}@");
            ledger
                .letters
                .values()
                .filter(|letter| letter.key.owner.as_str().starts_with(&owner))
                .map(|letter| {
                    (
                        letter.webhook_id.clone(),
                        letter.key.owner.as_str().to_owned(),
                        letter.key.rank,
                    )
                })
                .collect()
        };
        if letters.is_empty() {
            if !buried && !self.plan.reuse {
                self.wrong("I1", id, "it has no verdict any more".to_owned());
            }
            return;
        }
        let settled = letters.iter().any(|(webhook_id, owner, rank)| {
            let given_up =
                self.shared.lock().dead.contains(webhook_id) || self.receivers.gone.contains(owner);
            *rank >= 2 && (self.receivers.accepted.contains_key(webhook_id) || given_up)
        });
        if !settled {
            self.wrong("L3", id, "its verdict was never told".to_owned());
        }
    }
}

/// Tells whether it is a good message with this id.
pub(crate) fn holds_id(raw: &[u8], id: &str) -> bool {
    adapters::message::parse(raw).is_ok_and(|parsed| parsed.message.id == id)
}

const fn failure(state: &State) -> Option<&Failure> {
    match state {
        State::Failed(end) => Some(&end.failure),
        State::Exception(end) => Some(&end.failure),
        State::Received(_) | State::Created(_) | State::PodStarted(_) | State::Completed(_) => None,
    }
}
