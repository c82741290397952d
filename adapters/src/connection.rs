//! One connection to one Redis database, made anew after every doubt, and what its errors mean.
//!
//! Owns the socket and the reading of errors. It never repeats a command: whoever asks decides that. The queue
//! (`source::list`) and the store (`store::remote`) call it, each from plain threads.

use std::fmt;
use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};

use crate::endpoint::{Endpoint, Secret};

/// Longest time for connecting to an address, with TLS and login; less where the command has less.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Says which database of which server, and who we are there.
#[derive(Clone)]
pub struct Target {
    /// Host and port, or path, and the login that stands in it.
    pub endpoint: Endpoint,
    /// Database number.
    pub db: u32,
    /// Password from a file; wins over the endpoint's.
    pub password: Option<Secret>,
    /// PEM of a private CA, for TLS endpoints.
    pub ca: Option<Vec<u8>>,
}

impl Target {
    /// Prepares a connection named `job-worker:<role>:<pod>`; nothing is connected before the first command.
    ///
    /// # Errors
    /// [`Class::Configuration`] when the address or the CA cannot be used at all.
    pub fn link(&self, role: &str, pod: &str) -> Result<Link, Error> {
        let address = self.endpoint.address().to_string();
        let info = self
            .endpoint
            .connection_info(self.db, self.password.as_ref())
            .map_err(|error| Error::new(&address, Stage::Connect, &error))?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        let tls = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
        let info = info.set_tcp_settings(tcp).set_redis_settings(login);
        let client = match &self.ca {
            Some(ca) if tls => redis::Client::build_with_tls(
                info,
                redis::TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca.clone()),
                },
            ),
            _ => redis::Client::open(info),
        };
        match client {
            Ok(client) => Ok(Link {
                client,
                address,
                name: client_name(role, pod),
                connection: None,
            }),
            Err(error) => Err(Error::new(&address, Stage::Connect, &error)),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("address", &self.endpoint.address())
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

/// Is one connection that is opened on demand and dropped after any answer that leaves a doubt about it.
///
/// A connection with a lost answer is never used again: the answer could arrive later and be taken for another's.
pub struct Link {
    client: redis::Client,
    address: String,
    name: String,
    connection: Option<redis::Connection>,
}

impl Link {
    /// Sends one command and waits at most `timeout` for the answer.
    ///
    /// # Errors
    /// See [`Class`]. The command was sent once at most.
    pub fn query<T: FromRedisValue>(&mut self, command: &redis::Cmd, timeout: Duration) -> Result<T, Error> {
        self.with(timeout, |connection| command.query(connection))
    }

    /// Reads: as [`Link::query`], and asks once more where the connection turns out to have been closed while idle.
    ///
    /// # Errors
    /// See [`Class`].
    pub fn read<T: FromRedisValue>(&mut self, command: &redis::Cmd, timeout: Duration) -> Result<T, Error> {
        self.once_more(|link| link.query(command, timeout))
    }

    /// Sends commands in one go and waits at most `timeout` for each answer.
    ///
    /// # Errors
    /// See [`Class`].
    pub fn pipeline<T: FromRedisValue>(
        &mut self,
        pipeline: &redis::Pipeline,
        timeout: Duration,
    ) -> Result<T, Error> {
        self.with(timeout, |connection| pipeline.query(connection))
    }

    /// Runs a script by its digest, and by its text where the server does not know it (any more).
    ///
    /// # Errors
    /// See [`Class`].
    pub fn run<T: FromRedisValue>(&mut self, call: &Call<'_>, timeout: Duration) -> Result<T, Error> {
        self.with(timeout, |connection| {
            let answer = match call.command.query::<Value>(connection) {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    call.script.load(connection)?;
                    call.command.query(connection)
                }
                answer => answer,
            };
            answer.and_then(|value| redis::from_redis_value(value).map_err(RedisError::from))
        })
    }

    /// Does `ask`, and once more where a connection from before turns out to have been closed; for what may be repeated.
    ///
    /// # Errors
    /// See [`Class`].
    pub fn once_more<T>(&mut self, ask: impl Fn(&mut Link) -> Result<T, Error>) -> Result<T, Error> {
        let reused = self.connection.is_some();
        match ask(self) {
            Err(error) if reused && error.closed => ask(self),
            answer => answer,
        }
    }

    /// Drops the connection; the next command opens another.
    pub fn close(&mut self) {
        self.connection = None;
    }

    fn with<T>(
        &mut self,
        timeout: Duration,
        ask: impl FnOnce(&mut redis::Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        // A zero timeout is refused by the operating system.
        let timeout = timeout.max(Duration::from_millis(1));
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(
                open(&self.client, &self.name, timeout.min(CONNECT_TIMEOUT))
                    .map_err(|error| Error::new(&self.address, Stage::Connect, &error))?,
            ),
        };
        let answer = connection
            .set_read_timeout(Some(timeout))
            .and_then(|()| connection.set_write_timeout(Some(timeout)))
            .map_err(|error| Error::new(&self.address, Stage::Connect, &error))
            .and_then(|()| ask(connection).map_err(|error| Error::new(&self.address, Stage::Ask, &error)));
        if answer.as_ref().is_err_and(Error::leaves_a_doubt) {
            self.connection = None;
        }
        answer
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} at {})", self.name, self.address)
    }
}

