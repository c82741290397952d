//! Who pushes messages, what goes wrong, and how it is made well again.

use crate::kube::Deleter;
use crate::ledger::{Loss, left_in_place};
use crate::plan::Fault;
use crate::world::{Event, ToProcess, World};
use engine::State;
use engine::states::{Received, ReceivedPhase};

/// When messages are no longer awaited after the faults have ended, at the latest.
const PATIENCE_MS: u64 = 5_400_000;

/// When Jobs that nobody watches and that never end are cleaned up.
const CLEAN_UP_MS: u64 = 1_500_000;

impl World {
    pub(crate) fn plan_faults(&mut self) {
        for fault in self.plan.faults.clone() {
            self.plan_strike(fault);
        }
        if self.plan.has(Fault::Rollback) {
            self.after(0, Event::Save);
        }
        let heal_at = self.plan.heal_at;
        self.at(heal_at, Event::Heal);
    }

    fn plan_strike(&mut self, fault: Fault) {
        if let Some(mean) = fault.mean_ms() {
            let wait = self.rng.range(mean / 20, mean * 2);
            self.after(wait, Event::Strike(fault));
        }
    }

    fn some_replica(&mut self) -> usize {
        let leader = self.replicas.iter().position(|replica| replica.term.is_some());
        let any = usize::try_from(self.rng.below(self.replicas.len() as u64)).expect("small");
        leader.filter(|_| self.rng.chance(80)).unwrap_or(any)
    }

    pub(crate) fn strikes(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        self.plan_strike(fault);
        match fault {
            Fault::Crash => {
                let index = self.some_replica();
                self.crashes(index);
            }
            Fault::Pause => {
                let index = self.some_replica();
                let ms = if self.rng.chance(50) {
                    self.rng.range(200, 5_000)
                } else {
                    self.rng.range(5_000, 45_000)
                };
                self.pauses(index, ms);
            }
            Fault::Rollout => {
                let index = self.some_replica();
                let life = self.replicas[index].life;
                self.reach("rollout");
                self.after(0, Event::Process(index, life, ToProcess::Stop));
            }
            Fault::LostReply => {
                let loss = if self.rng.chance(50) {
                    Loss::Written
                } else {
                    Loss::NotWritten
                };
                self.shared.lock().loss = Some(loss);
            }
            Fault::Rollback => self.falls_back(),
            Fault::Wipe => {
                self.shared.lock().wipe();
                self.note(|| " ! the store is wiped".to_owned());
                self.reach("wipe of the store");
                self.writes_were_lost();
            }
            Fault::ClockJump => {
                let index = self.some_replica();
                let ahead = i64::try_from(self.rng.below(60_000)).expect("small") - 30_000;
                self.replicas[index].ahead = ahead;
                self.note(|| format!(" ! the clock of w{index} jumps to {ahead} ms"));
                self.reach("clock jump");
            }
            Fault::ApiDown => {
                let ms = self.rng.range(1_000, 30_000);
                self.api_down_until = self.now + ms;
                self.note(|| format!(" ! the API server is down for {ms} ms"));
                self.reach("API server down");
            }
            Fault::Namespaces => {
                let namespace = (*self.rng.pick(&["a", "b"])).to_owned();
                let quota = self.rng.chance(50);
                let until = self.now
                    + if quota {
                        self.rng.range(3_000, 60_000)
                    } else {
                        self.rng.range(3_000, 130_000)
                    };
                self.note(|| format!(" ! namespace {namespace} refuses, quota: {quota}, until {until}"));
                self.refused.insert(namespace, (quota, until));
            }
            Fault::Watches => self.watch_breaks(),
            Fault::ThirdParty => self.third_party(),
            Fault::Lease => self.deletes_lease(),
            Fault::Corrupt => self.damages(),
            Fault::Creates | Fault::Receivers | Fault::LateTake | Fault::Poison | Fault::Lives => {}
        }
    }

    fn falls_back(&mut self) {
        let choice = self.rng.next();
        let back = self.shared.lock().roll_back(choice);
        if let Some(at) = back {
            let now = self.now;
            self.note(|| format!(" ! the store falls back by {} ms", now - at));
            self.reach("rollback of the store");
            self.writes_were_lost();
        }
    }

    fn deletes_lease(&mut self) {
        if self.rng.chance(30) {
            self.lease = None;
            self.claims.lease_deleted = true;
            self.note(|| " ! the Lease is deleted".to_owned());
            self.reach("Lease deleted");
        }
    }

