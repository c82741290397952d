//! What a batch of the store adds to the event log.

use adapters::store::Batch;
use engine::Record;

/// The operations of orders that this simulation does not look into.
macro_rules! orders {
    () => {
        Op::Answer { .. }
            | Op::Pause { .. }
            | Op::FreeId { .. }
            | Op::DropCallback { .. }
            | Op::DropLetter { .. }
            | Op::Requeue { .. }
    };
}
pub(crate) use orders;

/// The records of transitions, in order; those of orders move no task.
pub(crate) fn transitions(batch: &Batch) -> impl Iterator<Item = &Vec<u8>> {
    batch
        .log
        .iter()
        .filter(|bytes| !matches!(rmp_serde::from_slice(bytes), Ok(Record::Order { .. })))
}
