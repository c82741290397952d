//! Every metric of the process, and what each event counts as.
//!
//! It owns the names (CONTRACT 6) and the sums between them: callers say what happened. It never decides and
//! holds no id: labels are words of the program (`&'static str`) or HTTP status codes, so that the number of
//! series is bounded by the source. The HTTP door shows it on `/metrics`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::http::Response;

/// Names the label values that exist from the start, so that a rate over them never misses the first event.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The error codes of CONTRACT 5, and the reasons of refused messages that are no code, such as `DUPLICATE_ID`.
    pub codes: &'a [&'static str],
    /// The states of a task.
    pub states: &'a [&'static str],
    /// The rows of the table that move a task: from, on, to.
    pub transitions: &'a [[&'static str; 3]],
}

/// Counts what happens in one process.
pub struct Metrics {
    registry: Registry,
    queue_length: IntGauge,
    messages_processed: IntCounter,
    messages_failed: IntCounter,
    messages_duplicate: IntCounter,
    messages_refused: IntCounterVec,
    task_failures: IntCounterVec,
    tasks: IntGaugeVec,
    transitions: IntCounterVec,
    ignored_events: IntCounterVec,
    rejected_events: IntCounterVec,
    dead_letters: IntCounterVec,
    trimmed: IntCounterVec,
    orphan_jobs: IntCounterVec,
    callbacks: IntCounterVec,
    callbacks_pending: IntGauge,
    leader: IntGauge,
    takeovers: IntCounter,
    store_errors: IntCounterVec,
    kubernetes_requests: IntCounterVec,
    watch_restarts: IntCounterVec,
    gated_namespaces: IntGauge,
    intake_paused: IntGauge,
}

impl Metrics {
    /// Starts all metrics at zero; `version` is that of the program.
    #[expect(clippy::too_many_lines, reason = "a flat list, one entry a metric")]
    pub fn new(words: Words<'_>, version: &str) -> Self {
        let registry = Registry::new();
        let with = Family(&registry);
        let metrics = Self {
            queue_length: with.gauge("queue_length", "Messages waiting in the queue."),
            messages_processed: with.counter(
                "messages_processed_total",
                "Messages taken and settled: turned into a task, refused, or dropped as a copy.",
            ),
            messages_failed: with.counter(
                "messages_failed_total",
                "Messages refused, and tasks that ended as Failed or Exception.",
            ),
            messages_duplicate: with.counter(
                "job_worker_messages_duplicate_total",
                "Messages dropped as copies of a known task.",
            ),
            messages_refused: with.counters(
                "job_worker_messages_refused_total",
                "Messages refused and put to the dead letters.",
                &["reason"],
            ),
            task_failures: with.counters(
                "job_worker_task_failures_total",
                "Tasks that ended as Failed or Exception, and refused messages.",
                &["code"],
            ),
            tasks: with.gauges("job_worker_tasks", "Tasks that this replica leads.", &["state"]),
            transitions: with.counters(
                "job_worker_transitions_total",
                "Durable transitions of tasks.",
                &["from", "on", "to"],
            ),
            ignored_events: with.counters(
                "job_worker_ignored_events_total",
                "Events that the table ignores in that state.",
                &["state", "event"],
            ),
            rejected_events: with.counters(
                "job_worker_rejected_events_total",
                "Events that cannot happen in that state.",
                &["state", "event"],
            ),
            dead_letters: with.counters(
                "job_worker_dead_letters_total",
                "Dead letters written.",
                &["kind"],
            ),
            trimmed: with.counters(
                "job_worker_history_trimmed_total",
                "Oldest entries that fell off a bounded history.",
                &["history"],
            ),
            orphan_jobs: with.counters(
                "job_worker_orphan_jobs_total",
                "Jobs of this worker that had no task in the store.",
                &["outcome"],
            ),
            callbacks: with.counters(
                "job_worker_callbacks_total",
                "Tries to deliver a callback.",
                &["result"],
            ),
            callbacks_pending: with.gauge(
                "job_worker_callbacks_pending",
                "Callbacks that are neither delivered nor given up.",
            ),
            leader: with.gauge("job_worker_leader", "Whether this replica is the leader."),
            takeovers: with.counter(
                "job_worker_takeovers_total",
                "Times that this replica became the leader.",
            ),
            store_errors: with.counters(
                "job_worker_store_errors_total",
                "Failed accesses of the store.",
                &["class"],
            ),
            kubernetes_requests: with.counters(
                "job_worker_kubernetes_requests_total",
                "Requests to the API server; code is none where no answer came.",
                &["verb", "code"],
            ),
            watch_restarts: with.counters(
                "job_worker_watch_restarts_total",
                "Watches that were begun anew.",
                &["reason"],
            ),
            gated_namespaces: with.gauge(
                "job_worker_gated_namespaces",
                "Namespaces whose creates are held back by quota or permissions.",
            ),
            intake_paused: with.gauge(
                "job_worker_intake_paused",
                "1 while an operator has paused the intake of messages, on the leader.",
            ),
            registry: registry.clone(),
        };
        with.gauges(
            "job_worker_build_info",
            "The version that runs; always 1.",
            &["version"],
        )
        .with_label_values(&[version])
        .set(1);
        with.process();
        metrics.start(words);
        metrics
    }

