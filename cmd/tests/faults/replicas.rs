//! The replicas of the worker, and what their logs say.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fixtures::worker::Worker;
use serde_json::Value;

/// How far a task has come, by the moves that were logged.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    Received,
    Created,
    PodStarted,
    Completed,
    Failed,
    Exception,
}

impl Stage {
    /// All of them.
    pub(crate) const ALL: [Stage; 6] = [
        Stage::Received,
        Stage::Created,
        Stage::PodStarted,
        Stage::Completed,
        Stage::Failed,
        Stage::Exception,
    ];

    /// Says whether nothing follows but callbacks.
    pub(crate) const fn ended(self) -> bool {
        matches!(self, Stage::Completed | Stage::Failed | Stage::Exception)
    }

    fn named(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| format!("{stage:?}") == name)
    }
}

/// What the logs told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The last stage of each task.
    pub stages: BTreeMap<String, Stage>,
    /// How often each line of level ERROR came.
    pub errors: BTreeMap<String, usize>,
    /// How often a leader said that the store had lost writes.
    pub losses: usize,
    /// When each task moved last.
    pub moved_at: BTreeMap<String, Instant>,
    /// Lines that are not JSON: what a panic writes.
    pub strange: Vec<String>,
}

impl Told {
    /// Takes one line; returns the task and stage of a move.
    fn line(&mut self, line: &str) -> Option<(String, Stage)> {
        let Ok(json) = serde_json::from_str::<Value>(line) else {
            self.strange.push(line.to_owned());
            return None;
        };
        let message = json["msg"].as_str().unwrap_or_default();
        if message.contains("it lost acknowledged writes") {
            self.losses += 1;
        }
        if json["level"] == "ERROR" {
            *self.errors.entry(message.to_owned()).or_default() += 1;
        }
        if message != "task moved" {
            return None;
        }
        let task = json["task"].as_str()?.to_owned();
        let stage = Stage::named(json["to"].as_str()?)?;
        self.moved_at.insert(task.clone(), Instant::now());
        let known = self.stages.entry(task.clone()).or_insert(stage);
        *known = stage.max(*known);
        Some((task, stage))
    }
}

/// The replicas; each is replaced at once when it ends.
pub(crate) struct Replicas {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    logs: PathBuf,
    running: Vec<(Worker, usize)>,
    /// What all of them logged so far.
    pub told: Told,
    /// Processes that ended although nobody killed them.
    pub deaths: Vec<String>,
    started: usize,
}

impl Replicas {
    /// Starts so many; their logs are written to the directory `logs`.
    pub(crate) fn start(
        count: usize,
        binary: PathBuf,
        environment: Vec<(String, String)>,
        logs: &Path,
    ) -> io::Result<Replicas> {
        fs::create_dir_all(logs)?;
        let mut replicas = Replicas {
            binary,
            environment,
            logs: logs.to_owned(),
            running: Vec::new(),
            told: Told::default(),
            deaths: Vec::new(),
            started: 0,
        };
        for _ in 0..count {
            let worker = replicas.spawn()?;
            replicas.running.push((worker, 0));
        }
        Ok(replicas)
    }

    fn spawn(&mut self) -> io::Result<Worker> {
        let name = format!("worker-{}", self.started);
        self.started += 1;
        let mut environment = self.environment.clone();
        environment.push(("POD_NAME".to_owned(), name.clone()));
        Worker::start(&self.binary, &name, &environment)
    }

    /// The place of the replica that a holder of the Lease is.
    pub(crate) fn place_of(&self, holder: &str) -> Option<usize> {
        self.running
            .iter()
            .position(|(worker, _)| holder.starts_with(&format!("{}_", worker.name())))
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.running.len()
    }

    /// Kills one (SIGKILL), reads what it had logged, and starts another one.
    pub(crate) fn kill(&mut self, place: usize) -> io::Result<()> {
        self.running[place].0.kill()?;
        self.read(place, Duration::ZERO)?;
        self.replace(place)
    }

    /// Kills all of them, one right after the other, and starts others.
    pub(crate) fn kill_all(&mut self) -> io::Result<()> {
        for (worker, _) in &mut self.running {
            worker.kill()?;
        }
        for place in 0..self.running.len() {
            self.kill(place)?;
        }
        Ok(())
    }

    /// Stops one where it is (SIGSTOP).
    pub(crate) fn freeze(&self, place: usize) -> io::Result<()> {
        self.running[place].0.freeze()
    }

    /// Lets one go on (SIGCONT).
    pub(crate) fn thaw(&self, place: usize) -> io::Result<()> {
        self.running[place].0.thaw()
    }

    /// Reads what was logged since the last time; replaces those that ended by themselves.
    pub(crate) fn read_all(&mut self) -> io::Result<()> {
        for place in 0..self.running.len() {
            self.read(place, Duration::ZERO)?;
            if let Ok(status) = self.running[place].0.wait(Duration::ZERO) {
                let name = self.running[place].0.name();
                self.deaths.push(format!("{name} ended with {status}"));
                self.kill(place)?;
            }
        }
        Ok(())
    }

    /// Waits for something new in the log of one; returns the moves.
    pub(crate) fn read(&mut self, place: usize, within: Duration) -> io::Result<Vec<(String, Stage)>> {
        let (worker, known) = &mut self.running[place];
        let lines = worker.lines_after(*known, within);
        *known += lines.len();
        let file = self.logs.join(format!("{}.log", worker.name()));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
        let mut moves = Vec::new();
        for line in &lines {
            writeln!(file, "{line}")?;
            moves.extend(self.told.line(line));
        }
        Ok(moves)
    }

    /// Asks all of them to end, as a rollout does.
    pub(crate) fn end(&mut self, grace: Duration) -> io::Result<()> {
        for (worker, _) in &self.running {
            worker.terminate()?;
        }
        for place in 0..self.running.len() {
            let worker = &mut self.running[place].0;
            match worker.wait(grace) {
                Ok(status) if status.success() => {}
                Ok(status) => self.deaths.push(format!("{} ended with {status}", worker.name())),
                Err(error) => self
                    .deaths
                    .push(format!("{} after SIGTERM: {error}", worker.name())),
            }
            // It has ended: this only waits for the end of its log.
            self.running[place].0.kill()?;
            self.read(place, Duration::ZERO)?;
        }
        Ok(())
    }

    fn replace(&mut self, place: usize) -> io::Result<()> {
        let worker = self.spawn()?;
        self.running[place] = (worker, 0);
        Ok(())
    }
}
