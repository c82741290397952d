//! What each event counts as.

use std::time::Duration;

use prometheus::IntGauge;

use super::Metrics;

impl Metrics {
    /// Sets how many messages wait in the queue.
    pub fn set_queue_length(&self, messages: u64) {
        set(&self.queue_length, messages);
    }

    /// Sets how many messages are taken and not settled, and how many dead letters are kept.
    pub fn set_queue_kept(&self, taken: u64, dead: u64) {
        set(&self.queue_taken, taken);
        set(&self.queue_dead_letters, dead);
    }

    /// Counts a failed access of the queue by its class.
    pub fn queue_error(&self, class: &'static str) {
        self.queue_errors.with_label_values(&[class]).inc();
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

    /// Counts a task out of one state and phase and into another; `None` where it begins or is forgotten.
    pub fn task_moved(&self, from: Option<[&'static str; 2]>, to: Option<[&'static str; 2]>) {
        if from == to {
            return;
        }
        if let Some(place) = from {
            self.tasks.with_label_values(&place).dec();
        }
        if let Some(place) = to {
            self.tasks.with_label_values(&place).inc();
        }
    }

    /// Counts tasks that a new leader found in one state and phase.
    pub fn tasks_found(&self, place: [&'static str; 2], count: i64) {
        self.tasks.with_label_values(&place).add(count);
    }

    /// Sets the bound of tasks without a verdict.
    pub fn set_tasks_max(&self, tasks: usize) {
        set(&self.tasks_max, tasks as u64);
    }

    /// Notes how long a taken message waited for its first create request.
    pub fn waited(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    /// Notes how long it took from the first create request to the Job.
    pub fn created(&self, time: Duration) {
        self.create.observe(time.as_secs_f64());
    }

    /// Notes how long a Job took to start a container.
    pub fn started(&self, time: Duration) {
        self.pod_start.observe(time.as_secs_f64());
    }

    /// Notes how long a task ran, and the state that it ended in.
    pub fn ran(&self, end: &'static str, time: Duration) {
        self.run.with_label_values(&[end]).observe(time.as_secs_f64());
    }

    /// Notes how long a callback took from its transition to its delivery.
    pub fn callback_delivered(&self, delay: Duration) {
        self.callback_delay.observe(delay.as_secs_f64());
    }

    /// Counts no task in any state: this replica leads no longer.
    pub fn no_tasks(&self) {
        self.tasks.reset();
        self.set_callbacks_pending(0);
        self.set_callbacks_oldest(Duration::ZERO, 0);
        self.set_gated_namespaces(0);
        self.set_intake_paused(false);
        self.set_unreadable_snapshots(0);
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

    /// Sets the age of the oldest callback that waits, and how many receivers fail.
    pub fn set_callbacks_oldest(&self, age: Duration, failing: usize) {
        set(&self.callbacks_oldest, age.as_secs());
        set(&self.receivers_failing, failing as u64);
    }

    /// Sets whether this replica leads.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// Counts a completed takeover, by the number of its claim.
    pub fn takeover(&self, epoch: u64) {
        self.takeovers.inc();
        set(&self.epoch, epoch);
    }

    /// Counts a lease that is held no longer.
    pub fn lease_lost(&self) {
        self.lease_losses.inc();
    }

    /// Sets whether what the worker needs, such as `queue` or `store`, can be reached.
    pub fn set_dependency(&self, dependency: &'static str, up: bool) {
        self.dependency_up
            .with_label_values(&[dependency])
            .set(i64::from(up));
    }

    /// Notes how long a write of the store took.
    pub fn store_written(&self, time: Duration) {
        self.store_write.observe(time.as_secs_f64());
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

    /// Sets how many tasks are left alone because their snapshot cannot be read.
    pub fn set_unreadable_snapshots(&self, tasks: u64) {
        set(&self.unreadable_snapshots, tasks);
    }
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
