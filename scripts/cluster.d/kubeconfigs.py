"""Writes kubeconfig files that stand alone: certificates, keys and tokens are inside."""

import base64
import json
import os
import pathlib


def with_certificate(path, server, pki, name):
    """A kubeconfig for the client whose certificate has this name."""
    user = {"client-certificate-data": encoded(pki.certificate(name)), "client-key-data": encoded(pki.key(name))}
    return _write(path, server, pki, user, "default")


def with_token(path, server, pki, token, namespace):
    """A kubeconfig for the bearer of a token."""
    return _write(path, server, pki, {"token": token}, namespace)


def encoded(path):
    """A file's content in base64, as kubeconfigs hold it."""
    return base64.b64encode(pathlib.Path(path).read_bytes()).decode()


def _write(path, server, pki, user, namespace):
    cluster = {"server": server, "certificate-authority-data": encoded(pki.certificate("ca"))}
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
    }
    # A kubeconfig is a credential: only its owner reads it.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
    return str(path)
