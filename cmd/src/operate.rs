//! The operator's commands: look at tasks, find out why, and give orders to the leader.
//!
//! Those that look read Redis alone, so they need no leader and a replica will do. They read only the variables that
//! name the store, and where needed the queue.

mod age;
pub(crate) mod callbacks;
pub(crate) mod cancel;
pub(crate) mod dead;
pub(crate) mod events;
pub(crate) mod get;
mod letters;
pub(crate) mod list;
mod order;
mod output;
pub(crate) mod pause;
mod resend;
mod signed;
mod table;
pub(crate) mod top;
pub(crate) mod why;

use std::process::ExitCode;
use std::time::Duration;

use adapters::connection::{Class, Error as Redis, Target};
use adapters::store::read::Place;
use adapters::view::View;

use crate::config::{Queue, Store};
use crate::exit::{
    EX_CONFIG, EX_DATAERR, EX_OK, EX_SOFTWARE, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, FAILURE,
};
use crate::print;
use crate::run::target;
use crate::submit::lines;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Configuration(String),
    #[error("{0}")]
    Redis(Redis),
    #[error(
        "{0}\na replica will do for looking; an order has to go to the master: name it in CACHE_REDIS_ENDPOINT"
    )]
    Replica(Redis),
    #[error("{0}")]
    NotFound(String),
    #[error("the leader refuses the order: {0}")]
    Refused(String),
    #[error("no leader answered within {} s; the order was taken back (does a replica lead? `job-worker top`)", .0.as_secs())]
    NoLeader(Duration),
    #[error("a leader has taken the order, but its answer is not known; look before you give it again")]
    Unanswered,
    #[error("{0} Say --yes to do it without being asked")]
    Unconfirmed(String),
    #[error("nothing was done")]
    Declined,
    #[error("output: {0}")]
    Output(#[from] output::Error),
}

impl From<Redis> for Failure {
    fn from(error: Redis) -> Self {
        match error.class {
            Class::ReadOnly => Self::Replica(error),
            Class::Unavailable
            | Class::Unanswered
            | Class::OutOfMemory
            | Class::WrongType
            | Class::Auth
            | Class::Configuration
            | Class::Disk
            | Class::Refused
            | Class::Protocol => Self::Redis(error),
        }
    }
}

impl Failure {
    const fn code(&self) -> u8 {
        match self {
            Self::Configuration(_) => EX_CONFIG,
            Self::Redis(_) | Self::Replica(_) => EX_UNAVAILABLE,
            Self::NotFound(_) | Self::Declined => FAILURE,
            Self::Unconfirmed(_) => EX_USAGE,
            Self::Refused(_) => EX_DATAERR,
            Self::NoLeader(_) | Self::Unanswered => EX_TEMPFAIL,
            // Nobody reads on, which is no fault.
            Self::Output(output::Error::Closed) => EX_OK,
            Self::Output(output::Error::Json(_) | output::Error::Yaml(_)) => EX_SOFTWARE,
        }
    }
}

/// Says what became of a command.
fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Output(output::Error::Closed)) {
                print::to_stderr(&failure.to_string());
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Finds the store by the environment.
fn place() -> Result<Place, Failure> {
    let store = Store::load(std::env::vars_os()).map_err(|faults| Failure::Configuration(lines(&faults)))?;
    Ok(Place {
        target: target(&store.server),
        prefix: store.key_prefix,
        lock: store.lock_name,
    })
}

/// Finds the queue by the environment.
fn queue() -> Result<(Target, String), Failure> {
    let Queue::Redis { server, key_prefix } =
        Queue::load(std::env::vars_os()).map_err(|faults| Failure::Configuration(lines(&faults)))?;
    Ok((target(&server), key_prefix))
}

/// Where a store is empty because it is another one.
const UNCLAIMED: &str = "no worker has ever claimed this store: are CACHE_REDIS_ENDPOINT, CACHE_REDIS_DB, \
                         CACHE_JOB_KEY_PREFIX and LEADER_ELECTION_LOCK_NAME those of the worker?";

/// Says that nothing was found, and why it may be so.
fn nothing(view: &mut View, what: &str) -> Result<(), Failure> {
    print::to_stderr(&missing(view, what)?);
    Ok(())
}

/// Returns what was not found, and why it may be so.
fn missing(view: &mut View, what: &str) -> Result<String, Failure> {
    Ok(match view.leader()? {
        Some(_) => what.to_owned(),
        None => format!("{what}\n{UNCLAIMED}"),
    })
}

fn view(role: &str) -> Result<View, Failure> {
    Ok(View::new(&place()?, role)?)
}
