"""Where the built binaries and the default cluster live: outside the tree, by version, shared by all clones."""

import os
import pathlib
import subprocess
import sys

KUBERNETES_VERSION = "1.36.3"
ETCD_VERSION = "3.6.16"


def directory():
    """JOB_WORKER_CACHE, else job-worker in the user's cache directory."""
    own = os.environ.get("JOB_WORKER_CACHE")
    if own:
        return pathlib.Path(own).absolute()
    user_cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(user_cache).absolute() / "job-worker"


def default_cluster():
    """The cluster that is meant when none is named."""
    return directory() / "run" / "default"


def build(kubernetes_version, etcd_version):
    """Builds what is missing; ends the program with the builder's exit code if that fails."""
    script = pathlib.Path(__file__).with_name("build")
    built = subprocess.run([script, directory(), kubernetes_version, etcd_version], check=False)
    if built.returncode != 0:
        sys.exit(built.returncode)


def binaries(kubernetes_version, etcd_version):
    """The path of each binary, by name; ends the program with what to do if one is missing."""
    kubernetes = directory() / "kubernetes" / kubernetes_version
    paths = {name: kubernetes / name for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")}
    paths["etcd"] = directory() / "etcd" / etcd_version / "etcd"
    missing = sorted(name for name, path in paths.items() if not os.access(path, os.X_OK))
    if missing:
        sys.exit(
            f"cluster: {', '.join(missing)} not built yet; run once:"
            f" scripts/cluster build --version {kubernetes_version} --etcd {etcd_version}"
        )
    return {name: str(path) for name, path in paths.items()}
