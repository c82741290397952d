"""What harms a running cluster: for tests of those who have to live with it."""

import os
import signal
import sys

import control_plane
import etcd
import processes
from pki import Pki

# All that keeps what it has read of the API server, in the order in which it is ended.
READERS = ("kubelet", "kube-scheduler", "kube-controller-manager")


def compact(environment):
    """Compacts etcd behind a stopped API server: no watch can be resumed once it is back."""
    if processes.alive(environment, "kube-apiserver"):
        sys.exit("cluster: the API server runs, and would answer from its own memory: stop-apiserver first")
    print(f"cluster: etcd is compacted up to revision {etcd.compact(environment)}")


def save(environment):
    """Saves what the API server keeps."""
    etcd.save(environment)


def restore(environment):
    """Puts what was saved back, as from a backup: all that reads the API server is started again, as the manual asks."""
    if not os.path.exists(environment.path("saved")):
        sys.exit("cluster: nothing was saved: scripts/cluster save")
    readers = [name for name in READERS if processes.alive(environment, name)]
    for name in (*readers, "kube-apiserver", "etcd"):
        processes.stop(environment, name, first=signal.SIGKILL)
    etcd.restore(environment)
    control_plane.start_apiserver(environment)
    for name in readers:
        processes.again(environment, name)


def rotate(environment):
    """Replaces certificate and authority behind the name `rotated_name`; the API server reads them by itself."""
    Pki(environment.directory / "pki").rotate()
