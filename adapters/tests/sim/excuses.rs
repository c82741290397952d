//! What is not this worker's fault, or is a limit that is known: it is counted, and printed by every set of runs.

use crate::checks::holds_id;
use crate::kube::Deleter;
use crate::world::World;
use engine::{Code, StateKind};

impl World {
    /// Why two verdicts, two Jobs or a missing verdict are not this worker's fault, or a limit that is known.
    fn excuse(&self, id: &str) -> Option<&'static str> {
        let ledger = self.shared.lock();
        if ledger.garbage.contains(id) {
            return Some("its snapshot was damaged");
        }
        if ledger.condemned.iter().any(|raw| holds_id(raw, id)) {
            return Some("three crashes in a row met its message");
        }
        let gone = |who: Deleter| {
            let made = self.kube.truth.made.get(id).into_iter().flatten();
            made.filter_map(|job| self.kube.truth.gone.get(job))
                .any(|by| *by == who)
        };
        if ledger.lost_at.is_empty() {
            return None;
        }
        let codes: Vec<Code> = self
            .claims
            .decided
            .get(id)
            .into_iter()
            .flatten()
            .filter_map(|(.., code)| *code)
            .collect();
        let has = |code: Code| codes.contains(&code);
        if gone(Deleter::Janitor) {
            return Some("lost writes, and its ended Job was cleaned up");
        }
        if gone(Deleter::ThirdParty) {
            return Some("lost writes, and a third party deleted the Job");
        }
        if has(Code::JobCreateFailed) || has(Code::JobAlreadyExists) || has(Code::InternalError) {
            return Some("lost writes, and a verdict without a Job");
        }
        let patched = self.plan.patch && !self.claims.unpatched.contains(id);
        if !patched && (has(Code::PodStartTimeout) || has(Code::PodStartFailed)) {
            return Some("lost writes, and a verdict by start timeout");
        }
        let verdicts = self.claims.decided.get(id).into_iter().flatten();
        if verdicts.filter(|(_, kind, _)| *kind == StateKind::Failed).count() > 1 {
            return Some("lost writes, and the pods that told why it failed are gone");
        }
        let aged = self
            .kube
            .jobs
            .values()
            .any(|job| job.task() == id && !self.is_adoptable(job));
        if aged {
            return Some("lost writes, and its Job could not be found in time");
        }
        if gone(Deleter::Ttl) {
            return Some("lost writes, and the TTL removed the Job");
        }
        None
    }

    /// Something is wrong with an id, unless it is excused; then it is counted.
    pub(crate) fn wrong(&mut self, rule: &'static str, id: &str, what: String) {
        match self.excuse(id) {
            Some(why) => {
                self.note(|| format!("{id} excused {rule}: {what}"));
                self.reach(&format!("known: {rule}: {why}"));
            }
            None => self.broke(rule, id, what),
        }
    }
}