    fn damages(&mut self) {
        let message = self.rng.chance(30);
        let mut ledger = self.shared.lock();
        if message {
            ledger.forget_messages = true;
        } else {
            ledger.damage_next = true;
        }
    }

    fn third_party(&mut self) {
        let jobs: Vec<String> = self.kube.jobs.keys().cloned().collect();
        if jobs.is_empty() {
            return;
        }
        let job = self.rng.pick(&jobs).clone();
        let what = self.rng.below(5);
        match what {
            0 => self.kube.delete(&job, Deleter::ThirdParty),
            1 => self.kube.unlabel(&job),
            2 => self.kube.suspend(&job),
            3 => {
                let label = self.instance.hash();
                self.kube.label_again(&job, &label);
            }
            _ => self.kube.disrupt(&job),
        }
        self.reach(
            [
                "Job deleted",
                "label removed",
                "Job suspended",
                "label put back",
                "pod evicted",
            ][usize::try_from(what).expect("small")],
        );
        for note in std::mem::take(&mut self.kube.notes) {
            self.note(|| note.clone());
        }
        for index in 0..self.replicas.len() {
            self.adapter_hears(index);
        }
    }

    /// Everything works from here on.
    pub(crate) fn heals(&mut self) {
        self.healed = true;
        self.api_down_until = 0;
        self.refused.clear();
        {
            let mut ledger = self.shared.lock();
            ledger.loss = None;
            ledger.damage_next = false;
            ledger.forget_messages = false;
        }
        self.note(|| " ! every fault ends".to_owned());
        for index in 0..self.replicas.len() {
            self.replicas[index].paused_until = 0;
            let life = self.replicas[index].life;
            self.after(0, Event::Process(index, life, ToProcess::LeaseWoke));
            self.want_turn(index, 0);
        }
        self.after(100_000, Event::Janitor);
        self.after(60_000, Event::Check);
    }

    /// Somebody cleans up: Jobs that were left in place, and ended Jobs that a new task waits for.
    pub(crate) fn janitor(&mut self) {
        let (mut jobs, blocked) = {
            let ledger = self.shared.lock();
            let left = ledger.tasks.values().filter(|task| left_in_place(&task.state));
            let jobs: Vec<String> = left
                .filter_map(|task| Some(task.state.job()?.to_string()))
                .collect();
            let blocked: Vec<String> = ledger
                .tasks
                .iter()
                .filter(
                    |(_, task)| matches!(&task.state, State::Received(received) if waits_for_old(received)),
                )
                .map(|(id, _)| id.clone())
                .collect();
            (jobs, blocked)
        };
        let old = self
            .kube
            .jobs
            .values()
            .filter(|job| blocked.iter().any(|id| id == job.task()));
        jobs.extend(old.filter(|job| job.end.is_some()).map(|job| job.uid.clone()));
        // A Job without its label would be deleted unseen; one that never ends is cleaned up in the end.
        jobs.retain(|job| self.kube.jobs.get(job).is_some_and(|job| job.label.is_some()));
        if self.now > self.plan.heal_at + CLEAN_UP_MS {
            let stuck = self
                .kube
                .jobs
                .values()
                .filter(|job| job.label.is_none() && job.end.is_none());
            jobs.extend(
                stuck
                    .filter(|job| !job.task().is_empty())
                    .map(|job| job.uid.clone()),
            );
        }
        for job in jobs {
            self.kube.delete(&job, Deleter::Janitor);
        }
        for index in 0..self.replicas.len() {
            self.adapter_hears(index);
        }
        self.after(100_000, Event::Janitor);
    }

    /// Ends the run once nothing is left to do, or too much time has passed.
    pub(crate) fn is_quiet(&mut self) {
        let busy = self.unfinished();
        if busy.is_empty() {
            self.final_checks();
            self.done = true;
        } else if self.now > self.plan.heal_at + PATIENCE_MS {
            let (task, words) = &busy[0];
            let jobs: Vec<_> = self.kube.jobs.values().filter(|job| job.task() == task).collect();
            let words = format!("{words}; {jobs:?}; {:?}", self.kube.pods_of(task));
            self.broke("L1", task, words);
        } else {
            self.after(20_000, Event::Check);
        }
    }
}

const fn waits_for_old(received: &Received) -> bool {
    matches!(received.phase, ReceivedPhase::BackingOff { old_job: true, .. })
}
