#!/usr/bin/env python3
"""A receiver of callbacks, to start from: verifies signatures, keeps the last status of each task, tolerates repeats.

    WEBHOOK_SECRET=whsec_… example-receiver/receiver.py [PORT]     PORT: 8000; 0: any free one

    POST /             a callback
    GET /tasks/ID      the last status of a task, as JSON

Without WEBHOOK_SECRET it takes every callback, signed or not. It keeps everything in memory: a real one writes the status to
its database before it answers 2xx, for what was answered is never sent again.
"""

import json
import os
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import verify

BODY_MAX = 64 * 1024
VERDICTS = (2, 3, 99)


class Tasks:
    """The last status of each task, and the callbacks that have been seen."""

    def __init__(self):
        self._lock = threading.Lock()
        self._last = {}
        self._seen = set()

    def take(self, webhook_id, callback):
        """Takes a callback; tells whether it was news. A repeated delivery has the same webhook-id and may come late."""
        with self._lock:
            if webhook_id in self._seen:
                return False
            self._seen.add(webhook_id)
            self._last[callback["id"]] = callback
            return True

    def last(self, identity):
        """The last callback of a task; None if there was none."""
        with self._lock:
            return self._last.get(identity)


class Receiver(BaseHTTPRequestHandler):
    """One request."""

    # A client that stalls does not hold its thread for ever.
    timeout = 20

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_MAX:
            self.answer(413)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        secret = self.server.secret
        if secret and not verify(secret, headers, body):
            self.answer(401)
            return
        try:
            callback = json.loads(body)
            identity, status = callback["id"], callback["status"]
        except (ValueError, KeyError, TypeError):
            self.answer(400)
            return
        news = self.server.tasks.take(headers.get("webhook-id", ""), callback)
        word = "verdict" if status in VERDICTS else "status"
        print(f"{identity} {word} {status}{'' if news else ' (again)'} {json.dumps(callback.get('detail'))}", flush=True)
        self.answer(204)

    def do_GET(self):
        prefix = "/tasks/"
        last = self.path.startswith(prefix) and self.server.tasks.last(urllib.parse.unquote(self.path[len(prefix):]))
        self.answer(200, json.dumps(last).encode()) if last else self.answer(404)

    def answer(self, code, body=b""):
        self.send_response(code)
        if body:
            self.send_header("Content-Type", "application/json")
        if code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("", port), Receiver)
    server.secret = os.environ.get("WEBHOOK_SECRET")
    server.tasks = Tasks()
    print(f"listening on port {server.server_port}, signatures {'verified' if server.secret else 'not looked at'}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
