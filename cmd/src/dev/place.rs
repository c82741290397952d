//! Everything around the daemon: directory, redis-server, cluster, receiver, and the shell that ends all of it.
//!
//! It owns what `job-worker dev` starts besides the daemon. Whatever becomes of this process, the shell outlives it, kills what is
//! left and removes the directory.

use super::Fatal;
use fixtures::embedded::{Embedded, Options, Refused, Resource};
use fixtures::redis::{self, Server};
use fixtures::sink::{Request, Script, Sink};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;

/// The path that callbacks come to.
const CALLBACK: &str = "/callback";
/// The worked example of the contract.
const EXAMPLE: &str = include_str!("../../../fixtures/messages/valid/worked-example.json");
/// Where the daemon lives, and the worked example's Job.
const NAMESPACE: &str = "default";

/// Waits for a word; without one, the parent has died and its children are told to end. Whatever is left then is killed.
const WATCH: &str = r#"trap '' HUP INT TERM
if read -r word; then :; else kill -TERM 0; sleep 1; fi
[ "$word" = keep ] || rm -rf -- "$1"
kill -KILL 0"#;

/// Settings of the daemon that suit a machine of one's own; the user's environment stands above them.
const DEFAULTS: [(&str, &str); 4] = [
    // What the private redis-server may lose is nobody's loss.
    ("LOG_LEVEL", "info,adapters::settings=error"),
    // A daemon that was killed is followed soon.
    ("LEADER_ELECTION_LEASE_SECONDS", "3"),
    ("POLLING_INTERVAL", "1"),
    ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8"),
];

/// Settings of the redis-server.
const REDIS: [(&str, &str); 2] = [
    // A write is in the file when it is answered, so that a kill loses none; the disk need not have it.
    ("appendfsync", "no"),
    // Its command line goes on to say whose it is.
    ("set-proc-title", "no"),
];

/// All of it; it ends when dropped.
pub(super) struct Place {
    // In the order in which they end.
    cluster: Embedded,
    redis: Server,
    sink: Arc<Sink>,
    guardian: Guardian,
    record: File,
    environment: Vec<(String, String)>,
    program: PathBuf,
}

impl Place {
    /// Starts all of it; a port of 0 is any free one.
    pub(super) fn make(port: u16, redis_port: u16) -> Result<Self, Fatal> {
        // Asked now: a program that is built anew meanwhile has another file under its name.
        let program = std::env::current_exe().map_err(Fatal::start("its own program"))?;
        let guardian = Guardian::start().map_err(Fatal::start("a shell with a directory of its own"))?;
        let redis = Server::start(redis::Options {
            // Any user of the machine may connect, and a task runs as this one.
            password: Some(uuid::Uuid::new_v4().simple().to_string()),
            port: redis_port,
            parent: Some(guardian.directory.clone()),
            group: Some(guardian.group()),
            settings: REDIS
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            ..redis::Options::default()
        })
        .map_err(Fatal::start("redis-server"))?;
        let cluster = Embedded::start(Options::default()).map_err(Fatal::start("the embedded cluster"))?;
        furnish(&cluster)?;
        let sink = Arc::new(Sink::start(Script::default()));
        let files = Fatal::start("a file in its directory");
        let (record, environment) =
            write_files(&guardian.directory, &program, &cluster, &redis, &sink, port).map_err(files)?;
        Ok(Self {
            cluster,
            redis,
            sink,
            guardian,
            record,
            environment,
            program,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.guardian.directory
    }

    /// Returns the file of this program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Returns the file that holds the daemon's log.
    pub(super) fn log(&self) -> PathBuf {
        self.directory().join("worker.log")
    }

    /// Returns the file to source before other commands are tried.
    pub(super) fn environment_file(&self) -> PathBuf {
        self.directory().join("env")
    }

    /// Returns the record of callbacks: a JSON object a line.
    pub(super) fn record_file(&self) -> PathBuf {
        self.directory().join("callbacks.jsonl")
    }

    /// Returns the process group of the children.
    pub(super) fn group(&self) -> i32 {
        self.guardian.group()
    }

    /// Returns the whole environment of the daemon.
    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub(super) fn cluster(&self) -> &Embedded {
        &self.cluster
    }

    pub(super) fn redis_port(&self) -> u16 {
        self.redis.port()
    }

    /// Returns how the redis-server has ended, where it has.
    pub(super) fn redis_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.redis.ended_with()
    }

    /// Starts the redis-server again, with its data.
    pub(super) fn restart_redis(&mut self) -> io::Result<()> {
        self.redis.restart()
    }

    pub(super) fn sink(&self) -> Arc<Sink> {
        Arc::clone(&self.sink)
    }

    /// Returns the URL that the tasks' callbacks go to.
    pub(super) fn callback_url(&self) -> String {
        self.sink.url(CALLBACK)
    }

    /// Writes a callback down.
    pub(super) fn record(&self, request: &Request) -> io::Result<()> {
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body).into_owned()));
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let entry = json!({"target": request.target, "headers": headers, "body": body});
        (&self.record).write_all(format!("{entry}\n").as_bytes())
    }

    /// Lets the directory outlive this process.
    pub(super) fn keep(&mut self) {
        self.guardian.keep = true;
    }
}

