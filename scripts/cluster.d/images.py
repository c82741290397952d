"""Makes the images of the node from the busybox of this machine, as OCI image layouts: nothing is pulled from outside."""

import hashlib
import io
import json
import pathlib
import platform
import subprocess
import tarfile

BUSYBOX = "/bin/busybox"
# The pause container holds a pod's network namespace, nothing else.
PAUSE_IMAGE = "local.invalid/pause:1"
IMAGES = {
    "library/busybox:latest": ["/bin/sh"],
    "pause:1": ["/bin/sleep", "2147483647"],
}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def busybox_is_static():
    """Whether busybox is there and runs without the libraries of this machine, which an image does not have."""
    try:
        with open(BUSYBOX, "rb") as file:
            # The name of the dynamic loader is among the program headers at the start.
            return b"/ld-linux" not in file.read(4096)
    except FileNotFoundError:
        return False


def write(directory):
    """Writes each image as blobs by digest, and tags.json: which manifest a name and tag stand for."""
    blobs = pathlib.Path(directory) / "blobs"
    blobs.mkdir(parents=True)
    layer = busybox_layer()
    tags = {name: write_image(blobs, layer, command) for name, command in IMAGES.items()}
    (pathlib.Path(directory) / "tags.json").write_text(json.dumps(tags), encoding="utf-8")


def write_image(blobs, layer, command):
    """Writes one image of one layer; returns its manifest's digest."""
    layer_digest = write_blob(blobs, layer)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    }
    config_bytes = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": write_blob(blobs, config_bytes),
            "size": len(config_bytes),
        },
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": len(layer)},
        ],
    }
    return write_blob(blobs, json.dumps(manifest).encode())


def write_blob(blobs, content):
    """Stores bytes under their digest."""
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return f"sha256:{digest}"


def busybox_layer():
    """A root file system: busybox, a link for each of its commands, and the usual directories."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for directory in ("bin", "etc", "tmp", "root", "dev", "proc", "sys"):
            entry = tarfile.TarInfo(directory)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        add_file(tar, "bin/busybox", pathlib.Path(BUSYBOX).read_bytes(), 0o755)
        add_file(tar, "etc/passwd", b"root:x:0:0::/root:/bin/sh\n", 0o644)
        listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
        for command in listed.stdout.split():
            if command == "busybox":
                continue
            entry = tarfile.TarInfo(f"bin/{command}")
            entry.type = tarfile.SYMTYPE
            entry.linkname = "busybox"
            tar.addfile(entry)
    return layer.getvalue()


def add_file(tar, name, content, mode):
    """Adds a regular file to a layer."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(content))
