//! One run of `job-worker dev`, and what its user can do with it and see of it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);

/// What the daemon's command line holds.
const DAEMON: &str = "job-worker\0run";

/// One run of it, with a directory for temporary files of its own.
pub(crate) struct Dev {
    pub(crate) child: Child,
    pub(crate) directory: tempfile::TempDir,
}

impl Dev {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("tmp")).expect("a directory");
        let file = |name| File::create(directory.path().join(name)).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_job-worker"))
            .arg("dev")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
            .env("TMPDIR", directory.path().join("tmp"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0)
            .spawn()
            .expect("cargo has built the binary");
        Self { child, directory }
    }

    /// Starts it and waits until it says what to try.
    pub(crate) fn up(environment: &[(&str, &str)]) -> Self {
        let dev = Self::start(&[], environment);
        until("it says what to try", || {
            dev.read("stdout").contains("Ctrl-C ends all of it.")
        });
        dev
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).expect("a file of ours")
    }

    /// Its own directory.
    pub(crate) fn place(&self) -> PathBuf {
        let mut entries = self.left();
        // The cluster has one too.
        entries.retain(|entry| entry.to_string_lossy().contains("job-worker-dev-"));
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    /// What there is among the temporary files.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("tmp")).expect("a directory of ours");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The processes that it, or one of its children, has started: each has our directory in its
    /// environment or, where it has written over that, in its command line.
    pub(crate) fn processes(&self) -> Vec<String> {
        let ours = self.directory.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("there is /proc") {
            let path = entry.expect("an entry").path();
            // Processes end while they are looked at, and those of others cannot be read.
            let Ok(environment) = fs::read(path.join("environ")) else {
                continue;
            };
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            if String::from_utf8_lossy(&environment).contains(&ours) || command.contains(&ours) {
                found.push(format!("{} {command}", path.display()));
            }
        }
        found
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("it has ended", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, &self.child.id().to_string());
    }

    /// Runs a command as its user does, after sourcing the file.
    pub(crate) fn shell(&self, command: &str) -> std::process::Output {
        Command::new("sh")
            .args(["-c", &format!(". '{}/env' && {command}", self.place().display())])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
            .output()
            .expect("there is a shell")
    }

    /// Submits the worked example with this id and this script.
    pub(crate) fn submit(&self, id: &str, script: &str) {
        let file = self.place().join("message.json");
        let mut message: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
        message["id"] = id.into();
        message["job"]["command"] = serde_json::json!(["/bin/sh", "-c", script]);
        let mut own = tempfile::NamedTempFile::new_in(self.directory.path()).expect("a file");
        write!(own, "{message}").expect("a file");
        let output = self.shell(&format!("job-worker submit '{}'", own.path().display()));
        assert!(output.status.success(), "{output:?}");
    }

    /// The statuses that came for each id, in the order of first arrival.
    pub(crate) fn told(&self) -> BTreeMap<String, Vec<u64>> {
        let record = fs::read_to_string(self.place().join("callbacks.jsonl")).expect("the record");
        let mut seen: BTreeMap<String, Value> = BTreeMap::new();
        let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for line in record.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let callback: Value = serde_json::from_str(line).expect("a JSON line");
            let (body, webhook) = (&callback["body"], &callback["headers"]["webhook-id"]);
            let webhook = webhook.as_str().expect("each callback has an id");
            match seen.get(webhook) {
                Some(known) => assert_eq!(known, body, "a repetition differs"),
                None => {
                    seen.insert(webhook.to_owned(), body.clone());
                    let id = body["id"].as_str().expect("an id").to_owned();
                    told.entry(id)
                        .or_default()
                        .push(body["status"].as_u64().expect("a status"));
                }
            }
        }
        told
    }

    /// The one of its processes whose command line holds this.
    fn process(&self, command: &str) -> Option<String> {
        self.processes()
            .into_iter()
            .find(|process| process.contains(command))
    }

    /// Kills the one of its processes whose command line holds this; returns which it was.
    pub(crate) fn kill(&self, command: &str) -> String {
        let killed = self.process(command).expect("it runs");
        let process = killed
            .split(' ')
            .next()
            .and_then(|path| path.strip_prefix("/proc/"));
        signal("KILL", process.expect("its number"));
        killed
    }

    /// Kills the daemon once it serves, and waits for its successor.
    pub(crate) fn kill_the_daemon(&self) {
        let log = self.place().join("worker.log");
        let starts = || {
            let log = fs::read_to_string(&log).expect("the log");
            log.matches("http listens").count()
        };
        let before = starts();
        let killed = self.kill(DAEMON);
        until("it is started again", || {
            starts() > before && self.process(DAEMON).is_some_and(|process| process != killed)
        });
    }

    /// Asserts that no process and no file of it is left.
    pub(crate) fn left_nothing(&self) {
        until("no process is left", || self.processes().is_empty());
        until("no file is left", || self.left().is_empty());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- stdout\n{}\n---- stderr\n{}",
                self.read("stdout"),
                self.read("stderr")
            );
        }
        // It may have ended already; its shell ends what it leaves.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn signal(name: &str, process: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status();
    assert!(status.expect("a shell").success(), "kill -{name} {process}");
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
