//! `job-worker render`: the Job that a message becomes, without a cluster and without a queue.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use adapters::clock::Clock;
use adapters::cluster::manifest::{self, Identity, Ttl};
use adapters::cluster::names::Instance;
use adapters::message::{Parsed, Refused, Warning, parse};
use k8s_openapi::api::batch::v1::Job;

use crate::config::Naming;
use crate::exit::{EX_CONFIG, EX_DATAERR, EX_NOINPUT};
use crate::print;
use crate::submit::{lines, read};

/// What to render, and for which installation of the worker.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file with the message, `-` for standard input.
    file: PathBuf,
    /// Namespace of the worker, a part of the Job's name [default: POD_NAMESPACE].
    #[arg(long, value_name = "NAMESPACE")]
    instance_namespace: Option<OsString>,
    /// Name of the worker's Lease, a part of the Job's name [default: LEADER_ELECTION_LOCK_NAME, else job-worker-lock].
    #[arg(long, value_name = "NAME")]
    lock_name: Option<OsString>,
    /// Renders the Job of a worker that may `patch` Jobs: it sets the TTL only after the verdict.
    #[arg(long)]
    patch: bool,
    /// Time that the annotation job-worker/received-at shall hold, in ms since 1970 [default: now].
    #[arg(long, value_name = "MS")]
    received_at: Option<u64>,
}

/// Why there is no Job to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Configuration(String),
    #[error("{}: {error}", .file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{}", lines(&.0.faults))]
    Refused(Box<Refused>),
    #[error("the Job as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Failure::Configuration(_) => EX_CONFIG,
            Failure::Unreadable { .. } => EX_NOINPUT,
            Failure::Refused(_) | Failure::Yaml(_) => EX_DATAERR,
        }
    }
}

/// Prints the Job as YAML, or every fault of the message.
pub(crate) fn render(arguments: &Arguments) -> ExitCode {
    match yaml(arguments) {
        Ok((yaml, warnings)) => {
            for warning in &warnings {
                print::to_stderr(&format!("warning: {warning}"));
            }
            print::to_stdout(&yaml, ExitCode::SUCCESS)
        }
        Err(failure) => {
            if let Failure::Refused(refused) = &failure {
                for warning in &refused.warnings {
                    print::to_stderr(&format!("warning: {warning}"));
                }
            }
            print::to_stderr(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

fn yaml(arguments: &Arguments) -> Result<(String, Vec<Warning>), Failure> {
    let naming =
        Naming::load(environment(arguments)).map_err(|faults| Failure::Configuration(lines(&faults)))?;
    let raw = read(&arguments.file).map_err(|error| Failure::Unreadable {
        file: arguments.file.clone(),
        error,
    })?;
    let parsed = parse(&raw).map_err(|refused| Failure::Refused(Box::new(refused)))?;
    if let Some(listed) = &naming.watch_namespaces
        && !listed.contains(&parsed.message.job.namespace)
    {
        let refused = Refused::not_listed(&parsed.message, listed);
        return Err(Failure::Refused(Box::new(refused)));
    }
    let job = job(&parsed, naming, arguments);
    Ok((serde_saphyr::to_string(&job)?, parsed.warnings))
}

/// The environment with the flags above it; an empty variable counts as unset.
fn environment(arguments: &Arguments) -> impl Iterator<Item = (OsString, OsString)> {
    let flags = [
        ("POD_NAMESPACE", &arguments.instance_namespace),
        ("LEADER_ELECTION_LOCK_NAME", &arguments.lock_name),
    ];
    let flags: Vec<_> = flags
        .into_iter()
        .filter_map(|(name, value)| Some((OsString::from(name), value.clone()?)))
        .collect();
    std::env::vars_os().chain(flags)
}

fn job(parsed: &Parsed, naming: Naming, arguments: &Arguments) -> Job {
    let instance = Instance {
        namespace: naming.pod_namespace,
        lock_name: naming.lock_name,
    };
    let identity = Identity {
        instance: &instance,
        digest: &parsed.digest,
        received_at_ms: arguments.received_at.unwrap_or_else(|| Clock.now_ms()),
        start_timeout_seconds: u32::try_from(naming.pod_start_timeout.as_secs()).unwrap_or(u32::MAX),
        ttl: if arguments.patch {
            Ttl::AfterVerdict
        } else {
            Ttl::AtCreation
        },
    };
    manifest::job(&parsed.message, &identity)
}
