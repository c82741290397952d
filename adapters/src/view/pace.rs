//! How much happened lately, as the event log tells.

use std::time::Duration;

use engine::{StateKind, Timestamp};
use serde::Serialize;

use super::{View, read_record};
use crate::clock::Clock;
use crate::connection::Error;

/// Pages of the log that are read at most: the cost of one look is bounded.
const PAGES_MAX: usize = 40;

/// What happened in a span of time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pace {
    /// The span in ms; shorter than asked for where more happened than is read.
    pub span_ms: u64,
    /// Tasks begun.
    pub taken: u64,
    /// Tasks that completed.
    pub completed: u64,
    /// Tasks that failed, status 3 and 99.
    pub failed: u64,
}

impl View {
    /// Counts what happened within a span before now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pace(&mut self, span: Duration) -> Result<Pace, Error> {
        let now = Timestamp(Clock.now_ms());
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut pace = Pace {
            span_ms,
            ..Pace::default()
        };
        let mut before = "+".to_owned();
        for _ in 0..PAGES_MAX {
            let page = self.reader.log_before(&before)?;
            let Some((cursor, _)) = page.last() else {
                return Ok(pace);
            };
            before.clone_from(cursor);
            let mut oldest = now;
            for transition in page.iter().filter_map(|(_, record)| read_record(record)) {
                if now.since_ms(transition.at) > span_ms {
                    return Ok(pace);
                }
                oldest = transition.at;
                pace.taken += u64::from(transition.from.is_none());
                if transition.gave_verdict() {
                    let completed = transition.after.state.kind() == StateKind::Completed;
                    pace.completed += u64::from(completed);
                    pace.failed += u64::from(!completed);
                }
            }
            pace.span_ms = now.since_ms(oldest).max(1);
        }
        Ok(pace)
    }
}