    fn start(&self, words: Words<'_>) {
        for code in words.codes {
            self.task_failures.with_label_values(&[code]);
        }
        for state in words.states {
            self.tasks.with_label_values(&[state]);
        }
        for transition in words.transitions {
            self.transitions.with_label_values(transition);
        }
    }

    /// Gives all metrics in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("registered families are encodable, and a string takes every write")
    }

    /// Answers `/metrics`.
    pub fn response(&self) -> Response {
        Response {
            status: 200,
            content_type: prometheus::TEXT_FORMAT,
            body: self.render(),
        }
    }

    /// Sets how many messages wait in the queue.
    pub fn set_queue_length(&self, messages: u64) {
        set(&self.queue_length, messages);
    }

    /// Counts a message that became a task.
    pub fn message_became_task(&self) {
        self.messages_processed.inc();
    }

    /// Counts a message that was dropped as a copy.
    pub fn message_duplicate(&self) {
        self.messages_processed.inc();
        self.messages_duplicate.inc();
    }

    /// Counts a refused message, which is a failure of the same code too: `INVALID_MESSAGE`, `DUPLICATE_ID`.
    pub fn message_refused(&self, reason: &'static str) {
        self.messages_processed.inc();
        self.messages_refused.with_label_values(&[reason]).inc();
        self.task_failed(reason);
    }

    /// Counts a task that ended as Failed or Exception with an error code.
    pub fn task_failed(&self, code: &'static str) {
        self.messages_failed.inc();
        self.task_failures.with_label_values(&[code]).inc();
    }

    /// Counts a task out of one state and into another; `None` where it begins or is forgotten.
    pub fn task_moved(&self, from: Option<&'static str>, to: Option<&'static str>) {
        if from == to {
            return;
        }
        if let Some(state) = from {
            self.tasks.with_label_values(&[state]).dec();
        }
        if let Some(state) = to {
            self.tasks.with_label_values(&[state]).inc();
        }
    }

    /// Counts no task in any state: this replica leads no longer.
    pub fn no_tasks(&self) {
        self.tasks.reset();
        self.set_callbacks_pending(0);
        self.set_gated_namespaces(0);
        self.set_intake_paused(false);
    }

    /// Counts a Job of ours that had no task: `adopted`, or `left` because it ended long ago.
    pub fn orphan_job(&self, outcome: &'static str) {
        self.orphan_jobs.with_label_values(&[outcome]).inc();
    }

    /// Counts what fell off a bounded history, such as `letters`, `callbacks` or `records`.
    pub fn trimmed(&self, history: &'static str, entries: u64) {
        if entries > 0 {
            self.trimmed.with_label_values(&[history]).inc_by(entries);
        }
    }

    /// Counts a durable transition.
    pub fn transition(&self, from: &'static str, on: &'static str, to: &'static str) {
        self.transitions.with_label_values(&[from, on, to]).inc();
    }

    /// Counts an event that the table ignores.
    pub fn ignored_event(&self, state: &'static str, event: &'static str) {
        self.ignored_events.with_label_values(&[state, event]).inc();
    }

    /// Counts an event that is impossible in its state.
    pub fn rejected_event(&self, state: &'static str, event: &'static str) {
        self.rejected_events.with_label_values(&[state, event]).inc();
    }

    /// Counts a dead letter by what it holds, such as `message` or `callback`.
    pub fn dead_letter(&self, kind: &'static str) {
        self.dead_letters.with_label_values(&[kind]).inc();
    }

    /// Counts a try to deliver a callback by its result, such as `delivered` or `refused`.
    pub fn callback(&self, result: &'static str) {
        self.callbacks.with_label_values(&[result]).inc();
    }

    /// Sets how many callbacks wait.
    pub fn set_callbacks_pending(&self, callbacks: u64) {
        set(&self.callbacks_pending, callbacks);
    }

    /// Sets whether this replica leads.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// Counts a completed takeover.
    pub fn takeover(&self) {
        self.takeovers.inc();
    }

    /// Counts a failed access of the store by its class, such as `FENCED` or `io`.
    pub fn store_error(&self, class: &'static str) {
        self.store_errors.with_label_values(&[class]).inc();
    }

    /// Counts a request to the API server by its verb and the status code of its answer, or what came in place of one.
    pub fn kubernetes_request(&self, verb: &'static str, code: &str) {
        self.kubernetes_requests.with_label_values(&[verb, code]).inc();
    }

    /// Counts a watch that was begun anew, by its reason, such as `expired` or `closed`.
    pub fn watch_restart(&self, reason: &'static str) {
        self.watch_restarts.with_label_values(&[reason]).inc();
    }

    /// Sets how many namespaces are gated.
    pub fn set_gated_namespaces(&self, namespaces: u64) {
        set(&self.gated_namespaces, namespaces);
    }

    /// Sets whether the intake is paused.
    pub fn set_intake_paused(&self, paused: bool) {
        set(&self.intake_paused, u64::from(paused));
    }
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Makes metrics and registers them. Names, help texts and labels are constants: an error is a bug here.
struct Family<'a>(&'a Registry);

