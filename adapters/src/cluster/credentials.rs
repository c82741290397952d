//! How the API server is found, and as whom it is asked.

use kube::config::{Cluster, KubeConfigOptions, Kubeconfig};
use std::path::PathBuf;

/// The variable that every pod has.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Why no API server is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod's own ServiceAccount cannot be used.
    #[error("the in-cluster configuration cannot be used: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// Outside a cluster there has to be a kubeconfig.
    #[error("no cluster: outside a pod, KUBECONFIG or its default path has to name one: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// No runtime to read it with.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Finds the API server: by the environment of a pod, outside by `KUBECONFIG` or its default path.
///
/// Files that it names for token and authority are read again when they may have changed: the token within a minute, and at
/// once where it is refused; the authority within a minute.
///
/// # Errors
/// Nothing that can be used was found. Nothing is connected.
pub fn find() -> Result<kube::Config, Error> {
    if std::env::var_os(IN_CLUSTER).is_some() {
        return Ok(kube::Config::incluster()?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let kubeconfig = Kubeconfig::read()?;
    let authority = authority_file(&kubeconfig);
    let options = KubeConfigOptions::default();
    let mut config = runtime.block_on(kube::Config::from_custom_kubeconfig(kubeconfig, &options))?;
    config.root_cert_file = authority;
    Ok(config)
}

/// The file of the authority that the current context trusts, where it is not in the kubeconfig itself.
fn authority_file(kubeconfig: &Kubeconfig) -> Option<PathBuf> {
    let name = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == *name)?;
    let name = &context.context.as_ref()?.cluster;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == *name)?;
    match cluster.cluster.as_ref()? {
        Cluster {
            certificate_authority: Some(file),
            certificate_authority_data: None,
            ..
        } => Some(PathBuf::from(file)),
        Cluster { .. } => None,
    }
}
