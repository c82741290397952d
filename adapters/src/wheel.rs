//! The timer wheel: plain data, at most one deadline a task, no thread and no clock.
//!
//! The driver overwrites a task's entry after each step, so nothing is ever cancelled.

use engine::{TaskId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The deadlines of all tasks.
#[derive(Debug, Default)]
pub struct Wheel {
    by_task: BTreeMap<TaskId, Timestamp>,
    by_time: BTreeSet<(Timestamp, TaskId)>,
}

impl Wheel {
    /// Takes in many tasks at once, in the order of their ids: in less time and memory than one by one.
    #[must_use]
    pub fn restored(deadlines: impl Iterator<Item = (TaskId, Timestamp)>) -> Self {
        let by_task: BTreeMap<TaskId, Timestamp> = deadlines.collect();
        let by_time = by_task.iter().map(|(task, at)| (*at, task.clone())).collect();
        Self { by_task, by_time }
    }

    /// Sets the task's deadline, or removes it.
    pub fn set(&mut self, task: &TaskId, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.by_task.insert(task.clone(), at),
            None => self.by_task.remove(task),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, task.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, task.clone()));
        }
    }

    /// Returns at most `max` tasks whose deadline has passed, the earliest first; they stay in the wheel.
    pub fn due(&self, now: Timestamp, max: usize) -> Vec<TaskId> {
        self.by_time
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(max)
            .map(|(_, task)| task.clone())
            .collect()
    }

    /// Returns the earliest deadline.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_that_are_restored_are_as_if_they_were_set() {
        let (a, b) = (TaskId::new("a"), TaskId::new("b"));
        let found = [(a.clone(), Timestamp(9)), (b.clone(), Timestamp(5))];
        let mut wheel = Wheel::restored(found.into_iter());
        assert_eq!(wheel.due(Timestamp(9), 10), [b.clone(), a.clone()]);
        wheel.set(&b, Some(Timestamp(12)));
        assert_eq!(wheel.due(Timestamp(11), 10), [a]);
    }

    #[test]
    fn a_later_deadline_replaces_an_earlier_one() {
        let (a, b) = (TaskId::new("a"), TaskId::new("b"));
        let mut wheel = Wheel::default();
        wheel.set(&a, Some(Timestamp(5)));
        wheel.set(&b, Some(Timestamp(7)));
        wheel.set(&a, Some(Timestamp(9)));
        assert_eq!(wheel.next(), Some(Timestamp(7)));
        assert_eq!(wheel.due(Timestamp(8), 10), std::slice::from_ref(&b));
        assert_eq!(wheel.due(Timestamp(9), 10), [b.clone(), a.clone()]);
        assert_eq!(wheel.due(Timestamp(9), 1), std::slice::from_ref(&b));
        wheel.set(&b, None);
        wheel.set(&a, None);
        assert_eq!((wheel.next(), wheel.due(Timestamp(99), 10)), (None, Vec::new()));
    }
}