const SOUND: &str = "names are constants, valid and unique";

impl Family<'_> {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn registered<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
    ) -> M {
        let metric = metric.expect(SOUND);
        self.0.register(Box::new(metric.clone())).expect(SOUND);
        metric
    }

    /// Adds `process_*`, which are read from `/proc`.
    #[cfg(target_os = "linux")]
    fn process(&self) {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.0.register(Box::new(process)).expect(SOUND);
    }

    #[cfg(not(target_os = "linux"))]
    fn process(&self) {}
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const WORDS: Words<'_> = Words {
        codes: &["INVALID_MESSAGE", "JOB_FAILED"],
        states: &["Received", "Created"],
        transitions: &[["Received", "JobCreated", "Created"]],
    };

    /// Reads the text format strictly: every sample belongs to a family with HELP and TYPE, no series is there twice.
    /// Gives the families with their types, and the samples by series.
    fn parsed(text: &str) -> (BTreeMap<&str, &str>, BTreeMap<&str, f64>) {
        let (mut helps, mut types, mut samples) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(helps.insert(name) && help.ends_with('.'), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(
                    helps.contains(name) && types.insert(name, kind).is_none(),
                    "{line}"
                );
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                assert!(types.contains_key(name), "{line}");
                assert!(samples.insert(series, value.parse().unwrap()).is_none(), "{line}");
            }
        }
        (types, samples)
    }

    /// One of everything.
    fn busy() -> Metrics {
        let metrics = Metrics::new(WORDS, "1.2.3");
        metrics.set_queue_length(7);
        metrics.message_became_task();
        metrics.message_duplicate();
        metrics.message_refused("INVALID_MESSAGE");
        metrics.task_failed("JOB_FAILED");
        metrics.task_moved(None, Some("Received"));
        metrics.task_moved(Some("Received"), Some("Created"));
        metrics.task_moved(Some("Created"), Some("Created"));
        metrics.orphan_job("adopted");
        metrics.trimmed("letters", 2);
        metrics.trimmed("records", 0);
        metrics.transition("Received", "JobCreated", "Created");
        metrics.ignored_event("Created", "JobCreated");
        metrics.rejected_event("Received", "PodRunning");
        metrics.dead_letter("message");
        metrics.callback("delivered");
        metrics.set_callbacks_pending(2);
        metrics.set_leader(true);
        metrics.takeover();
        metrics.store_error("FENCED");
        metrics.kubernetes_request("create", "201");
        metrics.kubernetes_request("create", "timeout");
        metrics.watch_restart("expired");
        metrics.set_gated_namespaces(1);
        metrics
    }

    #[test]
    fn every_event_shows_in_its_series() {
        let text = busy().render();
        let (_, samples) = parsed(&text);
        let ours: Vec<(&str, f64)> = samples
            .into_iter()
            .filter(|(series, _)| !series.starts_with("process_"))
            .collect();
        assert_eq!(
            ours,
            [
                ("job_worker_build_info{version=\"1.2.3\"}", 1.0),
                ("job_worker_callbacks_pending", 2.0),
                ("job_worker_callbacks_total{result=\"delivered\"}", 1.0),
                ("job_worker_dead_letters_total{kind=\"message\"}", 1.0),
                ("job_worker_gated_namespaces", 1.0),
                ("job_worker_history_trimmed_total{history=\"letters\"}", 2.0),
                ("job_worker_intake_paused", 0.0),
                (
                    "job_worker_ignored_events_total{event=\"JobCreated\",state=\"Created\"}",
                    1.0
                ),
                (
                    "job_worker_kubernetes_requests_total{code=\"201\",verb=\"create\"}",
                    1.0
                ),
                (
                    "job_worker_kubernetes_requests_total{code=\"timeout\",verb=\"create\"}",
                    1.0
                ),
                ("job_worker_leader", 1.0),
                ("job_worker_messages_duplicate_total", 1.0),
                (
                    "job_worker_messages_refused_total{reason=\"INVALID_MESSAGE\"}",
                    1.0
                ),
                ("job_worker_orphan_jobs_total{outcome=\"adopted\"}", 1.0),
                (
                    "job_worker_rejected_events_total{event=\"PodRunning\",state=\"Received\"}",
                    1.0
                ),
                ("job_worker_store_errors_total{class=\"FENCED\"}", 1.0),
                ("job_worker_takeovers_total", 1.0),
                ("job_worker_task_failures_total{code=\"INVALID_MESSAGE\"}", 1.0),
                ("job_worker_task_failures_total{code=\"JOB_FAILED\"}", 1.0),
                ("job_worker_tasks{state=\"Created\"}", 1.0),
                ("job_worker_tasks{state=\"Received\"}", 0.0),
                (
                    "job_worker_transitions_total{from=\"Received\",on=\"JobCreated\",to=\"Created\"}",
                    1.0
                ),
                ("job_worker_watch_restarts_total{reason=\"expired\"}", 1.0),
                ("messages_failed_total", 2.0),
                ("messages_processed_total", 3.0),
                ("queue_length", 7.0),
            ]
        );
    }

    #[test]
    fn the_families_follow_the_rules_of_names() {
        let text = busy().render();
        let (types, _) = parsed(&text);
        for (name, kind) in &types {
            let promised = [
                "queue_length",
                "messages_processed_total",
                "messages_failed_total",
            ];
            let known =
                promised.contains(name) || name.starts_with("job_worker_") || name.starts_with("process_");
            assert!(known, "{name}");
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name} is a {kind}");
        }
        assert!(types.contains_key("process_resident_memory_bytes"));
    }

    #[test]
    fn no_label_could_hold_an_id() {
        let text = busy().render();
        let labels: BTreeSet<&str> = parsed(&text)
            .1
            .into_keys()
            .filter_map(|series| series.strip_suffix('}')?.split_once('{'))
            .flat_map(|(_, labels)| labels.split(','))
            .map(|label| label.split('=').next().unwrap())
            .collect();
        let bounded = [
            "class", "code", "event", "from", "history", "kind", "on", "outcome", "reason", "result",
            "state", "to", "verb", "version",
        ];
        assert_eq!(labels, BTreeSet::from(bounded));
    }

    #[test]
    fn known_words_and_the_promised_three_are_there_before_anything_happened() {
        let response = Metrics::new(WORDS, "1.2.3").response();
        assert_eq!(
            (response.status, response.content_type),
            (200, "text/plain; version=0.0.4")
        );
        let (_, samples) = parsed(&response.body);
        for series in [
            "queue_length",
            "messages_processed_total",
            "messages_failed_total",
            "job_worker_task_failures_total{code=\"INVALID_MESSAGE\"}",
            "job_worker_task_failures_total{code=\"JOB_FAILED\"}",
            "job_worker_tasks{state=\"Received\"}",
            "job_worker_transitions_total{from=\"Received\",on=\"JobCreated\",to=\"Created\"}",
            "job_worker_leader",
        ] {
            assert_eq!(samples.get(series), Some(&0.0), "{series}");
        }
    }
}
