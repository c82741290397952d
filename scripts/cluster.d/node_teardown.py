"""Ends a node and takes away all that it leaves in the machine, whatever state it was in: containers, shims, network
namespaces, mounts, cgroups and sockets. Needs neither a running API server nor a running containerd."""

import os
import pathlib
import re
import signal
import subprocess
import time

import processes

CGROUPS = pathlib.Path("/sys/fs/cgroup")
OWN_COMMANDS = ("containerd-shim-runc-v2", "runc")


def down(environment):
    """Ends the node; nothing happens where there was none."""
    if "containerd_socket" not in environment.facts:
        return
    for name in ("kubelet", "containerd", "registry"):
        processes.stop(environment, name, first=signal.SIGKILL)
    sockets = shim_sockets(environment)
    cgroups = container_cgroups(environment)
    kill_containers(environment, cgroups)
    unmount_all(environment.directory)
    for cgroup in cgroups:
        remove_cgroup(cgroup)
    address = environment.facts["containerd_socket"]
    for path in (address, f"{address}.ttrpc", *sockets):
        pathlib.Path(path).unlink(missing_ok=True)


def kill_containers(environment, cgroups):
    """Kills what runs in the containers, and the shims, until none is left."""
    deadline = time.monotonic() + 15
    while victims := container_processes(environment, cgroups):
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            print(f"cluster: processes that do not end: {sorted(victims)}")
            return
        time.sleep(0.05)


def container_processes(environment, cgroups):
    """The pids in the containers' cgroups, and those of the shims and runcs of our containerd."""
    pids = set()
    for cgroup in cgroups:
        for path in cgroup.rglob("cgroup.procs"):
            pids.update(int(line) for line in path.read_text(encoding="utf-8").split())
    marks = (environment.facts["containerd_socket"].encode(), environment.path("node").encode() + b"/")
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        command = os.path.basename(argv.partition(b"\0")[0]).decode(errors="replace")
        if command in OWN_COMMANDS and any(mark in argv for mark in marks):
            pids.add(int(entry.name))
    return {pid for pid in pids if processes.start_time(pid) is not None}


def containers(environment):
    """The directory of each container that containerd has not deleted; its name is the container's id."""
    tasks = environment.directory / "node" / "containerd-state" / "io.containerd.runtime.v2.task"
    return list(tasks.glob("k8s.io/*"))


def container_cgroups(environment):
    """The cgroup of each container in each hierarchy: one with version 2, one per controller with version 1."""
    found = []
    for container in containers(environment):
        name = f"k8s.io/{container.name}"
        found.extend(path for path in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")) if path.is_dir())
    return found


def shim_sockets(environment):
    """The sockets of the shims, which lie outside our directory."""
    files = (container / "address" for container in containers(environment))
    addresses = (file.read_text(encoding="utf-8").strip() for file in files if file.is_file())
    return [address.removeprefix("unix://") for address in addresses]


def unmount_all(directory):
    """Unmounts everything below a directory, the deepest first. A network namespace ends with its mount."""
    points = []
    for line in pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        point = unescaped(line.split()[1])
        if point.startswith(f"{directory}/"):
            points.append(point)
    for point in reversed(points):
        subprocess.run(["umount", "--lazy", point], check=True)


def unescaped(path):
    """A path as /proc writes it, with octal escapes for blanks."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), path)


def remove_cgroup(cgroup):
    """Removes a cgroup, the deepest first. The kernel frees one a moment after its last process has ended."""
    deadline = time.monotonic() + 5
    inner = (path for path in cgroup.rglob("*") if path.is_dir())
    for path in sorted((cgroup, *inner), reverse=True):
        while True:
            try:
                path.rmdir()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    print(f"cluster: a cgroup is left: {error}")
                    break
                time.sleep(0.02)
