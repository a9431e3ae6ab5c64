# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""notation itself, and artifacts for it to sign."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

from .attached import push, put, unit_helper
from .tools import Tools

lab = unit_helper("notation_lab")


@dataclass
class Notation:
    """notation with a configuration of its own."""

    tools: Tools
    folder: Path

    def configure(self, policy: dict[str, Any], *trusted: x509.Certificate) -> None:
        """Trust these in the store ca:good; tsa:time and signingAuthority:time have lab.root()."""
        root = lab.root().chain[0]
        self.trust(policy, {"ca:good": trusted, "tsa:time": [root], "signingAuthority:time": [root]})

    def trust(self, policy: dict[str, Any], stores: Mapping[str, Sequence[x509.Certificate]]) -> None:
        for name, certificates in stores.items():
            kind, _colon, own = name.partition(":")
            store = self.folder / f"notation/truststore/x509/{kind}/{own}"
            store.mkdir(parents=True, exist_ok=True)
            for old in store.iterdir():
                old.unlink()
            for number, certificate in enumerate(certificates):
                (store / f"{number}.crt").write_text(lab.pem(certificate))
        (self.folder / "notation/trustpolicy.json").write_text(json.dumps(policy))

    def add_key(self, name: str, who: Any) -> None:
        keys = self.folder / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        key, chain = keys / f"{name}.key", keys / f"{name}.crt"
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key.write_bytes(who.key.private_bytes(encoding, form, serialization.NoEncryption()))
        chain.write_text("".join(lab.pem(each) for each in who.chain))
        path = self.folder / "notation/signingkeys.json"
        document = json.loads(path.read_text()) if path.exists() else {"keys": []}
        document["keys"].append({"name": name, "keyPath": str(key), "certPath": str(chain)})
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))

    def run(self, *arguments: str, check: bool = True) -> Any:
        return self.tools.run("notation", *arguments, check=check, env={"XDG_CONFIG_HOME": str(self.folder)})

    def is_accepted(self, reference: str) -> bool:
        return self.accepts(reference)[0]

    def accepts(self, reference: str) -> tuple[bool, str]:
        done = self.run("verify", "--insecure-registry", reference, check=False)
        return done.returncode == 0, done.stdout + done.stderr


def push_artifact(repository: RegistryRepository, content: bytes = b"signed\n") -> Manifest:
    config, layer = put(repository, b"{}", media.OCI_EMPTY), put(repository, content, "text/plain")
    return push(repository, "1", artifactType="text/plain", config=config.as_json(), layers=[layer.as_json()])


def policy_of(**changes: Any) -> dict[str, Any]:
    return {"version": "1.0", "trustPolicies": [lab.statement(**changes)]}
