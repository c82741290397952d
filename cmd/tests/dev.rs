//! `job-worker dev` as its user meets it: what it says, how it ends, and that nothing of it stays behind.

#![cfg(feature = "dev")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// One run of it, with a directory for temporary files of its own.
struct Dev {
    child: Child,
    directory: tempfile::TempDir,
}

impl Dev {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
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
    fn up(environment: &[(&str, &str)]) -> Self {
        let dev = Self::start(&[], environment);
        until("it says what to try", || {
            dev.read("stdout").contains("Ctrl-C ends all of it.")
        });
        dev
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).expect("a file of ours")
    }

    /// Its own directory.
    fn place(&self) -> PathBuf {
        let mut entries = self.left();
        // The cluster has one too.
        entries.retain(|entry| entry.to_string_lossy().contains("job-worker-dev-"));
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    /// What there is among the temporary files.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("tmp")).expect("a directory of ours");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The processes that it, or one of its children, has started: each has our directory in its environment.
    fn processes(&self) -> Vec<String> {
        let ours = self.directory.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("there is /proc") {
            let path = entry.expect("an entry").path();
            // Processes end while they are looked at, and those of others cannot be read.
            let Ok(environment) = fs::read(path.join("environ")) else {
                continue;
            };
            if String::from_utf8_lossy(&environment).contains(&ours) {
                let command = fs::read(path.join("cmdline")).unwrap_or_default();
                found.push(format!(
                    "{} {}",
                    path.display(),
                    String::from_utf8_lossy(&command)
                ));
            }
        }
        found
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("it has ended", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    fn signal(&self, name: &str) {
        signal(name, &self.child.id().to_string());
    }

    /// Runs a command as its user does, after sourcing the file.
    fn shell(&self, command: &str) -> std::process::Output {
        let program = Path::new(env!("CARGO_BIN_EXE_job-worker"))
            .parent()
            .expect("a directory");
        let path = std::env::var("PATH").expect("there is a PATH");
        Command::new("sh")
            .args(["-c", &format!(". '{}/env' && {command}", self.place().display())])
            .env_clear()
            .env("PATH", format!("{}:{path}", program.display()))
            .output()
            .expect("there is a shell")
    }

    /// Submits the worked example with this id and this script.
    fn submit(&self, id: &str, script: &str) {
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
    fn told(&self) -> BTreeMap<String, Vec<u64>> {
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

    /// Kills the daemon once it serves, and waits for its successor.
    fn kill_the_daemon(&self) {
        let daemon = |other: Option<&str>| {
            let running = |process: &String| process.contains("job-worker\0run") && other != Some(process);
            self.processes().into_iter().find(running)
        };
        let killed = daemon(None).expect("the daemon runs");
        let process = killed
            .split(' ')
            .next()
            .and_then(|path| path.strip_prefix("/proc/"));
        signal("KILL", process.expect("its number"));
        let log = self.place().join("worker.log");
        let starts = || {
            let log = fs::read_to_string(&log).expect("the log");
            log.matches("http listens").count()
        };
        let before = starts();
        until("it is started again", || {
            starts() > before && daemon(Some(&killed)).is_some()
        });
    }

    /// Asserts that no process and no file of it is left.
    fn left_nothing(&self) {
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

fn signal(name: &str, process: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status();
    assert!(status.expect("a shell").success(), "kill -{name} {process}");
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_demonstration_ends_well_and_leaves_nothing_behind() {
    let mut dev = Dev::start(&["--demo"], &[]);
    assert_eq!(dev.ended().code(), Some(0));
    let stdout = dev.read("stdout");
    assert!(stdout.contains("demonstration: 6 callbacks compared, all as they have to be"));
    assert!(!stdout.contains('\x1b'), "a file is no terminal");
    assert_eq!(dev.read("stderr"), "");
    dev.left_nothing();
}

#[test]
fn a_demonstration_with_a_wrong_callback_fails_and_says_which() {
    let mut dev = Dev::start(&["--demo", "--image", "scripted.invalid/ok"], &[]);
    assert_eq!(dev.ended().code(), Some(1));
    let stderr = dev.read("stderr");
    assert!(
        stderr.contains(
            ": callback 3 should be {\"detail\":{\"error\":{\"errorCode\":\"JOB_EXECUTION_FAILED\""
        ),
        "{stderr}"
    );
    assert!(
        !stderr.contains("worked-example-"),
        "only one of the two is wrong: {stderr}"
    );
    // What happened can be looked at.
    assert!(dev.place().join("worker.log").exists());
    until("no process is left", || dev.processes().is_empty());
}

#[test]
fn a_demonstration_with_a_missing_callback_fails() {
    let image = ["--demo", "--image", "registry.invalid/missing"];
    let mut dev = Dev::start(&image, &[("POD_START_TIMEOUT", "2")]);
    assert_eq!(dev.ended().code(), Some(1));
    assert!(dev.read("stderr").contains("and is nothing"));
    until("no process is left", || dev.processes().is_empty());
}

#[test]
fn sigterm_ends_everything_and_what_the_pods_run() {
    let mut dev = Dev::up(&[]);
    dev.submit("long", "sleep 300");
    until("it runs", || {
        dev.told().get("long").is_some_and(|told| told == &[0, 1])
    });
    assert!(dev.processes().iter().any(|process| process.contains("sleep")));
    dev.signal("TERM");
    assert_eq!(dev.ended().code(), Some(0));
    dev.left_nothing();
}

#[test]
fn a_sigkill_of_it_leaves_nothing_behind_either() {
    let mut dev = Dev::up(&[]);
    dev.submit("long", "sleep 300");
    until("it runs", || {
        dev.told().get("long").is_some_and(|told| told == &[0, 1])
    });
    dev.child.kill().expect("a child");
    dev.ended();
    dev.left_nothing();
}

/// `JOB_WORKER_DEV_TASKS=1000` sends so many and kills the daemon 22 times; it takes about a minute.
#[test]
fn a_daemon_that_is_killed_again_and_again_is_started_again_and_forgets_nothing() {
    let tasks = std::env::var("JOB_WORKER_DEV_TASKS").map_or(20, |tasks| tasks.parse().expect("a number"));
    let between_kills = (tasks / 22).max(7);
    let mut dev = Dev::up(&[("LEADER_ELECTION_LEASE_SECONDS", "1")]);
    let mut expected = BTreeMap::new();
    for number in 0..tasks {
        let id = format!("task-{number}");
        let (script, last) = match number % 5 {
            0 => ("sleep 1; exit 3", 3),
            _ => ("sleep 1", 2),
        };
        dev.submit(&id, script);
        expected.insert(id, vec![0, 1, last]);
        if number % between_kills == between_kills / 2 {
            dev.kill_the_daemon();
        }
    }
    let verdicts = || {
        dev.told()
            .values()
            .filter(|told| told.iter().any(|status| *status > 1))
            .count()
    };
    until("each task has its verdict", || verdicts() == tasks);
    assert_eq!(dev.told(), expected);
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(0));
    dev.left_nothing();
}

#[test]
fn what_it_says_to_try_works() {
    let mut dev = Dev::up(&[]);
    let stdout = dev.read("stdout");
    let lines: Vec<&str> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert_eq!(lines.len(), 4, "{stdout}");
    for line in lines.iter().filter(|line| !line.starts_with("kubectl")) {
        let output = dev.shell(line);
        assert!(output.status.success(), "{line}: {output:?}");
    }
    until("the message became a task and ended", || {
        dev.told().values().any(|told| told == &[0, 1, 2])
    });
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(0));
}

#[test]
fn what_the_readme_says_to_run_runs() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(tree.join("README.md")).expect("README.md is there");
    let mut blocks = Vec::new();
    let mut parts = page.split("```");
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let commands = block.strip_prefix("sh\n").expect("each block is for the shell");
        let last = before.trim_end().lines().last().unwrap_or_default();
        if !last.starts_with("<!-- not run by the README's test: ") {
            blocks.push(commands);
        }
    }
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    let mut dev = Dev::up(&[]);
    for block in blocks {
        let output = dev.shell(&format!(
            "set -e; cd '{}'; {block}",
            dev.directory.path().display()
        ));
        assert!(output.status.success(), "{block}: {output:?}");
    }
    until("the message became a task and ended", || {
        dev.told().values().any(|told| told == &[0, 1, 2])
    });
    dev.signal("TERM");
    assert_eq!(dev.ended().code(), Some(0));
}

#[test]
fn each_file_that_the_readme_names_is_there() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(tree.join("README.md")).expect("README.md is there");
    let links: Vec<&str> = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.starts_with("https://"))
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(tree.join(link).exists(), "{link}");
    }
}

#[test]
fn a_missing_redis_server_is_said_with_the_command_that_brings_it() {
    let bin = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/bin/sh", bin.path().join("sh")).expect("a link");
    let mut dev = Dev::start(&[], &[("PATH", &bin.path().to_string_lossy())]);
    assert_eq!(dev.ended().code(), Some(69));
    let stderr = dev.read("stderr");
    assert!(stderr.contains("apt-get install redis-server"), "{stderr}");
}

#[test]
fn a_refused_setting_ends_it_with_the_fault() {
    let mut dev = Dev::start(&[], &[("POLLING_INTERVAL", "soon")]);
    assert_eq!(dev.ended().code(), Some(78));
    assert!(
        dev.read("stderr")
            .contains("POLLING_INTERVAL=\"soon\": must be a whole number of seconds")
    );
    dev.left_nothing();
}
