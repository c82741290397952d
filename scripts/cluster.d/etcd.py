"""etcd on the loopback address: what the API server keeps, saved, put back, and compacted."""

import base64
import json
import pathlib
import shutil
import signal
import urllib.request

import processes

# Changes that `compact` makes, so that no revision which anybody has seen is the newest.
STIRS = 10


def start(environment, binary):
    """Starts etcd without syncing to disk: what it holds lives no longer than the test."""
    client = url(environment)
    peer = f"http://127.0.0.1:{environment.facts['ports']['etcd-peer']}"
    argv = [
        binary,
        "--name=node0",
        f"--data-dir={environment.path('etcd')}",
        "--unsafe-no-fsync=true",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=node0={peer}",
        "--quota-backend-bytes=4294967296",
    ]
    processes.start(environment, "etcd", argv)
    wait(environment)


def url(environment):
    """Where its clients find it."""
    return f"http://127.0.0.1:{environment.facts['ports']['etcd']}"


def wait(environment):
    """Waits until it is healthy."""
    address = f"{url(environment)}/health"
    processes.wait_until(environment, "etcd", "etcd is healthy", lambda: answers(address), 60)


def compact(environment):
    """Forgets every revision before the newest, which nobody has seen; returns the newest."""
    key = base64.b64encode(b"job-worker-test/stir").decode()
    for _ in range(STIRS):
        put = ask(environment, "kv/put", {"key": key, "value": ""})
    revision = put["header"]["revision"]
    ask(environment, "kv/compaction", {"revision": revision, "physical": True})
    return revision


def save(environment):
    """Copies the data as a crash at this moment would leave it, over an older copy."""
    copy = pathlib.Path(environment.path("saved"))
    shutil.rmtree(copy, ignore_errors=True)
    processes.send(environment, "etcd", signal.SIGSTOP)
    try:
        shutil.copytree(environment.path("etcd"), copy)
    finally:
        processes.send(environment, "etcd", signal.SIGCONT)


def restore(environment):
    """Starts the stopped etcd with the data that was saved."""
    data = environment.path("etcd")
    shutil.rmtree(data)
    shutil.copytree(environment.path("saved"), data)
    processes.again(environment, "etcd")
    wait(environment)


def ask(environment, what, body):
    """A request to its JSON gateway."""
    request = urllib.request.Request(f"{url(environment)}/v3/{what}", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def answers(address):
    """Whether a URL answers with 200."""
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
