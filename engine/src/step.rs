//! What was decided but is not durable yet.

use crate::effect::Effect;
use crate::id::TaskId;
use crate::task::Transition;

/// Transitions that are to be written as one batch.
#[must_use = "an uncommitted step has no effects"]
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Step {
    transitions: Vec<Transition>,
}

impl Step {
    pub(crate) fn of(transition: Transition) -> Self {
        Self {
            transitions: vec![transition],
        }
    }

    /// Appends `later`, so that several steps share one write.
    pub fn then(&mut self, mut later: Self) {
        self.transitions.append(&mut later.transitions);
    }

    /// Returns what was decided, in order.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// Tells whether nothing moved.
    pub const fn is_empty(&self) -> bool {
        self.transitions.is_empty()
    }

    /// Makes the transitions durable with `write`, then yields the effects.
    ///
    /// There is no other way to the effects, so none can run ahead of the store.
    ///
    /// # Errors
    ///
    /// The error of `write`; memory is then ahead of the store and has to be rebuilt from it.
    pub fn commit<E>(
        self,
        write: impl FnOnce(&[Transition]) -> Result<(), E>,
    ) -> Result<Vec<(TaskId, Effect)>, E> {
        write(&self.transitions)?;
        Ok(self
            .transitions
            .into_iter()
            .filter_map(|transition| Some((transition.task, transition.effect?)))
            .collect())
    }
}
