//! The daemon as a child process: `job-worker run` of the same program, its log copied to a file and to the one loop.
//!
//! It never configures anything by itself: the environment is the place's.

use super::Event;
use super::place::Place;
use crossbeam_channel::Sender;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;

/// Lines of the log that are shown where the daemon did not come up.
const TAIL: usize = 10;

/// One life of the daemon; it is killed when dropped.
pub(super) struct Daemon {
    child: Child,
    door: Option<String>,
    tail: VecDeque<String>,
}

impl Daemon {
    /// Starts it; its log is appended to the place's file.
    pub(super) fn start(place: &Place, events: Sender<Event>) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(place.log())?;
        let mut child = Command::new(place.program())
            .arg("run")
            .env_clear()
            .envs(place.environment().iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(place.group())
            .spawn()?;
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || copy(stderr, log, &events));
        }
        Ok(Self {
            child,
            door: None,
            tail: VecDeque::new(),
        })
    }

    /// Returns the address of its HTTP server, once it is known.
    pub(super) fn door(&self) -> Option<&str> {
        self.door.as_deref()
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Learns from a line of its log.
    pub(super) fn note(&mut self, line: &str) {
        if self.door.is_some() {
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        if let Ok(fields) = serde_json::from_str::<Value>(line)
            && fields["msg"] == "http listens"
            && let Some(port) = fields["address"]
                .as_str()
                .and_then(|address| address.rsplit(':').next())
        {
            self.door = Some(format!("127.0.0.1:{port}"));
        }
    }

    /// Returns the end of the log of a daemon that did not come up.
    pub(super) fn tail(&self) -> String {
        let lines: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Asks it to end; false where it has ended already.
    pub(super) fn terminate(&mut self) -> bool {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        match (self.child.try_wait(), pid) {
            (Ok(None), Some(pid)) => kill_process(pid, Signal::TERM).is_ok(),
            _ => false,
        }
    }

    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
    }

    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        drop(self.child.wait());
    }
}

fn copy(stderr: ChildStderr, mut log: File, events: &Sender<Event>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let event = match writeln!(log, "{line}") {
            Ok(()) => Event::Line(line),
            Err(error) => Event::Line(format!("the log file cannot be written: {error}")),
        };
        if events.send(event).is_err() {
            return;
        }
    }
    // Nobody listens any more where this fails.
    drop(events.send(Event::Closed));
}
