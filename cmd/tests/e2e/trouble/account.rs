//! How a replica knows its API server: a kubeconfig that names a relay, and files for token and authority that can be replaced.

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::kubernetes::{Access, Cluster, WORKER_NAMESPACE};
use serde_json::json;
use tempfile::TempDir;

/// The files of one replica.
#[derive(Debug)]
pub(super) struct Account {
    directory: TempDir,
}

impl Account {
    /// Writes the files: a token of its own, by which the audit log tells this replica from others, bound to a Secret of the name
    /// `bound_to`.
    pub(super) fn new(cluster: &Cluster, access: Access, server: &str, bound_to: &str) -> Account {
        let account = Account {
            directory: tempfile::tempdir().expect("a directory can be made"),
        };
        account.set_token(&cluster.token(service_account(access), bound_to));
        account.set_authority(&cluster.facts.ca);
        account.set_server(server, None);
        account
    }

    /// The kubeconfig.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// Replaces the token in one step.
    pub(super) fn set_token(&self, token: &str) {
        self.replace("token", token.as_bytes());
    }

    /// Replaces the authority in one step by that of a PEM file.
    pub(super) fn set_authority(&self, pem: &Path) {
        self.replace("ca.crt", &fs::read(pem).expect("the authority can be read"));
    }

    /// Writes the kubeconfig; `name`: whose certificate the server has to show, where it is not that of its address.
    pub(super) fn set_server(&self, server: &str, name: Option<&str>) {
        let mut at = json!({"server": server, "certificate-authority": self.file("ca.crt")});
        if let Some(name) = name {
            at["tls-server-name"] = name.into();
        }
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": at}],
            "users": [{"name": "test", "user": {"tokenFile": self.file("token")}}],
            "contexts": [{
                "name": "test",
                "context": {"cluster": "test", "user": "test", "namespace": WORKER_NAMESPACE},
            }],
        });
        self.replace("kubeconfig", config.to_string().as_bytes());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn replace(&self, name: &str, content: &[u8]) {
        let next = self.file("next");
        fs::write(&next, content).expect("a file can be written");
        fs::rename(next, self.file(name)).expect("a file can be renamed");
    }
}

/// The ServiceAccount with these permissions.
pub(super) fn service_account(access: Access) -> &'static str {
    match access {
        Access::Patch => "job-worker-patch-sa",
        Access::Needed | Access::None => "job-worker-sa",
    }
}
