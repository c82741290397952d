//! The cluster of a run: the embedded one, behind a relay that can break its replies, or a real one that runs already.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fixtures::embedded::{Deed, Embedded, Identity, Options, Resource};
use fixtures::kubernetes::{Access, Cluster, WORKER_NAMESPACE};
use serde_json::Value;

use crate::proxy::Proxy;
use crate::record::Record;

const TOKEN: &str = "worker";

/// Where the Jobs run.
pub(crate) enum Place {
    Embedded(Box<Local>),
    Real(Box<Real>),
}

/// The embedded cluster.
pub(crate) struct Local {
    embedded: Embedded,
    proxy: Proxy,
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
}

/// A cluster of `scripts/cluster`.
pub(crate) struct Real {
    cluster: Cluster,
    directory: PathBuf,
    kubeconfig: PathBuf,
}

impl Place {
    /// Starts an embedded cluster with this namespace.
    pub(crate) fn embedded(namespace: &str, access: Access) -> io::Result<Place> {
        let account = format!("system:serviceaccount:{WORKER_NAMESPACE}:job-worker-sa");
        let identity = Identity::worker(&account, TOKEN, None);
        let embedded = Embedded::start(Options {
            namespaces: vec![namespace.to_owned(), WORKER_NAMESPACE.to_owned()],
            identities: vec![match access {
                Access::Patch => identity.and_patch(None),
                Access::Needed | Access::None => identity,
            }],
            events_max: 0,
            ..Options::default()
        })?;
        let port = embedded
            .url()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let proxy = Proxy::start(port.ok_or_else(|| io::Error::other("the cluster's URL has no port"))?)?;
        let directory = tempfile::tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        embedded.kubeconfig_as(TOKEN, namespace, &kubeconfig)?;
        let text = fs::read_to_string(&kubeconfig)?;
        fs::write(
            &kubeconfig,
            text.replace(&embedded.url(), &format!("http://{}", proxy.address())),
        )?;
        Ok(Place::Embedded(Box::new(Local {
            embedded,
            proxy,
            kubeconfig,
            _directory: directory,
        })))
    }

    /// Opens the cluster of a directory and makes the namespace there.
    pub(crate) fn real(directory: &Path, namespace: &str, access: Access) -> io::Result<Place> {
        let cluster = Cluster::open(directory)?;
        cluster.create_namespace(namespace, access);
        let kubeconfig = match access {
            Access::Patch => &cluster.facts.worker_patch_kubeconfig,
            Access::Needed | Access::None => &cluster.facts.worker_kubeconfig,
        };
        Ok(Place::Real(Box::new(Real {
            kubeconfig: kubeconfig.clone(),
            cluster,
            directory: directory.to_owned(),
        })))
    }

    /// Says whether pods play what the name of their image says.
    pub(crate) const fn is_scripted(&self) -> bool {
        matches!(self, Place::Embedded(_))
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        match self {
            Place::Embedded(local) => &local.kubeconfig,
            Place::Real(real) => &real.kubeconfig,
        }
    }

    /// Creates a Job of somebody else.
    pub(crate) fn create_job(&self, namespace: &str, job: &Value) -> io::Result<()> {
        match self {
            Place::Embedded(local) => local
                .embedded
                .create(Resource::Job, namespace, job.clone())
                .map(drop)
                .map_err(io::Error::other),
            Place::Real(real) => {
                let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
                real.cluster.create(&path, job);
                Ok(())
            }
        }
    }

    /// The Lease of an installation; null where there is none.
    pub(crate) fn lease(&self, name: &str) -> Value {
        let lease = match self {
            Place::Embedded(local) => local.embedded.get(Resource::Lease, WORKER_NAMESPACE, name),
            Place::Real(real) => real.cluster.get(&format!(
                "/apis/coordination.k8s.io/v1/namespaces/{WORKER_NAMESPACE}/leases/{name}"
            )),
        };
        lease.unwrap_or_default()
    }

