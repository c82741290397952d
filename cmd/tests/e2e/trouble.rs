//! Trouble with the API server: what happens to tasks before, during and after it, on a real control plane.
//!
//!     scripts/trouble                    # all, on a cluster of their own
//!     scripts/trouble server::absence    # some
//!
//! `server` harms the API server itself, so that its tests run one after the other; those of `beside` and `edits` harm no one
//! else and run at once. Each is judged from the callbacks, the Jobs that are there, the audit log, and the connections that were
//! tried.

mod account;
mod beside;
mod edits;
mod judge;
mod relay;
mod server;
mod stage;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use fixtures::kubernetes::Cluster;

/// The variable that names the directory of a cluster that may be harmed.
const DIRECTORY: &str = "JOB_WORKER_TROUBLE";

static LENT: LazyLock<Result<Arc<Cluster>, String>> = LazyLock::new(|| {
    let Some(directory) = std::env::var_os(DIRECTORY).filter(|value| !value.is_empty()) else {
        return Err(format!(
            "{DIRECTORY} is not set: run scripts/trouble, or set it to the directory of a cluster that may be harmed"
        ));
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cluster");
    let lent = Cluster::lent(&script, Path::new(&directory));
    lent.map(Arc::new).map_err(|error| error.to_string())
});

/// The cluster that may be harmed.
fn cluster() -> Arc<Cluster> {
    match &*LENT {
        Ok(cluster) => Arc::clone(cluster),
        Err(error) => panic!("{error}"),
    }
}
