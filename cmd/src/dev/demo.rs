//! The demonstration: two tasks, and the comparison of their callbacks with what the contract says of them.
//!
//! It compares the receiver's record with the objects of the cluster, never what was printed.

use super::place::{Place, example};
use fixtures::embedded::Resource;
use fixtures::sink::Request;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the callbacks of both tasks.
const LIMIT: Duration = Duration::from_secs(60);
/// The exit code of the task that fails.
const EXIT: i32 = 3;

/// The tasks of one demonstration and what came of them.
pub(super) struct Demo {
    tasks: [Task; 2],
    deadline: Instant,
    judged: bool,
    faults: Vec<String>,
}

impl Demo {
    /// Puts both tasks on the queue, with `job-worker submit`, as any producer may.
    pub(super) fn submit(place: &Place, image: Option<&str>) -> Result<Self, String> {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let run = run.get(..8).unwrap_or(&run);
        let tasks = [("worked-example", End::Complete), ("exit-3", End::Fails)].map(|(name, end)| Task {
            id: format!("{name}-{run}"),
            end,
            callbacks: Vec::new(),
            compared: 0,
        });
        for task in &tasks {
            let mut message = example(&task.id, &place.callback_url());
            if task.end == End::Fails {
                let script = format!("echo 'no space left' >&2; exit {EXIT}");
                message["job"]["command"] = json!(["/bin/sh", "-c", script]);
            }
            if let Some(image) = image {
                message["job"]["image"] = json!(image);
            }
            put(place, &message)?;
        }
        Ok(Self {
            tasks,
            deadline: Instant::now() + LIMIT,
            judged: false,
            faults: Vec::new(),
        })
    }

    /// Says what was submitted.
    pub(super) fn describe(&self) -> String {
        let [good, bad] = &self.tasks;
        format!(
            "submitted {}, and {}, which ends with exit code {EXIT}",
            good.id, bad.id
        )
    }

    /// Returns when waiting makes no sense any more; `None` once all is compared.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.judged).then_some(self.deadline)
    }

    pub(super) const fn is_judged(&self) -> bool {
        self.judged
    }

    /// Takes a callback; one that is a repetition only if it has the same bytes.
    pub(super) fn note(&mut self, request: &Request) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(task) = self.tasks.iter_mut().find(|task| body["id"] == task.id.as_str()) else {
            return;
        };
        let webhook_id = request.header("webhook-id").unwrap_or_default();
        match task.callbacks.iter().find(|known| known.webhook_id == webhook_id) {
            Some(known) if known.bytes == request.body => {}
            Some(_) => self.faults.push(format!(
                "{}: a repeated callback has other bytes: {body}",
                task.id
            )),
            None => task.callbacks.push(Callback {
                webhook_id: webhook_id.to_owned(),
                bytes: request.body.clone(),
                body,
            }),
        }
    }

    /// Compares, once, when every verdict has come or the time is over; returns the result for people.
    pub(super) fn judge(&mut self, place: &Place, overdue: bool) -> Option<String> {
        let over = overdue || self.tasks.iter().all(Task::has_verdict);
        if self.judged || !over {
            return None;
        }
        self.judged = true;
        for task in &mut self.tasks {
            task.compared = task.callbacks.len();
            self.faults.extend(task.compare(place));
        }
        Some(match self.faults.is_empty() {
            true => {
                let count: usize = self.tasks.iter().map(|task| task.compared).sum();
                format!("demonstration: {count} callbacks compared, all as they have to be")
            }
            false => format!("demonstration: {} wrong", self.faults.len()),
        })
    }

    /// Returns what was wrong, at the very end: nothing may follow a verdict.
    pub(super) fn into_faults(self) -> Vec<String> {
        let mut faults = self.faults;
        if !self.judged {
            faults.push("the demonstration was stopped before its end".to_owned());
            return faults;
        }
        for task in &self.tasks {
            for late in task.callbacks.iter().skip(task.compared) {
                faults.push(format!("{}: a callback came late: {}", task.id, late.body));
            }
        }
        faults
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Complete,
    Fails,
}

