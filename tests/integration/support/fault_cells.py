# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task does while something goes wrong, and what has to be true afterwards: the columns of the table of faults.

Each operation is run in this process or as a task, on a repository of a real registry behind a fault proxy. What there
is afterwards is looked at without the code under test, and without the proxy.
"""

from __future__ import annotations

import abc
import json
import random
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from support import vectors
from support.artifacts import CONFIG, MANIFEST, Blob, Publisher, digest_of, manifest_of, tgz
from support.fault_rows import LIE, Strike
from support.servers import RegistryServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    Limits,
    parse_layer_selector,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, parse_inputs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SigningOptions, SignOptions, sign
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

KEY, PUBLIC_KEY = (str(vectors.ROOT / "keys" / name) for name in ("ed25519.raw.pem", "ed25519.pub"))
LAYER_SIZE = 700_000
# where a blob breaks off: behind enough bytes to count as progress
MIDDLE = 300_000
TAGS = ["1.0.0", "1.1.0", "old"]


def _pull_options(reference: str, dest: Path, connection: ConnectionOptions) -> PullOptions:
    return PullOptions(
        reference=ReferenceOptions(ref=reference),
        dest=str(dest),
        selector=parse_layer_selector(None, "first"),
        limits=Limits(1 << 30, 1000),
        connection=connection,
    )


class Ground:
    """What all cells find in the registry; what a cell changes is its own."""

    def __init__(self, registry: RegistryServer, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.connection = ConnectionOptions(insecure=True)
        noise = random.Random(20261121).randbytes(LAYER_SIZE)
        self.noise = noise
        self.files = {"version": b"new", "data.bin": noise}
        self.reader = Publisher(registry.host, "faults/read")
        self.reader.publish("old", {"version": "old", "gone": "x"})
        self.layer = Blob(tgz({"version": "new", "data.bin": noise}))
        for tag in ("1.0.0", "1.1.0"):
            self.digest = self.reader.publish(tag, [self.layer])
        reference = ReferenceOptions(ref=f"{self.reader.name}:1.1.0")
        signing = SigningOptions(KEY, format="legacy")
        signed = sign(SignOptions(reference, signing, connection=self.connection))
        (self.signature,) = (each["digest"] for each in signed["signatures"])
        self.old_dest = folder / "old"
        pull(_pull_options(f"{self.reader.name}:old", self.old_dest, self.connection))
        self.writer = Publisher(registry.host, "faults/write")
        # the config is there already, so that one blob alone is sent
        self.old_digest = self.writer.publish("old", [Blob(b"old")])
        push(self.push_options(self.writer.name, "first", self.file("first"), self.connection))

    def file(self, name: str) -> Path:
        """A file to publish that no other cell publishes."""
        path = self.folder / f"{name}.bin"
        path.write_bytes(name.encode() + self.noise)
        return path

    def push_options(self, name: str, tag: str, file: Path, connection: ConnectionOptions) -> PushOptions:
        build = BuildOptions(inputs=parse_inputs([str(file)], "files"), type="files")
        return PushOptions(ReferenceOptions(ref=f"{name}:{tag}"), build, connection=connection)

    def ask(self, method: str, path: str) -> tuple[str, bytes] | None:
        """What the registry itself says: the digest in the header and the body; None when it has no such thing."""
        request = urllib.request.Request(f"{self.registry.url}/v2/{path}", method=method, headers={"Accept": MANIFEST})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.headers.get("Docker-Content-Digest", ""), response.read()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise


@dataclass
class Cell:
    """One operation under one fault. ``number`` tells its tags and folders from those of other cells."""

    ground: Ground
    number: str
    result: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False


class Operation(abc.ABC):
    """A column of the table."""

    name: ClassVar[str]
    module: ClassVar[str]

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.ground = cell.ground

    @abc.abstractmethod
    def strike(self) -> Strike:
        """Which request the fault strikes, and where in its body."""

    @abc.abstractmethod
    def options(self, host: str) -> dict[str, Any]:
        """What the task is told, beside the connection."""

    @abc.abstractmethod
    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        """The same without Ansible."""

    @abc.abstractmethod
    def wrong(self) -> str:
        """What is not as it has to be after a success or a failure; empty when all is well."""

    def reference(self, host: str) -> str:
        return f"{host}/faults/read:1.1.0"


class Resolve(Operation):
    name, module = "resolve", "oci_artifact_info"

    def strike(self) -> Strike:
        return Strike("HEAD", "/manifests/1.1.0", 0)

    def options(self, host: str) -> dict[str, Any]:
        return {"ref": self.reference(host), "gather": []}

    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        return info(InfoOptions(ReferenceOptions(ref=self.reference(host)), (), connection=connection))

    def wrong(self) -> str:
        # the registry's word is what a tag stands for: a lie is found out when the bytes are fetched
        if self.cell.failed:
            return ""
        digest = self.cell.result["artifact"]["digest"]
        return "" if digest in (self.ground.digest, LIE) else f"resolved to {digest}"


class ListTags(Operation):
    name, module = "list", "oci_artifact_info"

    def strike(self) -> Strike:
        return Strike("GET", "/tags/list", 20)

    def options(self, host: str) -> dict[str, Any]:
        return {"url": f"oci://{host}/faults/read", "gather": ["tags"], "sort": "alphabetical"}

    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        reference = ReferenceOptions(url=f"oci://{host}/faults/read")
        return info(InfoOptions(reference, ("tags",), sort="alphabetical", connection=connection))

    def wrong(self) -> str:
        tags = [tag for tag in self.cell.result.get("tags", []) if not tag.startswith("sha256-")]
        return "" if self.cell.failed or sorted(tags) == TAGS else f"tags {tags}"


class Pull(Operation):
    name, module = "pull", "oci_artifact_pull"

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.dest = self.ground.folder / f"dest-{cell.number}"
        shutil.copytree(self.ground.old_dest, self.dest)

    def strike(self) -> Strike:
        return Strike("GET", f"/blobs/{digest_of(self.ground.layer.data)}", MIDDLE)

    def options(self, host: str) -> dict[str, Any]:
        return {"ref": self.reference(host), "dest": str(self.dest)}

    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        return vars(pull(_pull_options(self.reference(host), self.dest, connection)))

    def wrong(self) -> str:
        found = {path.name: path.read_bytes() for path in self.dest.iterdir() if path.is_file()}
        if not self.cell.failed:
            is_new = found == self.ground.files and self.cell.result["changed"]
            return "" if is_new else f"dest has {sorted(found)}"
        state = self.dest / ".oci-artifact/state"
        same_record = state.read_bytes() == (self.ground.old_dest / ".oci-artifact/state").read_bytes()
        left = sorted(path.name for path in state.parent.iterdir())
        is_old = found == {"version": b"old", "gone": b"x"} and same_record and left == ["lock", "state"]
        return "" if is_old else f"dest was touched: {sorted(found)}, {left}"


class Push(Operation):
    """A push to a tag that leads to something else; the fault strikes the upload of the layer."""

    name, module = "push (blob)", "oci_artifact_push"

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.tag = f"cell-{cell.number}"
        self.ground.writer.put_manifest(self.tag, manifest_of([Blob(b"old")], Blob(b"{}", CONFIG)))
        self.file = self.ground.file(self.tag)

    def strike(self) -> Strike:
        return Strike("PUT", "/blobs/uploads/", MIDDLE)

    def options(self, host: str) -> dict[str, Any]:
        return {"ref": f"{host}/faults/write:{self.tag}", "path": [str(self.file)], "type": "files"}

    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        return vars(push(self.ground.push_options(f"{host}/faults/write", self.tag, self.file, connection)))

    def wrong(self) -> str:
        held = self.ground.ask("GET", f"faults/write/manifests/{self.tag}")
        assert held is not None
        if self.cell.failed:
            return "" if held[0] == self.ground.old_digest else "the tag was moved"
        if held[0] != self.cell.result["artifact"]["digest"] or not self.cell.result["changed"]:
            return "the tag was not moved"
        layer = json.loads(held[1])["layers"][0]["digest"]
        blob = self.ground.ask("GET", f"faults/write/blobs/{layer}")
        return "" if blob and blob[1] == self.file.read_bytes() else "the layer is another one"


class PushTag(Push):
    """The same; the fault strikes the manifest that the tag is to lead to."""

    name = "push (tag)"

    def strike(self) -> Strike:
        return Strike("PUT", f"/manifests/{self.tag}$", 100)


class Verify(Operation):
    name, module = "verify", "oci_artifact_verify"

    def strike(self) -> Strike:
        return Strike("GET", "/blobs/", 50)

    def options(self, host: str) -> dict[str, Any]:
        return {"ref": self.reference(host), "public_keys": [PUBLIC_KEY]}

    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        policy = parse_policy({"public_keys": [PUBLIC_KEY]})
        return verify(VerifyOptions(ReferenceOptions(ref=self.reference(host)), policy, connection=connection))

    def wrong(self) -> str:
        if self.cell.failed:
            return ""
        verification, digest = self.cell.result["verification"], self.cell.result["artifact"]["digest"]
        is_right = verification["verified"] and [each["source"] for each in verification["signers"]] == [PUBLIC_KEY]
        return "" if is_right and digest == self.ground.digest else f"verified {verification}"


class Sign(Operation):
    name, module = "sign", "oci_artifact_sign"

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        raw = manifest_of([Blob(b"old")], Blob(b"{}", CONFIG), annotations={"cell": str(cell.number)})
        self.tag = f"unsigned-{cell.number}"
        digest = self.ground.writer.put_manifest(self.tag, raw)
        self.signature_tag = digest.replace(":", "-") + ".sig"

    def strike(self) -> Strike:
        return Strike("PUT", f"/manifests/{self.signature_tag}$", 100)

    def options(self, host: str) -> dict[str, Any]:
        return {"ref": f"{host}/faults/write:{self.tag}", "key": KEY, "format": "legacy"}

    def call(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        reference = ReferenceOptions(ref=f"{host}/faults/write:{self.tag}")
        return sign(SignOptions(reference, SigningOptions(KEY, format="legacy"), connection=connection))

    def wrong(self) -> str:
        held = self.ground.ask("GET", f"faults/write/manifests/{self.signature_tag}")
        if self.cell.failed:
            return "" if held is None else "a signature was written"
        if held is None or not self.cell.result["changed"]:
            return "no signature was written"
        layers = json.loads(held[1])["layers"]
        return "" if len(layers) == 1 and "dev.cosignproject.cosign/signature" in layers[0]["annotations"] else "layers"


OPERATIONS: tuple[type[Operation], ...] = (Resolve, ListTags, Pull, Push, PushTag, Verify, Sign)


class Clock:
    """Time that passes only in pauses, and a note of how many there were."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses = 0
        self.on_pause: Any = None
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.pauses += 1
            if self.on_pause:
                self.on_pause(self.pauses)

    def read(self) -> float:
        return self.now
