//! What a pool is started with, and why it may not start.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::secrets::Fault;

/// Threads that deliver, and so the most attempts at once.
pub const THREADS: usize = 32;
/// Deliveries that wait for a thread.
pub const QUEUE: usize = 256;
/// The longest that a look-up, and that a connect with its TLS handshake, may take.
pub const CONNECT: Duration = Duration::from_secs(5);
/// The longest that one attempt may take, from its beginning to the end of the answer's head.
pub const TOTAL: Duration = Duration::from_secs(15);

/// A monotonic clock in milliseconds: the one that [`super::Delivery::begin_by`] is read from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// Makes a clock of a function.
    #[must_use]
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now_ms))
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What a pool is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Judges the addresses (`WEBHOOK_DENY_CIDRS`, `WEBHOOK_ALLOW_CIDRS`).
    pub guard: Guard,
    /// PEM of certificate authorities trusted beside the public ones (`WEBHOOK_CA_FILE`).
    pub ca_file: Option<PathBuf>,
    /// File with the signing secrets (`WEBHOOK_SIGNING_SECRET_FILE`).
    pub secret_file: Option<PathBuf>,
    /// The clock of the lease deadline.
    pub clock: Clock,
    /// See [`THREADS`].
    pub threads: usize,
    /// See [`QUEUE`].
    pub queue: usize,
    /// See [`CONNECT`].
    pub connect: Duration,
    /// See [`TOTAL`].
    pub total: Duration,
}

impl Settings {
    /// Makes the settings of a daemon without private CA and without secrets.
    #[must_use]
    pub fn new(guard: Guard, clock: Clock) -> Settings {
        Settings {
            guard,
            ca_file: None,
            secret_file: None,
            clock,
            threads: THREADS,
            queue: QUEUE,
            connect: CONNECT,
            total: TOTAL,
        }
    }
}

/// Why a pool could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA file holds no certificate that can be trusted.
    #[error("{} holds no usable PEM certificate: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The secret file holds no usable secrets.
    #[error("{} holds no usable secrets", path.display())]
    Secrets {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Fault,
    },
    /// A thread could not be started.
    #[error("a delivery thread could not be started")]
    Thread(#[source] io::Error),
}
