//! The closed list of reasons for which a task ends other than well (CONTRACT, section 5).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a task failed; a code never changes its meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A container ended non-zero and the Job's retries are spent.
    JobExecutionFailed,
    /// As `JobExecutionFailed`, and the container was OOM-killed.
    JobOutOfMemory,
    /// `activeDeadlineSeconds` passed.
    JobDeadlineExceeded,
    /// A pod was preempted, evicted or lost with its node.
    JobDisrupted,
    /// The Job failed for another reason.
    JobFailed,
    /// No container started in time.
    PodStartTimeout,
    /// No container can ever start.
    PodStartFailed,
    /// The API server refuses the Job for good.
    JobCreateFailed,
    /// The name is taken by a Job that is not ours.
    JobAlreadyExists,
    /// The Job was deleted before its end was seen.
    JobDeleted,
    /// The Job is gone and its end was not seen.
    JobResultUnknown,
    /// The message breaks a rule.
    InvalidMessage,
    /// An operator cancelled the task.
    TaskCancelled,
    /// The task made the worker fail three times.
    InternalError,
}

impl Code {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::JobExecutionFailed,
        Self::JobOutOfMemory,
        Self::JobDeadlineExceeded,
        Self::JobDisrupted,
        Self::JobFailed,
        Self::PodStartTimeout,
        Self::PodStartFailed,
        Self::JobCreateFailed,
        Self::JobAlreadyExists,
        Self::JobDeleted,
        Self::JobResultUnknown,
        Self::InvalidMessage,
        Self::TaskCancelled,
        Self::InternalError,
    ];

    /// Returns the code as callbacks and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobExecutionFailed => "JOB_EXECUTION_FAILED",
            Self::JobOutOfMemory => "JOB_OUT_OF_MEMORY",
            Self::JobDeadlineExceeded => "JOB_DEADLINE_EXCEEDED",
            Self::JobDisrupted => "JOB_DISRUPTED",
            Self::JobFailed => "JOB_FAILED",
            Self::PodStartTimeout => "POD_START_TIMEOUT",
            Self::PodStartFailed => "POD_START_FAILED",
            Self::JobCreateFailed => "JOB_CREATE_FAILED",
            Self::JobAlreadyExists => "JOB_ALREADY_EXISTS",
            Self::JobDeleted => "JOB_DELETED",
            Self::JobResultUnknown => "JOB_RESULT_UNKNOWN",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::TaskCancelled => "TASK_CANCELLED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Reads a code as `as_str` writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the client is told of a task that did not complete.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason, from the closed list.
    pub code: Code,
    /// One paragraph for the application's developer: what happened and what to do.
    pub message: String,
}

impl Failure {
    /// Longest message in bytes; a longer one is cut at a character boundary and marked.
    pub const MESSAGE_MAX: usize = 4096;

    /// Builds a failure, its message cut to `MESSAGE_MAX`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: cut(message.into(), Self::MESSAGE_MAX),
        }
    }
}

/// Cuts `text` to at most `max` bytes at a character boundary, the cut marked by an ellipsis.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= max {
        return text;
    }
    let mut end = max.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(MARK);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_as_it_is_written() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
        assert_eq!(Code::parse("job_failed"), None);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(cut("ééé".to_owned(), 6), "ééé");
        assert_eq!(cut("éééé".to_owned(), 6), "é…");
    }
}
