"""The node k8s-node-1: containerd, runc, CNI and kubelet with real containers. Needs root."""

import json
import os
import pathlib
import random
import shutil
import socket
import sys

import images
import kubeconfigs
import processes
from api import Api, Refused
from pki import Pki

NAME = "k8s-node-1"
CNI_PLUGINS = "/usr/lib/cni"
# Debian's package of each command that has to be there.
NEEDED = {
    "containerd": "containerd",
    "runc": "runc",
    f"{CNI_PLUGINS}/ptp": "containernetworking-plugins",
}

CONTAINERD_CONFIG = """version = 2
root = "{node}/containerd-root"
state = "{node}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{node}/registries"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{node}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{node}/runc"
"""

# For every registry host: no image is looked for outside this machine.
REGISTRY_HOSTS = """server = "{url}"
[host."{url}"]
  capabilities = ["pull", "resolve"]
"""


def missing_packages():
    """The Debian packages that this machine lacks for a node."""
    missing = [package for command, package in NEEDED.items() if shutil.which(command) is None]
    if not images.busybox_is_static():
        missing.append("busybox-static")
    return missing


def check_root():
    """Ends the program if this user cannot run a node."""
    if os.geteuid() != 0:
        sys.exit("cluster: a node needs root; without one: scripts/cluster up --no-node (pods stay Pending)")


def up(environment, kubelet, snapshotter):
    """Starts the node and waits until it is Ready."""
    facts = environment.facts
    node = environment.directory / "node"
    node.mkdir()
    facts["ports"]["registry"], facts["ports"]["kubelet"] = processes.free_ports(2)
    facts["node"] = NAME
    # A socket's path has at most 107 bytes, which a directory of the caller may exceed.
    facts["containerd_socket"] = f"/run/job-worker-{random.randrange(16**8):08x}.sock"
    environment.save()

    start_registry(environment, node)
    start_containerd(environment, node, snapshotter)
    start_kubelet(environment, node, kubelet)
    api = Api(facts)
    processes.wait_until(environment, "kubelet", f"node {NAME} is Ready", lambda: ready(api), 90)


def ready(api):
    """Whether the node says that it is Ready."""
    try:
        conditions = api.get(f"/api/v1/nodes/{NAME}")["status"].get("conditions", [])
    except (Refused, OSError):
        return False
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def start_registry(environment, node):
    """Makes the images and serves them on the loopback address."""
    images.write(node / "images")
    port = environment.facts["ports"]["registry"]
    script = pathlib.Path(__file__).with_name("registry.py")
    argv = [sys.executable, "-B", str(script), str(node / "images"), str(port)]
    processes.start(environment, "registry", argv)
    address = ("127.0.0.1", port)
    processes.wait_until(environment, "registry", "it listens", lambda: accepts(socket.AF_INET, address), 30)


def start_containerd(environment, node, snapshotter):
    """Starts a containerd of our own beside any that the machine has."""
    address = environment.facts["containerd_socket"]
    url = f"http://127.0.0.1:{environment.facts['ports']['registry']}"
    hosts = node / "registries" / "_default"
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(REGISTRY_HOSTS.format(url=url), encoding="utf-8")
    network = {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(node / "ipam"),
                    "subnet": pod_subnet(),
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    (node / "cni").mkdir()
    (node / "cni" / "10-pods.conflist").write_text(json.dumps(network), encoding="utf-8")
    config = CONTAINERD_CONFIG.format(
        node=node,
        socket=address,
        pause=images.PAUSE_IMAGE,
        cni_plugins=CNI_PLUGINS,
        snapshotter=snapshotter,
    )
    (node / "containerd.toml").write_text(config, encoding="utf-8")
    processes.start(environment, "containerd", ["containerd", "--config", str(node / "containerd.toml")])
    processes.wait_until(environment, "containerd", "it listens", lambda: accepts(socket.AF_UNIX, address), 30)


def start_kubelet(environment, node, kubelet):
    """Starts the kubelet, configured for machines with version 1 or version 2 of cgroups."""
    facts = environment.facts
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{facts['containerd_socket']}",
        "address": "127.0.0.1",
        "port": facts["ports"]["kubelet"],
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": facts["ca"]},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "registerNode": True,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "maxPods": 110,
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "resolvConf": "",
        "clusterDNS": ["10.0.0.10"],
        # A full disk or little memory of the machine is not what the tests are about.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": str(node / "pod-logs"),
    }
    (node / "kubelet.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    pki = Pki(environment.directory / "pki")
    kubeconfig = kubeconfigs.with_certificate(environment.path("node.kubeconfig"), facts["server"], pki, "node")
    argv = [
        kubelet,
        f"--config={node}/kubelet.json",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={node}/kubelet",
        f"--hostname-override={NAME}",
        "--v=1",
    ]
    processes.start(environment, "kubelet", argv)


def pod_subnet():
    """A /22 that no route of this machine names: two clusters do not give out the same addresses."""
    used = set()
    for line in pathlib.Path("/proc/net/route").read_text(encoding="utf-8").splitlines()[1:]:
        # The kernel writes the address as a little-endian number.
        first, second, third, _ = bytes.fromhex(line.split()[1])[::-1]
        used.add((first, second, third // 4 * 4))
    while True:
        second = random.randrange(64, 255)
        third = random.randrange(0, 256, 4)
        if (10, second, third) not in used:
            return f"10.{second}.{third}.0/22"


def accepts(family, address):
    """Whether somebody accepts connections at an address."""
    with socket.socket(family) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
