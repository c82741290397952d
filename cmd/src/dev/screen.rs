//! What the user of `job-worker dev` sees: where things run, what to try, and how tasks move.
//!
//! Colour on a terminal only, and not where `NO_COLOR` is set. It decides nothing; nothing is read back from what it prints.

use super::daemon::Daemon;
use super::place::{Place, quoted};
use fixtures::sink::Request;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Instant;

/// Longest id that is shown whole; of a longer one the middle is left out.
const ID_SHOWN: usize = 30;
/// Longest text of a line's last column.
const TEXT_SHOWN: usize = 300;

const PLAIN: &str = "";
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
const CYAN: &str = "36";

/// Standard output, as far as somebody takes it.
pub(super) struct Screen {
    colour: bool,
    verbose: bool,
    begun: Instant,
    closed: Cell<bool>,
    /// The last move of each task that has not ended: one that only changes what is not shown is not worth a line.
    moves: RefCell<BTreeMap<String, String>>,
}

impl Screen {
    pub(super) fn new(verbose: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: io::stdout().is_terminal() && !no_colour,
            verbose,
            begun: Instant::now(),
            closed: Cell::new(false),
            moves: RefCell::new(BTreeMap::new()),
        }
    }

    /// Says whether nobody takes what is printed.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Says what runs where and what to try next.
    pub(super) fn banner(&self, place: &Place, daemon: &Daemon) {
        let row = |name: &str, text: &str| {
            self.print(&format!("  {}  {text}", self.paint(BOLD, &format!("{name:<12}"))))
        };
        self.print(&self.paint(
            YELLOW,
            "job-worker dev: for trying and for tests. Containers are processes of this machine, run as you, not isolated.",
        ));
        self.print("");
        row(
            "redis-server",
            &format!("127.0.0.1:{}, private, with a password", place.redis_port()),
        );
        row(
            "cluster",
            &format!("{}, embedded: one node, k8s-node-1", place.cluster().url()),
        );
        row("webhook sink", &format!("{}, answers 200", place.callback_url()));
        row(
            "job-worker",
            &format!(
                "process {}, http://{}/metrics",
                daemon.process(),
                daemon.door().unwrap_or("?")
            ),
        );
        row("its log", &shown(&place.log()));
        row("callbacks", &shown(&place.record_file()));
        self.print("");
        self.print("Try, in another terminal:");
        self.print("");
        self.print(&format!("    . {}", shown(&place.environment_file())));
        self.print("    job-worker submit --new-id \"$MESSAGE\"");
        self.print("    job-worker list");
        self.print("    job-worker check");
        self.print("    kubectl get jobs,pods");
        self.print("");
        self.print("Ctrl-C ends all of it.");
        self.print("");
    }

    /// Shows a remark of this program.
    pub(super) fn note(&self, text: &str) {
        self.print(&format!("{}  {}", self.time(), self.paint(BOLD, text)));
    }

    /// Shows something that should not be.
    pub(super) fn warn(&self, text: &str) {
        self.print(&format!("{}  {}", self.time(), self.paint(YELLOW, text)));
    }

    /// Shows a line of the daemon's log: a move of a task, a warning, or any line where it is verbose.
    pub(super) fn line(&self, line: &str) {
        let fields: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |name: &str| fields[name].as_str().unwrap_or_default();
        let severe = matches!(text("level"), "WARN" | "ERROR") || fields.is_null();
        // The reason of a verdict comes with its callback.
        let told = text("msg").starts_with("task ended");
        if text("msg") == "task moved" {
            let (from, to) = (text("from"), text("to"));
            if !self.is_news(text("task"), to, text("phase")) {
                return self.whole(line);
            }
            let (colour, detail) = match (from == to, to) {
                // That the last callback was answered is not worth a line.
                (true, _) if text("phase") == "done" => return self.whole(line),
                (true, _) => (DIM, text("phase").to_owned()),
                (false, "Created") => (CYAN, format!("{} in {}", text("job"), text("namespace"))),
                (false, _) => (colour_of(to), String::new()),
            };
            self.row(text("task"), self.paint(colour, &format!("{to:<12}")), &detail);
        } else if text("msg") == "a copy of its message is dropped" {
            self.row(
                text("task"),
                self.paint(DIM, &format!("{:<12}", "copy")),
                "dropped: the same message came before",
            );
        } else if severe && !told {
            let message = if fields.is_null() { line } else { text("msg") };
            self.row(
                text("task"),
                self.paint(YELLOW, &format!("{:<12}", text("level"))),
                message,
            );
        }
        self.whole(line);
    }

    /// Says whether a move changes what is shown of the task.
    fn is_news(&self, task: &str, state: &str, phase: &str) -> bool {
        let mut moves = self.moves.borrow_mut();
        if phase == "done" {
            moves.remove(task);
            return true;
        }
        let shown = format!("{state} {phase}");
        moves.insert(task.to_owned(), shown.clone()) != Some(shown)
    }

    fn whole(&self, line: &str) {
        if self.verbose {
            self.print(&self.paint(DIM, line));
        }
    }

    /// Shows a callback.
    pub(super) fn callback(&self, request: &Request) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let detail = &body["detail"];
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let (colour, words) = match body["status"].as_u64() {
            Some(0) => (CYAN, format!("Job {}", text(&detail["jobName"]))),
            Some(1) => (BLUE, format!("pod {}", text(&detail["podName"]))),
            Some(2) => (GREEN, format!("complete after {} s", detail["duration"])),
            Some(_) => (
                RED,
                format!(
                    "{}: {}",
                    text(&detail["error"]["errorCode"]),
                    text(&detail["error"]["message"])
                ),
            ),
            None => (RED, String::from_utf8_lossy(&request.body).into_owned()),
        };
        let status = body["status"]
            .as_u64()
            .map_or_else(|| "?".to_owned(), |status| status.to_string());
        self.row(
            body["id"].as_str().unwrap_or("?"),
            self.paint(colour, &format!("{:<12}", format!("→ callback {status}"))),
            &words,
        );
    }

    fn row(&self, id: &str, what: String, detail: &str) {
        let mut shown: String = printable(detail).chars().take(TEXT_SHOWN).collect();
        if shown.len() < detail.len() {
            shown.push('…');
        }
        let line = format!(
            "{}  {:<ID_SHOWN$}  {what}  {shown}",
            self.time(),
            short(&printable(id))
        );
        self.print(line.trim_end());
    }

    fn time(&self) -> String {
        self.paint(DIM, &format!("{:>7.2} s", self.begun.elapsed().as_secs_f64()))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.colour && colour != PLAIN {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn print(&self, line: &str) {
        let mut stdout = io::stdout().lock();
        if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
            self.closed.set(true);
        }
    }
}

