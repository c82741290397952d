"""A small client of the API server, with the administrator's certificate or a token."""

import json
import ssl
import urllib.error
import urllib.request


class Refused(Exception):
    """The API server answered with an error status."""

    def __init__(self, method, path, status, answer):
        super().__init__(f"{method} {path}: {status} {answer}")
        self.status = status


class Api:
    """Requests to the API server of one cluster."""

    def __init__(self, facts):
        self.server = facts["server"]
        self.tls = ssl.create_default_context(cafile=facts["ca"])
        self.tls.load_cert_chain(facts["admin_cert"], facts["admin_key"])

    def get(self, path):
        """The object or list at a path."""
        return json.loads(self._send("GET", path, None, "application/json"))

    def create(self, path, body):
        """Creates an object from a dict in the collection at a path."""
        return json.loads(self._send("POST", path, json.dumps(body).encode(), "application/json"))

    def create_yaml(self, path, text):
        """Creates an object from one YAML document in the collection at a path."""
        return json.loads(self._send("POST", path, text.encode(), "application/yaml"))

    def ready(self):
        """Whether the API server says that it is ready; False too when it cannot be reached."""
        try:
            self._send("GET", "/readyz", None, "application/json")
        except (Refused, OSError):
            return False
        return True

    def exists(self, path):
        """Whether there is an object at a path."""
        try:
            self.get(path)
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def _send(self, method, path, body, content_type):
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        request = urllib.request.Request(self.server + path, method=method, headers=headers, data=body)
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(method, path, error.code, error.read().decode(errors="replace")) from error
