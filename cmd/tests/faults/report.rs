//! The table at the end of a run.

use std::time::Duration;

use crate::campaign::Done;
use crate::judge::{AfterLoss, Counts};
use crate::plan::{Kind, Task};
use crate::replicas::{Replicas, Stage};

/// All that the table shows.
pub(crate) struct Facts<'a> {
    pub tasks: &'a [Task],
    pub done: &'a Done,
    pub counts: &'a Counts,
    pub replicas: &'a Replicas,
    /// Tasks that lost writes have hit.
    pub hit: usize,
    /// Replies that were broken off.
    pub cuts: usize,
    pub lasted: Duration,
}

impl Facts<'_> {
    /// Prints the table; true where no promise was broken.
    pub(crate) fn print(&self) -> bool {
        let row = |name: &str, value: String| println!("{name:<60} {value:>10}");
        let count = |name: &str, value: usize| row(name, value.to_string());
        println!();
        count("tasks", self.tasks.len());
        for (name, value) in kinds(self.tasks) {
            count(&format!("  {name}"), value);
        }
        count("kills of the leader", self.done.killed());
        for (moment, value) in &self.done.kills {
            count(&format!("  {moment:?}"), *value);
        }
        count("  and another process took over", self.done.takeovers);
        row(
            "  longest takeover, where nothing else was done",
            format!("{:.1} s", self.done.longest_takeover.as_secs_f64()),
        );
        count("other kills and pauses", self.done.others());
        count("faults of all kinds", self.done.faults.values().sum());
        for (fault, value) in &self.done.faults {
            count(&format!("  {fault:?}"), *value);
        }
        count(
            "stale leaders that woke after their successor had worked",
            self.done.outlived,
        );
        count("replies broken off", self.cuts);
        println!("kills that found a task");
        for stage in Stage::ALL {
            let held = self.done.held.get(&stage).copied().unwrap_or_default();
            let undelivered = if stage.ended() { ", not told" } else { "" };
            count(&format!("  {stage:?}{undelivered}"), held);
        }
        count("callbacks arrived", self.counts.arrivals);
        count("  of them again", self.counts.duplicates);
        count("losses of acknowledged writes", self.done.lost_writes);
        count("  tasks that they hit", self.hit);
        for kind in AfterLoss::ALL {
            let value = self.counts.after_loss.get(&kind).copied().unwrap_or_default();
            count(&format!("  {}", kind.name()), value);
        }
        row("duration", format!("{:.0} s", self.lasted.as_secs_f64()));
        for (name, value) in self.counts.violations() {
            count(name, value);
        }
        count("replicas that died by themselves", self.replicas.deaths.len());
        for death in &self.replicas.deaths {
            println!("    {death}");
        }
        self.print_log();
        let kept = self.counts.violations().iter().all(|(_, count)| *count == 0);
        kept && self.replicas.deaths.is_empty() && self.replicas.told.strange.is_empty()
    }

    fn print_log(&self) {
        if !self.replicas.told.errors.is_empty() {
            println!("lines of level ERROR");
        }
        for (error, count) in &self.replicas.told.errors {
            println!("  {count} times: {error}");
        }
        for line in &self.replicas.told.strange {
            println!("strange line: {line}");
        }
    }
}

fn kinds(tasks: &[Task]) -> [(&'static str, usize); 5] {
    let count = |wanted: fn(Kind) -> bool| tasks.iter().filter(|task| wanted(task.kind)).count();
    [
        ("that end with 0", count(|kind| kind == Kind::Ok)),
        (
            "that end with a failure",
            count(|kind| matches!(kind, Kind::Failing(_))),
        ),
        ("whose Job's name is taken", count(|kind| kind == Kind::Taken)),
        ("without an image", count(|kind| kind == Kind::NoImage)),
        ("with an invalid message", count(|kind| kind == Kind::Invalid)),
    ]
}
