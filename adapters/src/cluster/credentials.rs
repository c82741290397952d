//! How the API server is found, and as whom it is asked.

use kube::config::KubeConfigOptions;

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
/// # Errors
/// Nothing that can be used was found. Nothing is connected.
pub fn find() -> Result<kube::Config, Error> {
    if std::env::var_os(IN_CLUSTER).is_some() {
        return Ok(kube::Config::incluster()?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(kube::Config::from_kubeconfig(&KubeConfigOptions::default()))?)
}
