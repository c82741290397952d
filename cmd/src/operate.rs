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
pub(crate) mod list;
mod order;
mod output;
pub(crate) mod pause;
mod signed;
mod table;
pub(crate) mod top;
pub(crate) mod why;

use std::process::ExitCode;
use std::time::Duration;

use adapters::connection::Target;
use adapters::store::read::Place;
use adapters::view::View;

use crate::config::{Queue, Store};
use crate::exit::{EX_CONFIG, EX_DATAERR, EX_OK, EX_SOFTWARE, EX_TEMPFAIL, EX_UNAVAILABLE, FAILURE};
use crate::print;
use crate::run::target;
use crate::submit::lines;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Configuration(String),
    #[error("{0}")]
    Redis(#[from] adapters::connection::Error),
    #[error("{0}")]
    NotFound(String),
    #[error("the leader refuses the order: {0}")]
    Refused(String),
    #[error("no leader answered within {} s; the order was taken back (does a replica lead? `job-worker top`)", .0.as_secs())]
    NoLeader(Duration),
    #[error("a leader has taken the order, but its answer is not known; look before you give it again")]
    Unanswered,
    #[error("output: {0}")]
    Output(#[from] output::Error),
}

impl Failure {
    const fn code(&self) -> u8 {
        match self {
            Self::Configuration(_) => EX_CONFIG,
            Self::Redis(_) => EX_UNAVAILABLE,
            Self::NotFound(_) => FAILURE,
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

fn view(role: &str) -> Result<View, Failure> {
    Ok(View::new(&place()?, role)?)
}
