//! One way to fail: what is sent, what is done to it, and what its receiver has to be told.

use serde_json::Value;

use super::place::Place;
use crate::task::Task;

/// The Job ran and failed.
pub(super) const RAN: &[u64] = &[0, 1, 3];
/// The Job failed without a container that ran.
pub(super) const NEVER_RAN: &[u64] = &[0, 3];
/// The Job was made, and its container did not start.
pub(super) const NOT_STARTED: &[u64] = &[0, 99];
/// The Job ran and was lost.
pub(super) const LOST: &[u64] = &[0, 1, 99];
/// No Job was made.
pub(super) const REFUSED: &[u64] = &[99];

/// Why the embedded cluster refuses nothing.
pub(super) const NO_ADMISSION: &str = "it has no admission: no quotas, policies, webhooks";

/// What a receiver has to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) statuses: &'static [u64],
    pub(super) code: &'static str,
    /// Parts of the message; `{job}` and `{namespace}` stand for the names.
    pub(super) says: &'static [&'static str],
}

/// Which of the two workers takes the task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patience {
    /// `POD_START_TIMEOUT` is a minute.
    Minute,
    /// It is an hour: it never ends a row.
    Hour,
}

/// What the worker may do in the row's namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Home {
    /// What the suite is about.
    Bound,
    /// Nothing.
    Unbound,
    /// There is no such namespace.
    Absent,
}

/// The request whose answer makes the verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asks {
    /// None: the message does not get that far.
    Nothing,
    /// The create of the Job.
    Create,
    /// The list of Jobs.
    List,
    /// The read of the Job.
    Get,
}

impl Asks {
    /// The verb, as RBAC names it.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Asks::Nothing => "",
            Asks::Create => "create",
            Asks::List => "list",
            Asks::Get => "get",
        }
    }
}

/// One way to fail.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    pub(super) fields: Vec<(&'static str, Value)>,
    pub(super) home: Home,
    pub(super) asks: Option<Asks>,
    /// Why the embedded cluster cannot show it.
    pub(super) beyond: Option<&'static str>,
    pub(super) patience: Patience,
    pub(super) before: fn(&Place<'_>, &mut Task),
    pub(super) during: fn(&Place<'_>, &Task),
    pub(super) after: fn(&Place<'_>),
    pub(super) needed: Verdict,
    pub(super) patched: Verdict,
}

/// Begins a row: a task that runs a shell script and fails.
pub(super) fn row(name: &'static str, script: &'static str) -> Row {
    let verdict = Verdict {
        statuses: RAN,
        code: "JOB_EXECUTION_FAILED",
        says: &[],
    };
    Row {
        name,
        script,
        fields: Vec::new(),
        home: Home::Bound,
        asks: None,
        beyond: None,
        patience: Patience::Hour,
        before: |_, _| {},
        during: |_, _| {},
        after: |_| {},
        needed: verdict,
        patched: verdict,
    }
}

impl Row {
    /// Sets a field of `job`.
    pub(super) fn with(mut self, field: &'static str, value: impl Into<Value>) -> Row {
        self.fields.push((field, value.into()));
        self
    }

    /// Says where the task runs.
    pub(super) fn home(mut self, home: Home) -> Row {
        self.home = home;
        self
    }

    /// Says why the embedded cluster cannot show it.
    pub(super) fn beyond_embedded(mut self, why: &'static str) -> Row {
        self.beyond = Some(why);
        self
    }

    /// Says which request of the worker is refused, for its answer to be recorded.
    pub(super) fn asks(mut self, asks: Asks) -> Row {
        self.asks = Some(asks);
        self
    }

    /// Lets a worker take it that waits a minute for a start.
    pub(super) fn hasty(mut self) -> Row {
        self.patience = Patience::Minute;
        self
    }

    /// Is done before the message is sent; it may still change it.
    pub(super) fn before(mut self, deed: fn(&Place<'_>, &mut Task)) -> Row {
        self.before = deed;
        self
    }

    /// Is done once the message is sent; it waits for what it needs.
    pub(super) fn during(mut self, deed: fn(&Place<'_>, &Task)) -> Row {
        self.during = deed;
        self
    }

    /// Cleans up what outlives the namespace.
    pub(super) fn after(mut self, deed: fn(&Place<'_>)) -> Row {
        self.after = deed;
        self
    }

    /// What is told, whatever the worker may do.
    pub(super) fn ends(
        mut self,
        statuses: &'static [u64],
        code: &'static str,
        says: &'static [&'static str],
    ) -> Row {
        let verdict = Verdict { statuses, code, says };
        self.needed = verdict;
        self.patched = verdict;
        self
    }

    /// What is told where Jobs may be patched and events be read.
    pub(super) fn with_patch(mut self, code: &'static str, says: &'static [&'static str]) -> Row {
        self.patched = Verdict {
            statuses: self.needed.statuses,
            code,
            says,
        };
        self
    }
}