/// Is a script with its keys and arguments, packed once so that it can be sent again unchanged.
pub struct Call<'a> {
    script: &'a redis::Script,
    command: redis::Cmd,
}

impl<'a> Call<'a> {
    /// Prepares a call of `script`.
    pub fn new<A: redis::ToRedisArgs>(
        script: &'a redis::Script,
        keys: &[Vec<u8>],
        arguments: impl IntoIterator<Item = A>,
    ) -> Call<'a> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(keys.len()).arg(keys);
        for argument in arguments {
            command.arg(argument);
        }
        Call { script, command }
    }
}

/// Says what kind of failure an error is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Not connected, or the server does not work yet (loading, busy, without its replicas): nothing was done.
    Unavailable,
    /// The command was sent and the answer lost: it may have been done.
    Unanswered,
    /// The server is a replica.
    ReadOnly,
    /// The server is at its memory bound.
    OutOfMemory,
    /// A key holds another type than ours.
    WrongType,
    /// Login or permission is missing.
    Auth,
    /// The address, the CA or the database number cannot be used.
    Configuration,
    /// The server cannot write to its disk and refuses writes (MISCONF).
    Disk,
    /// The server refuses the command for another reason.
    Refused,
    /// The answer is not one that we understand.
    Protocol,
}

impl Class {
    /// Returns its word as a label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Unavailable => "unavailable",
            Class::Unanswered => "unanswered",
            Class::ReadOnly => "read_only",
            Class::OutOfMemory => "out_of_memory",
            Class::WrongType => "wrong_type",
            Class::Auth => "auth",
            Class::Configuration => "configuration",
            Class::Disk => "disk",
            Class::Refused => "refused",
            Class::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Unavailable => "unavailable",
            Class::Unanswered => "sent, but no answer",
            Class::ReadOnly => "read-only replica",
            Class::OutOfMemory => "out of memory",
            Class::WrongType => "a key of another type",
            Class::Auth => "login or permission missing",
            Class::Configuration => "configuration",
            Class::Disk => "cannot write to its disk",
            Class::Refused => "refused",
            Class::Protocol => "answer not understood",
        })
    }
}

/// Is a failed command, classified; its text never holds a password or a message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("redis at {address}: {class}: {detail}")]
pub struct Error {
    /// Kind of failure.
    pub class: Class,
    /// Whether the same command may succeed later without anybody changing keys or configuration.
    pub transient: bool,
    /// The server had closed the connection.
    closed: bool,
    address: String,
    detail: String,
}

impl Error {
    fn new(address: &str, stage: Stage, error: &RedisError) -> Error {
        let class = classify(stage, error);
        Error {
            class,
            transient: match class {
                Class::Unavailable
                | Class::Unanswered
                | Class::ReadOnly
                | Class::OutOfMemory
                | Class::Disk => true,
                Class::WrongType | Class::Auth | Class::Configuration | Class::Refused | Class::Protocol => {
                    false
                }
            },
            closed: error.is_connection_dropped() && class == Class::Unanswered,
            address: address.to_owned(),
            detail: error.to_string(),
        }
    }

