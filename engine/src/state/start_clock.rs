//! The clock of `POD_START_TIMEOUT`.

use super::Cx;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The clock of `POD_START_TIMEOUT`; it stands still while the Job is suspended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum StartClock {
    /// The Job's own deadline comes first.
    Unarmed {
        /// `spec.suspend`.
        suspended: bool,
    },
    /// It runs.
    Running {
        /// When the start is overdue.
        by: Timestamp,
    },
    /// It stands still.
    Stopped {
        /// Milliseconds that are left.
        left_ms: u64,
    },
}

impl StartClock {
    /// The creation time comes from another clock: it counts only where it fits into this task's life.
    pub(crate) fn new(created_at: Timestamp, suspended: bool, cx: &Cx<'_>) -> Self {
        let whole_ms = u64::from(cx.spec.start_timeout_secs) * 1000;
        if !cx.spec.start_timer_armed() {
            Self::Unarmed { suspended }
        } else if suspended {
            Self::Stopped { left_ms: whole_ms }
        } else {
            let base = created_at.max(cx.spec.received_at).min(cx.now);
            Self::Running {
                by: base.plus_ms(whole_ms),
            }
        }
    }

    pub(crate) const fn is_suspended(&self) -> bool {
        match self {
            Self::Unarmed { suspended } => *suspended,
            Self::Running { .. } => false,
            Self::Stopped { .. } => true,
        }
    }

    pub(crate) const fn switched(&self, now: Timestamp) -> Self {
        match *self {
            Self::Unarmed { suspended } => Self::Unarmed {
                suspended: !suspended,
            },
            Self::Running { by } => Self::Stopped {
                left_ms: by.since_ms(now),
            },
            Self::Stopped { left_ms } => Self::Running {
                by: now.plus_ms(left_ms),
            },
        }
    }
}