    /// Takes a look at the Jobs and pods of a namespace.
    pub(crate) fn look(&self, namespace: &str, record: &mut Record) {
        let (jobs, pods) = match self {
            Place::Embedded(local) => (
                local.embedded.list(Resource::Job, Some(namespace)),
                local.embedded.list(Resource::Pod, Some(namespace)),
            ),
            Place::Real(real) => {
                let path = format!("/api/v1/namespaces/{namespace}/pods");
                let pods = real.cluster.get(&path).unwrap_or_default();
                (
                    real.cluster.jobs(namespace),
                    pods["items"].as_array().cloned().unwrap_or_default(),
                )
            }
        };
        record.note(&jobs, &pods);
    }

    /// How many requests of the worker have deleted or changed a Job; changes by `patch` are allowed where it may.
    pub(crate) fn touched(&self, namespace: &str, access: Access) -> u64 {
        let changes = |verb: &str| match verb {
            "create" | "get" | "list" | "watch" => false,
            "patch" => access != Access::Patch,
            _ => true,
        };
        match self {
            Place::Embedded(local) => {
                let requests = local.embedded.requests();
                let changing = requests
                    .iter()
                    .filter(|((verb, plural), _)| plural.starts_with("jobs") && changes(verb));
                changing.map(|(_, count)| count).sum()
            }
            Place::Real(real) => {
                let entries = real.cluster.audit(namespace);
                let changing = entries.iter().filter(|entry| {
                    entry.user.starts_with("system:serviceaccount:job-worker:")
                        && entry.namespace == namespace
                        && entry.resource.starts_with("jobs")
                        && changes(&entry.verb)
                });
                changing.count() as u64
            }
        }
    }

    /// How many creates of Jobs were let through.
    pub(crate) fn creates(&self, namespace: &str) -> u64 {
        match self {
            Place::Embedded(local) => {
                let key = ("create".to_owned(), "jobs".to_owned());
                local.embedded.requests().get(&key).copied().unwrap_or_default()
            }
            Place::Real(real) => {
                let entries = real.cluster.audit(namespace);
                let creates = entries
                    .iter()
                    .filter(|entry| entry.verb == "create" && entry.resource == "jobs");
                creates.count() as u64
            }
        }
    }

    /// The API server is away for a while: killed, or silent with all watches broken.
    pub(crate) fn silence(&self, pause: Duration) -> io::Result<()> {
        match self {
            Place::Embedded(local) => {
                local.embedded.faults().drop_watches();
                local.embedded.faults().pause();
                thread::sleep(pause);
                local.embedded.faults().resume();
                Ok(())
            }
            Place::Real(real) => {
                real.script("stop-apiserver")?;
                thread::sleep(pause);
                real.script("start-apiserver")
            }
        }
    }

    /// Breaks a reply of the API server after so many bytes; nothing where the cluster is a real one.
    pub(crate) fn cut_after(&self, bytes: u32) {
        if let Place::Embedded(local) = self {
            local.proxy.cut_after(bytes);
        }
    }

    /// The next creates are done and not answered, and all watches are behind; nothing where the cluster is a real one.
    pub(crate) fn unhear_creates(&self, times: usize) {
        if let Place::Embedded(local) = self {
            let faults = local.embedded.faults();
            faults.next("create", Resource::Job, times, Deed::DoneThenReset);
            faults.next("watch", Resource::Job, 1, Deed::Expired);
            faults.drop_watches();
        }
    }

    /// How many replies of the API server were broken.
    pub(crate) fn cuts(&self) -> usize {
        match self {
            Place::Embedded(local) => local.proxy.cuts(),
            Place::Real(_) => 0,
        }
    }

    /// Removes what a run has left on a cluster of others.
    pub(crate) fn clear(&self, namespace: &str) {
        if let Place::Real(real) = self {
            real.cluster.delete(&format!("/api/v1/namespaces/{namespace}"));
        }
    }
}

impl Real {
    fn script(&self, verb: &str) -> io::Result<()> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/cluster");
        let status = Command::new(script)
            .arg(verb)
            .arg(&self.directory)
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "scripts/cluster {verb} ended with {status}"
            )))
        }
    }
}