    /// A replica may have become one just now: the name may lead to the new master when it is looked up again.
    fn leaves_a_doubt(&self) -> bool {
        match self.class {
            Class::Unavailable
            | Class::Unanswered
            | Class::ReadOnly
            | Class::Auth
            | Class::Configuration
            | Class::Protocol => true,
            Class::OutOfMemory | Class::WrongType | Class::Disk | Class::Refused => false,
        }
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Connect,
    Ask,
}

fn classify(stage: Stage, error: &RedisError) -> Class {
    // The error of a pipeline tells no code of its own, only those of its commands.
    let errors = error.clone().into_server_errors();
    let code = errors.as_deref().and_then(<[_]>::first);
    match code.map(|(_, error)| error.code()) {
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "NOREPLICAS" | "CLUSTERDOWN" | "TRYAGAIN") => {
            return Class::Unavailable;
        }
        Some("READONLY") => return Class::ReadOnly,
        Some("OOM") => return Class::OutOfMemory,
        Some("WRONGTYPE") => return Class::WrongType,
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return Class::Auth,
        Some("MISCONF") => return Class::Disk,
        _ => {}
    }
    match (error.kind(), stage) {
        (ErrorKind::Io, Stage::Connect) => Class::Unavailable,
        (ErrorKind::Io, Stage::Ask) => Class::Unanswered,
        (ErrorKind::AuthenticationFailed, _) => Class::Auth,
        (ErrorKind::InvalidClientConfig, _) => Class::Configuration,
        // SELECT answers a missing login and an unknown number alike, as a general error with a text.
        (ErrorKind::Server(_), Stage::Connect) => match error.detail() {
            Some(detail) if detail.contains("Authentication required") => Class::Auth,
            _ => Class::Configuration,
        },
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => Class::Refused,
        _ => Class::Protocol,
    }
}

fn open(client: &redis::Client, name: &str, timeout: Duration) -> RedisResult<redis::Connection> {
    let mut connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    let named = redis::cmd("CLIENT")
        .arg("SETNAME")
        .arg(name)
        .exec(&mut connection);
    match named {
        // A name is for people who look at CLIENT LIST; a login that may not set it can do all the rest.
        Err(error) if error.code() == Some("NOPERM") => Ok(connection),
        Err(error) => Err(error),
        Ok(()) => Ok(connection),
    }
}

/// Client names hold no spaces or control characters.
fn client_name(role: &str, pod: &str) -> String {
    format!("job-worker:{role}:{pod}")
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_says(text: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        answer.unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn each_answer_has_its_class() {
        let table = [
            (
                "LOADING Redis is loading the dataset in memory",
                Class::Unavailable,
            ),
            ("BUSY Redis is busy running a script.", Class::Unavailable),
            ("MASTERDOWN Link with MASTER is down", Class::Unavailable),
            (
                "NOREPLICAS Not enough good replicas to write.",
                Class::Unavailable,
            ),
            (
                "READONLY You can't write against a read only replica.",
                Class::ReadOnly,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Class::OutOfMemory,
            ),
            ("MISCONF Redis is configured to save RDB snapshots", Class::Disk),
            ("WRONGTYPE Operation against a key", Class::WrongType),
            ("NOAUTH Authentication required.", Class::Auth),
            ("NOPERM this user has no permissions to run", Class::Auth),
            ("ERR unknown command", Class::Refused),
        ];
        for (text, class) in table {
            assert_eq!(classify(Stage::Ask, &server_says(text)), class, "{text}");
        }
        let connecting = [
            ("ERR DB index is out of range", Class::Configuration),
            (
                "LOADING Redis is loading the dataset in memory",
                Class::Unavailable,
            ),
        ];
        for (text, class) in connecting {
            assert_eq!(classify(Stage::Connect, &server_says(text)), class, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_server_and_the_class() {
        let error = Error::new("redis:6379", Stage::Ask, &server_says("OOM no memory"));
        assert_eq!(
            error.to_string(),
            "redis at redis:6379: out of memory: \"OOM\": no memory"
        );
    }
}
