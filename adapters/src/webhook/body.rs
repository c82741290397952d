//! The bytes of a callback. Pure: the same callback has the same bytes for ever.

use serde::Serialize;

/// The most bytes of a body; a longer message is cut (Standard Webhooks asks for less than 20 kB).
pub const BODY_MAX: usize = 20 * 1024;

/// What stands at the end of a message that was cut.
const CUT_MARK: &str = " […]";

/// What a callback tells, one variant a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Callback<'a> {
    /// Status 0: the Job was created.
    Created {
        /// Uid of the Job.
        job_id: &'a str,
        /// Name of the Job.
        job_name: &'a str,
    },
    /// Status 1: a container of the Job has started.
    Started {
        /// Uid of the pod.
        pod_id: &'a str,
        /// Name of the pod.
        pod_name: &'a str,
    },
    /// Status 2: the Job is complete.
    Completed {
        /// Whole seconds from the Job's start to its completion.
        duration_seconds: u64,
    },
    /// Status 3: the Job has failed.
    Failed {
        /// An error code of the contract.
        code: &'a str,
        /// What the user can do about it.
        message: &'a str,
    },
    /// Status 99: every other end.
    Exception {
        /// An error code of the contract.
        code: &'a str,
        /// What the user can do about it.
        message: &'a str,
    },
}

impl Callback<'_> {
    /// Returns the wire code.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Callback::Created { .. } => 0,
            Callback::Started { .. } => 1,
            Callback::Completed { .. } => 2,
            Callback::Failed { .. } => 3,
            Callback::Exception { .. } => 99,
        }
    }

    /// Writes the body `{"id","status","detail"}` for the task `id`.
    ///
    /// At most [`BODY_MAX`] bytes as long as id, names and code are within their own bounds: only a message is cut,
    /// at a character boundary, and ends in ` […]` then.
    #[must_use]
    pub fn body(&self, id: &str) -> Vec<u8> {
        let status = self.status();
        match *self {
            Callback::Created { job_id, job_name } => json(id, status, &Job { job_id, job_name }),
            Callback::Started { pod_id, pod_name } => json(id, status, &Pod { pod_id, pod_name }),
            Callback::Completed { duration_seconds } => {
                let duration = duration_seconds;
                json(id, status, &Duration { duration })
            }
            Callback::Failed { code, message } | Callback::Exception { code, message } => {
                with_error(id, status, code, message)
            }
        }
    }
}

#[derive(Serialize)]
struct Body<'a, D> {
    id: &'a str,
    status: u8,
    detail: &'a D,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    job_id: &'a str,
    job_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod<'a> {
    pod_id: &'a str,
    pod_name: &'a str,
}

#[derive(Serialize)]
struct Duration {
    duration: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: Cause<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cause<'a> {
    error_code: &'a str,
    message: &'a str,
}

fn json<D: Serialize>(id: &str, status: u8, detail: &D) -> Vec<u8> {
    serde_json::to_vec(&Body { id, status, detail }).expect("strings and numbers are always JSON")
}

fn with_error(id: &str, status: u8, code: &str, message: &str) -> Vec<u8> {
    let write = |message: &str| {
        let error = Cause {
            error_code: code,
            message,
        };
        json(id, status, &Failure { error })
    };
    let whole = write(message);
    if whole.len() <= BODY_MAX {
        return whole;
    }
    let mut room = BODY_MAX.saturating_sub(write(CUT_MARK).len());
    let mut kept = 0;
    for character in message.chars() {
        let Some(left) = room.checked_sub(escaped_len(character)) else {
            break;
        };
        room = left;
        kept += character.len_utf8();
    }
    write(&format!("{}{CUT_MARK}", &message[..kept]))
}

/// Bytes of a character inside a JSON string, as serde_json writes it.
fn escaped_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\u{0}'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(callback: Callback<'_>) -> String {
        String::from_utf8(callback.body("t-1")).unwrap()
    }

    #[test]
    fn every_status_has_the_detail_of_the_contract() {
        let bodies = [
            text(Callback::Created {
                job_id: "u",
                job_name: "n",
            }),
            text(Callback::Started {
                pod_id: "p",
                pod_name: "q",
            }),
            text(Callback::Completed { duration_seconds: 7 }),
            text(Callback::Failed {
                code: "JOB_FAILED",
                message: "say \"why\"",
            }),
            text(Callback::Exception {
                code: "JOB_DELETED",
                message: "gone",
            }),
        ];
        assert_eq!(
            bodies,
            [
                r#"{"id":"t-1","status":0,"detail":{"jobId":"u","jobName":"n"}}"#,
                r#"{"id":"t-1","status":1,"detail":{"podId":"p","podName":"q"}}"#,
                r#"{"id":"t-1","status":2,"detail":{"duration":7}}"#,
                r#"{"id":"t-1","status":3,"detail":{"error":{"errorCode":"JOB_FAILED","message":"say \"why\""}}}"#,
                r#"{"id":"t-1","status":99,"detail":{"error":{"errorCode":"JOB_DELETED","message":"gone"}}}"#,
            ]
        );
    }

    #[test]
    fn a_long_message_is_cut_to_the_last_byte_that_fits() {
        for unit in ["a", "é", "日", "🦀", "\"", "\n", "\u{1}", "\u{7f}", "a🦀\u{1}\""] {
            let message = unit.repeat(30_000);
            let body = Callback::Failed {
                code: "JOB_FAILED",
                message: &message,
            }
            .body("t-1");
            let spare = BODY_MAX - body.len();
            assert!(spare < 6, "{unit:?} leaves {spare} bytes unused");
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let read = read["detail"]["error"]["message"].as_str().unwrap();
            let kept = read.strip_suffix(" […]").unwrap();
            assert!(message.starts_with(kept));
        }
    }

    #[test]
    fn a_message_that_just_fits_is_whole() {
        let frame = Callback::Failed {
            code: "C",
            message: "",
        }
        .body("t-1")
        .len();
        let message = "a".repeat(BODY_MAX - frame);
        let body = Callback::Failed {
            code: "C",
            message: &message,
        }
        .body("t-1");
        assert_eq!(body.len(), BODY_MAX);
        assert!(body.ends_with(b"aaa\"}}}"));
    }
}
