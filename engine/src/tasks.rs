//! Every task by its id: found in the time of one look, walked in the order of the ids.

use crate::id::TaskId;
use crate::task::Task;
use std::hash::{BuildHasherDefault, Hasher};

/// Every task. Boxes keep the map small while it grows, and a task that moves is changed in place.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Map);

#[expect(
    clippy::disallowed_types,
    reason = "its order is never seen: whatever walks it sorts the ids"
)]
type Map = std::collections::HashMap<TaskId, Box<Task>, BuildHasherDefault<IdHasher>>;

impl Tasks {
    pub(crate) fn get(&self, id: &TaskId) -> Option<&Task> {
        self.0.get(id).map(|task| &**task)
    }

    /// Puts a task in its place, and returns what was there.
    pub(crate) fn put(&mut self, id: TaskId, task: Task) -> Option<Task> {
        match self.0.get_mut(&id) {
            Some(held) => Some(std::mem::replace(held, task)),
            None => {
                self.0.insert(id, Box::new(task));
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &TaskId) -> Option<Task> {
        self.0.remove(id).map(|task| *task)
    }

    /// Returns every task, in the order of the ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.filter_map(Some)
    }

    /// Returns what is wanted of the tasks, in the order of the ids; only what is returned is sorted.
    pub(crate) fn filter_map<'a, T>(
        &'a self,
        wanted: impl Fn(&'a Task) -> Option<T>,
    ) -> impl Iterator<Item = (&'a TaskId, T)> {
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter_map(|(id, task)| Some((id, wanted(task)?)))
            .collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        found.into_iter()
    }
}

/// Folds an id, eight bytes at a time. It has no key, as nothing here is random: whoever makes ids that collide
/// slows down at most as many looks as there are tasks in flight, which is bounded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

/// An odd number without a pattern: the golden ratio's fraction.
const FOLD: u64 = 0x9e37_79b9_7f4a_7c15;

impl IdHasher {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FOLD);
        let [low, high] = [product, product >> 64].map(|half| half & u128::from(u64::MAX));
        self.0 = u64::try_from(low ^ high).unwrap_or(FOLD).rotate_left(23) ^ word;
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.fold(word.try_into().map_or(FOLD, u64::from_le_bytes));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;
    use crate::spec::Spec;
    use crate::state::{Received, State};
    use crate::time::Timestamp;
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;
    use std::sync::Arc;

    fn spec() -> Spec {
        Spec {
            digest: Digest([0; 32]),
            namespace: "default".to_owned(),
            job_name: "job".to_owned(),
            service: "example".to_owned(),
            webhook: None,
            traceparent: None,
            received_at: Timestamp(1),
            start_timeout_secs: 600,
            active_deadline_secs: None,
            ttl_secs: None,
        }
    }

    fn task(seq: u64) -> Task {
        Task {
            seq,
            spec: Arc::new(spec()),
            state: State::Received(Received::taken()),
        }
    }

    #[test]
    fn tasks_are_walked_in_the_order_of_their_ids() {
        let mut tasks = Tasks::default();
        for name in ["c", "a", "d", "b"] {
            assert_eq!(tasks.put(TaskId::new(name), task(1)), None);
        }
        assert_eq!(tasks.put(TaskId::new("b"), task(2)).map(|task| task.seq), Some(1));
        assert_eq!(tasks.remove(&TaskId::new("c")).map(|task| task.seq), Some(1));
        let found: Vec<_> = tasks.iter().map(|(id, task)| (id.as_str(), task.seq)).collect();
        assert_eq!(found, [("a", 1), ("b", 2), ("d", 1)]);
        let later = tasks.filter_map(|task| (task.seq > 1).then_some(task.seq));
        assert_eq!(later.collect::<Vec<_>>(), [(&TaskId::new("b"), 2)]);
    }

    #[test]
    fn ids_that_differ_little_hash_to_different_places() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        let count = 1 << 14;
        let hashes: Vec<u64> = (0..count)
            .map(|number| hasher.hash_one(TaskId::new(format!("task-{number}"))))
            .collect();
        // The map takes its place from the low bits and its tag from the high ones.
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash % (1 << 14)).collect();
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert!(low.len() > count / 2, "{} places of {count}", low.len());
        assert_eq!(high.len(), 128);
    }
}
