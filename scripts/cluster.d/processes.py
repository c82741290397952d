"""Starts, watches and ends the processes of a cluster. A process is known by its pid and its start time."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

# Below the range from which the kernel gives out ports of outgoing connections: a stopped API server finds its port
# free when it comes back.
PORTS = range(20000, 32000)


def free_ports(count):
    """Distinct ports of the loopback address that nobody listens on."""
    found = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    sys.exit(f"cluster: no {count} free ports between {PORTS.start} and {PORTS.stop}")


def start(environment, name, argv):
    """Starts a process of the cluster in a session of its own, with its output in a log, and records it."""
    with open(environment.log(name), "ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    environment.facts["pids"][name] = process.pid
    environment.facts["start_times"][name] = start_time(process.pid)
    environment.facts.setdefault("argv", {})[name] = argv
    environment.save()


def again(environment, name):
    """Starts a process that was stopped as it was started last."""
    start(environment, name, environment.facts["argv"][name])


def send(environment, name, number):
    """Sends a signal to a process of the cluster; ends the program where it does not run."""
    if not alive(environment, name):
        sys.exit(f"cluster: {name} does not run")
    os.kill(environment.facts["pids"][name], number)


def alive(environment, name):
    """Whether the process that was started under this name runs; a stranger with the same pid does not count."""
    pid = environment.facts["pids"].get(name)
    return pid is not None and start_time(pid) == environment.facts["start_times"].get(name)


def stop(environment, name, first=signal.SIGTERM, grace_seconds=5.0):
    """Ends a process: the first signal, then SIGKILL after the grace. Forgets it."""
    pid = environment.facts["pids"].get(name)
    for number in (first, signal.SIGKILL):
        if not alive(environment, name):
            break
        os.kill(pid, number)
        deadline = time.monotonic() + grace_seconds
        while alive(environment, name) and time.monotonic() < deadline:
            time.sleep(0.02)
    environment.facts["pids"].pop(name, None)
    environment.facts["start_times"].pop(name, None)
    environment.save()


def wait_until(environment, name, what, condition, timeout_seconds):
    """Polls the condition; ends the program with the tail of the log if the process dies or the time is up."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if not alive(environment, name):
            fail(environment, name, f"{name} ended before {what}")
        if time.monotonic() > deadline:
            fail(environment, name, f"{what}: not within {timeout_seconds} s")
        time.sleep(0.05)


def fail(environment, name, sentence):
    """Ends the program and shows why."""
    log = environment.log(name)
    lines = log.read_text(errors="replace").splitlines()[-15:]
    tail = "\n".join(f"  {line}" for line in lines)
    sys.exit(
        f"cluster: {sentence}; the end of {log}:\n{tail}\n"
        f"cluster: what was started is still there; end it with: scripts/cluster down {environment.directory}"
    )


def start_time(pid):
    """When a process was started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in parentheses and may itself contain some.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
