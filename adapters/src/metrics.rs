//! Every metric of the process, and what each event counts as.
//!
//! It owns the names (CONTRACT 6) and the sums between them: callers say what happened. It never decides and
//! holds no id: labels are words of the program (`&'static str`) or HTTP status codes, so that the number of
//! series is bounded by the source. The HTTP door shows it on `/metrics`.

mod events;
mod families;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder};

use crate::http::Response;
use families::{DAY, Families, HOUR, SECOND};
pub use families::{Kind, Row};

/// Names the label values that exist from the start, so that a rate over them never misses the first event.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The error codes of CONTRACT 5, and the reasons of refused messages that are no code, such as `DUPLICATE_ID`.
    pub codes: &'a [&'static str],
    /// The states that end a task.
    pub ends: &'a [&'static str],
    /// The rows of the table that move a task: from, on, to.
    pub transitions: &'a [[&'static str; 3]],
}

/// Counts what happens in one process.
pub struct Metrics {
    families: Families,
    queue_length: IntGauge,
    queue_taken: IntGauge,
    queue_dead_letters: IntGauge,
    queue_errors: IntCounterVec,
    messages_processed: IntCounter,
    messages_failed: IntCounter,
    messages_duplicate: IntCounter,
    messages_refused: IntCounterVec,
    task_failures: IntCounterVec,
    tasks: IntGaugeVec,
    tasks_max: IntGauge,
    queue_wait: Histogram,
    create: Histogram,
    pod_start: Histogram,
    run: HistogramVec,
    transitions: IntCounterVec,
    ignored_events: IntCounterVec,
    rejected_events: IntCounterVec,
    dead_letters: IntCounterVec,
    trimmed: IntCounterVec,
    orphan_jobs: IntCounterVec,
    callbacks: IntCounterVec,
    callbacks_pending: IntGauge,
    callbacks_oldest: IntGauge,
    callback_delay: Histogram,
    receivers_failing: IntGauge,
    leader: IntGauge,
    epoch: IntGauge,
    takeovers: IntCounter,
    lease_losses: IntCounter,
    dependency_up: IntGaugeVec,
    store_errors: IntCounterVec,
    store_write: Histogram,
    kubernetes_requests: IntCounterVec,
    watch_restarts: IntCounterVec,
    gated_namespaces: IntGauge,
    unreadable_snapshots: IntGauge,
}

impl Metrics {
    /// Starts all metrics at zero; `version` is that of the program.
    #[expect(clippy::too_many_lines, reason = "a flat list, one entry a metric")]
    pub fn new(words: Words<'_>, version: &str) -> Self {
        let mut with = Families::default();
        let metrics = Self {
            queue_length: with.gauge("queue_length", "Messages waiting in the queue."),
            queue_taken: with.gauge(
                "job_worker_queue_taken",
                "Messages taken from the queue and not settled yet.",
            ),
            queue_dead_letters: with.gauge(
                "job_worker_queue_dead_letters",
                "Refused messages kept among the dead letters.",
            ),
            queue_errors: with.counters(
                "job_worker_queue_errors_total",
                "Failed accesses of the queue.",
                &["class"],
            ),
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
            tasks: with.gauges(
                "job_worker_tasks",
                "Tasks that this replica leads, by state and by what they wait for.",
                &["state", "phase"],
            ),
            tasks_max: with.gauge(
                "job_worker_tasks_max",
                "MAX_TASKS_IN_FLIGHT: with as many tasks that have no verdict nothing more is taken.",
            ),
            queue_wait: with.histogram(
                "job_worker_queue_wait_seconds",
                "From the taking of a message to its first create request.",
                SECOND,
            ),
            create: with.histogram(
                "job_worker_create_seconds",
                "From the first create request of a task to its Job.",
                SECOND,
            ),
            pod_start: with.histogram(
                "job_worker_pod_start_seconds",
                "From the Job to its first started container.",
                HOUR,
            ),
            run: with.histograms(
                "job_worker_run_seconds",
                "From the first started container to the verdict.",
                &["state"],
                DAY,
            ),
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
            callbacks_oldest: with.gauge(
                "job_worker_callbacks_oldest_seconds",
                "Age of the oldest callback that is neither delivered nor given up; 0 where there is none.",
            ),
            callback_delay: with.histogram(
                "job_worker_callback_delay_seconds",
                "From the transition that a callback tells of to its delivery.",
                DAY,
            ),
            receivers_failing: with.gauge(
                "job_worker_receivers_failing",
                "Receivers of callbacks whose last attempt failed.",
            ),
            leader: with.gauge("job_worker_leader", "Whether this replica is the leader."),
            epoch: with.gauge(
                "job_worker_epoch",
                "Number of the last claim of the store by this replica; 0 before the first.",
            ),
            takeovers: with.counter(
                "job_worker_takeovers_total",
                "Times that this replica became the leader.",
            ),
            lease_losses: with.counter(
                "job_worker_lease_losses_total",
                "Times that this replica lost the lease or gave it back.",
            ),
            dependency_up: with.gauges(
                "job_worker_dependency_up",
                "Whether what this replica needs could be reached at the last look.",
                &["dependency"],
            ),
            store_errors: with.counters(
                "job_worker_store_errors_total",
                "Failed accesses of the store.",
                &["class"],
            ),
            store_write: with.histogram(
                "job_worker_store_write_seconds",
                "Time of one write of the store.",
                SECOND,
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
            unreadable_snapshots: with.gauge(
                "job_worker_unreadable_snapshots",
                "Tasks that are left alone because their snapshot cannot be read.",
            ),
            families: Families::default(),
        };
        with.gauges(
            "job_worker_build_info",
            "The version that runs; always 1.",
            &["version"],
        )
        .with_label_values(&[version])
        .set(1);
        with.process();
        let metrics = Self {
            families: with,
            ..metrics
        };
        metrics.start(words);
        metrics
    }

    fn start(&self, words: Words<'_>) {
        for code in words.codes {
            self.task_failures.with_label_values(&[code]);
        }
        for state in words.ends {
            self.run.with_label_values(&[state]);
        }
        for transition in words.transitions {
            self.transitions.with_label_values(transition);
        }
        for (counters, known) in [
            (&self.dead_letters, &["message", "callback"][..]),
            (&self.trimmed, &["letters", "callbacks", "records"]),
            (&self.orphan_jobs, &["adopted", "left"]),
            (
                &self.callbacks,
                &["delivered", "failed", "gone", "not_begun", "dead"],
            ),
        ] {
            for word in known {
                counters.with_label_values(&[*word]);
            }
        }
    }

    /// Gives all metrics in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.families.registry.gather())
            .expect("registered families are encodable, and a string takes every write")
    }

    /// Returns what the page on metrics says of each family, in the order of its names.
    pub fn rows(&self) -> Vec<Row> {
        self.families.rows()
    }

    /// Answers `/metrics`.
    pub fn response(&self) -> Response {
        Response {
            status: 200,
            content_type: prometheus::TEXT_FORMAT,
            headers: &[],
            body: self.render(),
        }
    }
}

#[cfg(test)]
mod tests;
