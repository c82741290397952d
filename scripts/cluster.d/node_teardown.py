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
    kill_containers(environment)
    unmount_all(environment.directory)
    remove_cgroups(environment.facts["cgroup"])
    address = environment.facts["containerd_socket"]
    for path in (address, f"{address}.ttrpc", *sockets):
        pathlib.Path(path).unlink(missing_ok=True)


def kill_containers(environment):
    """Kills what runs in our cgroup and the shims, until none is left."""
    deadline = time.monotonic() + 15
    while victims := container_processes(environment):
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            print(f"cluster: processes that do not end: {sorted(victims)}")
            return
        time.sleep(0.05)


def container_processes(environment):
    """The pids in our cgroup, and those of the shims and runcs of our containerd."""
    pids = set()
    for cgroup in own_cgroups(environment.facts["cgroup"]):
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


def shim_sockets(environment):
    """The sockets of the shims, which lie outside our directory."""
    tasks = environment.directory / "node" / "containerd-state" / "io.containerd.runtime.v2.task"
    addresses = (path.read_text(encoding="utf-8").strip() for path in tasks.glob("*/*/address"))
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


def own_cgroups(name):
    """Our cgroup in each hierarchy: one with version 2, one per controller with version 1."""
    return [path for path in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")) if path.is_dir()]


def remove_cgroups(name):
    """Removes our cgroups, the deepest first. The kernel frees a cgroup a moment after its last process has ended."""
    deadline = time.monotonic() + 5
    for cgroup in own_cgroups(name):
        for path in sorted((cgroup, *(found for found in cgroup.rglob("*") if found.is_dir())), reverse=True):
            while True:
                try:
                    path.rmdir()
                    break
                except OSError as error:
                    if time.monotonic() > deadline:
                        print(f"cluster: a cgroup is left: {error}")
                        break
                    time.sleep(0.02)