/// Returns the worked example with another id and this URL.
pub(super) fn example(id: &str, url: &str) -> Value {
    let mut message: Value = serde_json::from_str(EXAMPLE).expect("the worked example is JSON");
    message["id"] = json!(id);
    message["webhook"]["url"] = json!(url);
    message
}

/// Makes the objects that the worked example needs, besides the node.
fn furnish(cluster: &Embedded) -> Result<(), Refused> {
    let create = |resource, object| cluster.create(resource, NAMESPACE, object).map(drop);
    create(
        Resource::ConfigMap,
        json!({"metadata": {"name": "configmap-name"}, "data": {"GREETING": "hello"}}),
    )?;
    create(
        Resource::Claim,
        json!({
            "metadata": {"name": "persistent-volume-claim"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }),
    )?;
    let account = json!({"metadata": {"name": "default"}});
    match create(Resource::ServiceAccount, account) {
        // The cluster's own controller was quicker.
        Err(refused) if refused.code == 409 => Ok(()),
        made => made,
    }
}

fn write_files(
    directory: &Path,
    program: &Path,
    cluster: &Embedded,
    redis: &Server,
    sink: &Sink,
    port: u16,
) -> io::Result<(File, Vec<(String, String)>)> {
    let kubeconfig = directory.join("kubeconfig");
    cluster.kubeconfig(&kubeconfig)?;
    let fixed = [
        ("POD_NAME", "job-worker-dev".to_owned()),
        ("POD_NAMESPACE", NAMESPACE.to_owned()),
        ("QUEUE_TYPE", "redis".to_owned()),
        ("REDIS_QUEUE_ENDPOINT", redis.url()),
        ("REDIS_QUEUE_DB", "0".to_owned()),
        ("CACHE_REDIS_ENDPOINT", redis.url()),
        ("CACHE_REDIS_DB", "1".to_owned()),
        ("HTTP_SERVER_PORT", port.to_string()),
        ("LOG_FORMAT", "json".to_owned()),
        ("KUBECONFIG", kubeconfig.display().to_string()),
    ];
    let mut environment: Vec<(String, String)> = std::env::vars()
        .filter(|(name, value)| crate::config::is_known(name) && !value.is_empty())
        .filter(|(name, _)| !name.ends_with("_PASSWORD_FILE"))
        .filter(|(name, _)| fixed.iter().all(|(ours, _)| ours != name))
        .collect();
    for (name, value) in DEFAULTS {
        if environment.iter().all(|(known, _)| known != name) {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
    environment.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    let message = (
        "MESSAGE".to_owned(),
        directory.join("message.json").display().to_string(),
    );
    let mut exports: String = environment
        .iter()
        .chain([&message])
        .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
        .collect();
    if let Some(folder) = program.parent() {
        let folder = quoted(&folder.display().to_string());
        exports.push_str(&format!("export PATH={folder}:\"$PATH\"\n"));
    }
    private(&directory.join("env"))?.write_all(exports.as_bytes())?;
    let message = example(&uuid::Uuid::now_v7().to_string(), &sink.url(CALLBACK));
    private(&directory.join("message.json"))?.write_all(format!("{message:#}\n").as_bytes())?;
    Ok((private(&directory.join("callbacks.jsonl"))?, environment))
}

/// Makes a file that only this user may read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// A word of the shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The shell that leads the children's process group, which no Ctrl-C reaches.
struct Guardian {
    shell: Child,
    orders: Option<ChildStdin>,
    directory: PathBuf,
    keep: bool,
}

impl Guardian {
    fn start() -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("job-worker-dev-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "job-worker-dev"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = shell.stdin.take();
        Ok(Self {
            shell,
            orders,
            directory: directory.keep(),
            keep: false,
        })
    }

    fn group(&self) -> i32 {
        i32::try_from(self.shell.id()).expect("a process id is a C int")
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let word: &[u8] = if self.keep { b"keep\n" } else { b"end\n" };
        if let Some(mut orders) = self.orders.take() {
            // Where it has gone, its duty falls to this process.
            if orders.write_all(word).is_err() && !self.keep {
                drop(fs::remove_dir_all(&self.directory));
            }
        }
        drop(self.shell.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_shell_is_quoted_where_it_has_to_be() {
        assert_eq!(quoted("/tmp/job-worker-dev-1/env"), "/tmp/job-worker-dev-1/env");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    /// The cluster's controller and this process both make the account; either may be the first.
    #[test]
    fn an_account_that_is_there_already_is_taken_as_it_is() {
        let cluster = Embedded::start(Options::default()).unwrap();
        let account = json!({"metadata": {"name": "default"}});
        drop(cluster.create(Resource::ServiceAccount, NAMESPACE, account));
        furnish(&cluster).unwrap();
        assert!(
            cluster
                .get(Resource::ConfigMap, NAMESPACE, "configmap-name")
                .is_some()
        );
    }
}