fn colour_of(state: &str) -> &'static str {
    match state {
        "PodStarted" => BLUE,
        "Completed" => GREEN,
        "Failed" | "Exception" => RED,
        _ => PLAIN,
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// What a task's owner wrote cannot move the cursor or forge a line.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Leaves the middle of a long id out: the beginning says whose it is, the end which.
fn short(id: &str) -> String {
    let count = id.chars().count();
    if count <= ID_SHOWN {
        return id.to_owned();
    }
    let half = ID_SHOWN / 2;
    let start: String = id.chars().take(half).collect();
    let end: String = id.chars().skip(count - (ID_SHOWN - half - 1)).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_keeps_both_ends() {
        let id = "31a89a91-43d8-4786-a195-9b25cec28a44";
        assert_eq!(short(id), "31a89a91-43d8-4…5-9b25cec28a44");
        assert_eq!(short("short"), "short");
    }

    #[test]
    fn a_move_within_what_is_shown_is_no_news() {
        let screen = Screen::new(false);
        assert!(screen.is_news("a", "PodStarted", "settling"));
        assert!(screen.is_news("b", "PodStarted", "settling"));
        assert!(!screen.is_news("a", "PodStarted", "settling"));
        assert!(screen.is_news("a", "Failed", "done"));
        assert_eq!(screen.moves.borrow().len(), 1, "an ended task is forgotten");
    }

    #[test]
    fn no_text_of_a_task_reaches_the_terminal_as_a_command() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
