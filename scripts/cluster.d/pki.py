"""The certificates and keys of one cluster, valid for two days, made with openssl."""

import os
import pathlib
import subprocess
import sys

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
SERVER_NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.0.0.1"
)
# Under this name the API server shows a certificate of another authority, which `rotate` replaces together with it.
ROTATED = "rotated.job-worker.test"
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "node": "/O=system:masters/CN=node-agent",
}


class Pki:
    """The files by name: `key("ca")`, `certificate("admin")`."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def certificate(self, name):
        """Path of a certificate."""
        return str(self.directory / f"{name}.crt")

    def key(self, name):
        """Path of a private key."""
        return str(self.directory / f"{name}.key")

    def create(self):
        """Makes the authority, the API server's certificate, one per client, and the key that signs tokens."""
        self.directory.mkdir(mode=0o700)
        self._authority("ca", "/CN=job-worker-test-ca")
        openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", self.key("service-accounts"))
        self._sign("apiserver", "/CN=kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={SERVER_NAMES}\n")
        for name, subject in CLIENTS.items():
            self._sign(name, subject, "extendedKeyUsage=clientAuth\n")
        self.rotate()

    def rotate(self):
        """Replaces the authority behind `ROTATED` and the certificate that it signs."""
        self._authority("rotated-ca", "/CN=job-worker-test-rotated-ca")
        self._sign("next", f"/CN={ROTATED}", f"extendedKeyUsage=serverAuth\nsubjectAltName=DNS:{ROTATED}\n", "rotated-ca")
        for new, old in ((self.key("next"), self.key("rotated")), (self.certificate("next"), self.certificate("rotated"))):
            os.replace(new, old)

    def _authority(self, name, subject):
        files = ["-keyout", self.key(name), "-out", self.certificate(name)]
        openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", subject, *files)

    def _sign(self, name, subject, extensions, authority="ca"):
        request = self.directory / f"{name}.csr"
        extension_file = self.directory / f"{name}.ext"
        extension_file.write_text(extensions, encoding="utf-8")
        openssl("req", "-new", *NEW_KEY, "-subj", subject, "-keyout", self.key(name), "-out", str(request))
        issuer = ["-CA", self.certificate(authority), "-CAkey", self.key(authority), "-CAcreateserial"]
        signed = ["-extfile", str(extension_file), "-days", "2", "-out", self.certificate(name)]
        openssl("x509", "-req", "-in", str(request), *issuer, *signed)
        os.unlink(request)
        os.unlink(extension_file)


def openssl(*arguments):
    """Runs openssl; ends the program with what it said if it fails."""
    ran = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"cluster: openssl {arguments[0]} failed:\n{ran.stderr}")
