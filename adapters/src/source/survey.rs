//! What a look at a Redis list shows, for `job-worker check`. It never takes, moves or writes a message.

use crate::connection::{Error, Target};
use crate::survey::{self, Needed, Survey, Typed};

/// Is what a queue shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueSurvey {
    /// Server and login.
    pub survey: Survey,
    /// Messages in a predecessor's list `<prefix>:processing`, which this worker never touches; `None` where it may not be
    /// counted.
    pub processing: Option<u64>,
}

/// Looks at the queue with key prefix `prefix`.
///
/// # Errors
/// Why the server cannot be asked.
pub fn survey(target: &Target, prefix: &str) -> Result<QueueSurvey, Error> {
    let mut link = target.link("check", "check")?;
    let key = |suffix: &str| format!("{prefix}{suffix}").into_bytes();
    let (waiting, taken, dead, attempts) = (key(""), key(":taken"), key(":dead"), key(":attempts"));
    let needed: [Needed; 16] = [
        ("BLMOVE", vec![waiting.clone(), taken.clone()]),
        ("LMOVE", vec![waiting.clone(), taken.clone()]),
        ("LLEN", vec![waiting.clone()]),
        ("LLEN", vec![taken.clone()]),
        ("LRANGE", vec![taken.clone()]),
        ("LREM", vec![taken.clone()]),
        ("LPOS", vec![taken.clone()]),
        ("LPUSH", vec![waiting.clone()]),
        ("XADD", vec![dead.clone()]),
        ("XRANGE", vec![dead.clone()]),
        ("XDEL", vec![dead.clone()]),
        ("XLEN", vec![dead.clone()]),
        ("HLEN", vec![attempts.clone()]),
        ("HDEL", vec![attempts.clone()]),
        ("HINCRBY", vec![attempts.clone()]),
        ("EXPIRE", vec![attempts.clone()]),
    ];
    let keys: [Typed; 4] = [
        (waiting, "list"),
        (taken, "list"),
        (dead, "stream"),
        (attempts, "hash"),
    ];
    let survey = survey::survey(&mut link, &needed, &keys)?;
    // It is another's key: that we may not look, or that it is no list, is no fault of ours.
    let processing = survey::length(&mut link, &format!("{prefix}:processing")).ok();
    Ok(QueueSurvey { survey, processing })
}
