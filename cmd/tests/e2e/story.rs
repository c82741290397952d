//! What a receiver was told of a task, and what it should have been told, as the cluster knows it.

use std::collections::BTreeMap;

use fixtures::sink::Request;
use serde_json::{Value, json};

/// One callback.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub status: u64,
    pub detail: Value,
}

impl Told {
    /// What is told of a Job that was created.
    pub(crate) fn created(job: &Value) -> Told {
        Told {
            status: 0,
            detail: json!({"jobId": job["metadata"]["uid"], "jobName": job["metadata"]["name"]}),
        }
    }

    /// What is told of a pod that has started.
    pub(crate) fn started(pod: &Value) -> Told {
        Told {
            status: 1,
            detail: json!({"podId": pod["metadata"]["uid"], "podName": pod["metadata"]["name"]}),
        }
    }

    /// What is told of a Job that is complete.
    pub(crate) fn completed(job: &Value) -> Told {
        let status = &job["status"];
        let conditions = status["conditions"].as_array();
        let complete = conditions.is_some_and(|conditions| {
            let is_complete = |c: &Value| c["type"] == "Complete" && c["status"] == "True";
            conditions.iter().any(is_complete)
        });
        assert!(complete, "{job} is complete");
        let duration = seconds(&status["completionTime"]) - seconds(&status["startTime"]);
        Told {
            status: 2,
            detail: json!({"duration": duration}),
        }
    }

    /// What is told of a task that did not go well; 3 and 99 by its code.
    pub(crate) fn failed(code: &str, message: &str) -> Told {
        let status = match code {
            "JOB_EXECUTION_FAILED"
            | "JOB_OUT_OF_MEMORY"
            | "JOB_DEADLINE_EXCEEDED"
            | "JOB_DISRUPTED"
            | "JOB_FAILED" => 3,
            _ => 99,
        };
        Told {
            status,
            detail: json!({"error": {"errorCode": code, "message": message}}),
        }
    }

    /// The error code; empty where there is none.
    pub(crate) fn code(&self) -> &str {
        self.detail["error"]["errorCode"].as_str().unwrap_or_default()
    }

    /// The error's message; empty where there is none.
    pub(crate) fn message(&self) -> &str {
        self.detail["error"]["message"].as_str().unwrap_or_default()
    }

    /// Asserts that this is a verdict with a code, whose message holds all of these.
    pub(crate) fn assert_says(&self, code: &str, parts: &[&str]) {
        assert_eq!(*self, Told::failed(code, self.message()), "the verdict");
        for part in parts {
            assert!(
                self.message().contains(part),
                "{part:?} is in {:?}",
                self.message()
            );
        }
    }
}

/// The statuses of callbacks.
pub(crate) fn statuses(told: &[Told]) -> Vec<u64> {
    told.iter().map(|told| told.status).collect()
}

/// The callbacks of a task in the order of their first arrival.
///
/// Asserts what holds of every callback: the form of request and body; one `webhook-id` for one status, with the same bytes
/// each time.
pub(crate) fn told(requests: &[Request], id: &str) -> Vec<Told> {
    let mut seen: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut told: Vec<Told> = Vec::new();
    for (request, body) in of_task(requests, id) {
        let key = header(request, "webhook-id");
        if let Some(before) = seen.insert(key, &request.body) {
            assert_eq!(before, request.body, "a repeated delivery has the same bytes");
            continue;
        }
        let one = Told {
            status: body["status"].as_u64().expect("a status is a number"),
            detail: body["detail"].clone(),
        };
        assert!(
            told.iter().all(|other| other.status != one.status),
            "{id}: status {} has two webhook-ids",
            one.status
        );
        told.push(one);
    }
    told
}

/// The requests that speak of a task, with their bodies.
pub(crate) fn of_task<'a>(requests: &'a [Request], id: &str) -> Vec<(&'a Request, Value)> {
    let mut found = Vec::new();
    for request in requests {
        let body: Value = serde_json::from_slice(&request.body).expect("a callback is JSON");
        if body["id"] != id {
            continue;
        }
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(header(request, "webhook-id").starts_with("msg_"));
        let stamp = header(request, "webhook-timestamp").parse::<u64>();
        assert!(stamp.is_ok(), "the timestamp is in seconds");
        assert_eq!(
            request.header("webhook-signature"),
            None,
            "no secret is configured"
        );
        let mut fields: Vec<&String> = body
            .as_object()
            .expect("a callback is an object")
            .keys()
            .collect();
        fields.sort();
        assert_eq!(fields, ["detail", "id", "status"]);
        found.push((request, body));
    }
    found
}

fn header(request: &Request, name: &str) -> String {
    request.header(name).unwrap_or_default().to_owned()
}

fn seconds(time: &Value) -> i64 {
    let text = time.as_str().expect("the Job has the time");
    let time: jiff::Timestamp = text.parse().expect("the API server writes RFC 3339");
    time.as_second()
}