struct Task {
    id: String,
    end: End,
    callbacks: Vec<Callback>,
    compared: usize,
}

struct Callback {
    webhook_id: String,
    bytes: Vec<u8>,
    body: Value,
}

impl Task {
    fn has_verdict(&self) -> bool {
        self.callbacks
            .iter()
            .any(|callback| callback.body["status"].as_u64().is_some_and(|status| status > 1))
    }

    /// Says how the callbacks differ from what they have to be.
    fn compare(&self, place: &Place) -> Vec<String> {
        let expected = self.expected(place);
        let found: Vec<&Value> = self.callbacks.iter().map(|callback| &callback.body).collect();
        let mut faults: Vec<String> = expected
            .iter()
            .enumerate()
            .filter(|(place, wanted)| found.get(*place) != Some(wanted))
            .map(|(place, wanted)| {
                let came = found
                    .get(place)
                    .map_or_else(|| "nothing".to_owned(), ToString::to_string);
                format!(
                    "{}: callback {} should be {wanted}, and is {came}",
                    self.id,
                    place + 1
                )
            })
            .collect();
        for more in found.iter().skip(expected.len()) {
            faults.push(format!("{}: a callback too many: {more}", self.id));
        }
        if self
            .callbacks
            .iter()
            .any(|callback| callback.webhook_id.is_empty())
        {
            faults.push(format!("{}: a callback has no webhook-id", self.id));
        }
        faults
    }

    /// The callbacks that the contract asks for, with what the cluster holds of the task.
    fn expected(&self, place: &Place) -> [Value; 3] {
        let find = |resource| {
            let all = place.cluster().list(resource, Some("default"));
            let ours = |object: &Value| object["metadata"]["labels"]["jobId"] == self.id.as_str();
            all.into_iter().find(ours).unwrap_or_default()
        };
        let (job, pod) = (find(Resource::Job), find(Resource::Pod));
        let of = |object: &Value, field: &str| object["metadata"][field].clone();
        let (status, detail) = match self.end {
            End::Complete => (2, json!({"duration": duration(&job)})),
            End::Fails => (
                3,
                json!({"error": {"errorCode": "JOB_EXECUTION_FAILED", "message": self.reason()}}),
            ),
        };
        [
            (0, json!({"jobId": of(&job, "uid"), "jobName": of(&job, "name")})),
            (1, json!({"podId": of(&pod, "uid"), "podName": of(&pod, "name")})),
            (status, detail),
        ]
        .map(|(status, detail)| json!({"id": self.id, "status": status, "detail": detail}))
    }

    /// The message of the failure as it came, where it begins with the contract's words and holds the container's own; else the beginning.
    fn reason(&self) -> String {
        let wanted = format!("Job execution failed with exit code {EXIT}");
        let last = self
            .callbacks
            .last()
            .map(|callback| &callback.body["detail"]["error"]["message"]);
        last.and_then(Value::as_str)
            .filter(|message| message.starts_with(&wanted) && message.contains("no space left"))
            .map_or(wanted, str::to_owned)
    }
}

/// Whole seconds from the Job's start to its completion.
fn duration(job: &Value) -> Value {
    let time = |name: &str| job["status"][name].as_str()?.parse::<jiff::Timestamp>().ok();
    match (time("startTime"), time("completionTime")) {
        (Some(start), Some(end)) => json!(end.as_second() - start.as_second()),
        _ => Value::Null,
    }
}

fn put(place: &Place, message: &Value) -> Result<(), String> {
    let mut child = Command::new(place.program())
        .args(["submit", "-"])
        .env_clear()
        .envs(place.environment().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(message.to_string().as_bytes())
            .map_err(|error| error.to_string())?;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()),
    }
}
