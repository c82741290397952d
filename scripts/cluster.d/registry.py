"""A read-only OCI registry of the images that images.py wrote; every other name is answered with 404.

usage: registry.py DIRECTORY PORT    (loopback; the node pulls everything from here, whatever host an image names)
"""

import http.server
import json
import pathlib
import sys

import images


class Registry(http.server.BaseHTTPRequestHandler):
    """Answers /v2/, /v2/NAME/manifests/TAG-or-DIGEST and /v2/NAME/blobs/DIGEST."""

    protocol_version = "HTTP/1.1"
    directory = pathlib.Path()
    tags = {}

    def do_GET(self):
        """A manifest, a blob, or 404."""
        digest, content = self.find()
        self.answer(digest, content)
        if content is not None:
            self.wfile.write(content)

    def do_HEAD(self):
        """The same without the content."""
        self.answer(*self.find())

    def find(self):
        """The digest and content that the path names; (None, None) where there is none."""
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["v2"]:
            return None, b"{}"
        if len(parts) < 4 or parts[0] != "v2" or parts[-2] not in ("manifests", "blobs"):
            return None, None
        reference = parts[-1]
        name = "/".join(parts[1:-2])
        digest = reference if reference.startswith("sha256:") else self.tags.get(f"{name}:{reference}")
        blob = self.directory / "blobs" / (digest or "none").removeprefix("sha256:")
        return (digest, blob.read_bytes()) if blob.is_file() else (None, None)

    def answer(self, digest, content):
        """Status and headers."""
        self.send_response(404 if content is None else 200)
        manifest = "/manifests/" in self.path
        self.send_header("Content-Type", images.MANIFEST_TYPE if manifest else "application/octet-stream")
        self.send_header("Content-Length", str(len(content or b"")))
        if digest is not None:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()


def main(directory, port):
    """Serves until it is killed."""
    Registry.directory = pathlib.Path(directory)
    Registry.tags = json.loads((Registry.directory / "tags.json").read_text(encoding="utf-8"))
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Registry).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
