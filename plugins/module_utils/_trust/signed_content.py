# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the parts of Cosign's signatures, byte for byte as cosign writes them.

Sources: sigstore, pkg/signature/payload/payload.go; sigstore/protobuf-specs, sigstore_bundle.proto; cosign,
SIGNATURE_SPEC.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .._oci import media
from .._oci.digest import digest_of
from .._oci.manifest import Descriptor, Manifest, parse_manifest
from .._oci.reference import Reference
from . import formats
from .discovery import SIGNATURE_SUFFIX
from .keys import spki_of
from .private_keys import PrivateKey

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
# cosign names an artifact by its repository; a layout has none, and its path must not be published
_LAYOUT_NAME = "localhost/oci-layout"
_ZERO_TIME = "0001-01-01T00:00:00Z"


def docker_reference(reference: Reference) -> str:
    """Return the repository as cosign names it in a payload (go-containerregistry, pkg/name, Repository.Name)."""
    if reference.is_layout:
        return _LAYOUT_NAME
    registry = "index.docker.io" if reference.registry == "docker.io" else reference.registry
    return f"{registry}/{reference.repository}"


def simple_payload(name: str, digest: str, annotations: Mapping[str, str]) -> bytes:
    """Return the payload of a legacy signature, as Go's encoding/json writes it."""
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": formats.COSIGN_PAYLOAD_TYPE,
    }
    return _go_json({"critical": critical, "optional": dict(sorted(annotations.items())) or None})


def statement_for(digest: str, annotations: Mapping[str, str]) -> bytes:
    """Return the in-toto statement of ``cosign sign``, as Go's protojson writes it."""
    algorithm, _colon, encoded = digest.partition(":")
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {algorithm: encoded}, "annotations": dict(sorted(annotations.items()))}],
        "predicateType": formats.COSIGN_SIGN,
        "predicate": {},
    }
    return _json(document).replace("\x7f", "\\u007f").encode("utf-8")


def bundle_of(key: PrivateKey, statement: bytes) -> bytes:
    """Return a Sigstore bundle with a DSSE envelope around the statement, without log entries and timestamps."""
    signature = key.sign(formats.pre_authentication_encoding(formats.IN_TOTO, statement))
    hint = hashlib.sha256(spki_of(key.public.key)).digest()
    document = {
        "mediaType": formats.BUNDLE_V03,
        "verificationMaterial": {"publicKey": {"hint": base64.b64encode(hint).decode("ascii")}},
        "dsseEnvelope": {
            "payload": base64.b64encode(statement).decode("ascii"),
            "payloadType": formats.IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode("ascii")}],
        },
    }
    return _json(document).encode("ascii")


def bundle_manifest(bundle: bytes, artifact: Descriptor, created: str) -> Manifest:
    """Return the manifest that attaches a bundle to an artifact.

    Source: cosign, pkg/oci/remote/write.go, WriteReferrer and WriteAttestationNewBundleFormat.

    :param created: the time for the annotation ``org.opencontainers.image.created``.
    """
    config = {**as_cosign(descriptor_of(media.EMPTY_JSON, media.OCI_EMPTY)), "artifactType": formats.BUNDLE_V03}
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": config,
        "layers": [as_cosign(descriptor_of(bundle, formats.BUNDLE_V03))],
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": formats.COSIGN_SIGN,
            media.ANNOTATION_CREATED: created,
        },
        "subject": as_cosign(Descriptor(artifact.media_type, artifact.digest, artifact.size)),
        "artifactType": formats.BUNDLE_V03,
    }
    return parse_manifest(manifest_json(document), media.OCI_MANIFEST, "The manifest of the bundle")


def legacy_config(layers: list[str]) -> bytes:
    """Return the config of a manifest of legacy signatures, as go-containerregistry writes it for an empty image to
    which layers are appended."""
    document = {
        "architecture": "",
        "created": _ZERO_TIME,
        "history": [{"created": _ZERO_TIME} for _layer in layers],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": layers},
        "config": {},
    }
    return _go_json(document)


def legacy_tag(digest: str) -> str:
    """Return the tag of the manifest whose layers are the legacy signatures of a digest."""
    return digest.replace(":", "-") + SIGNATURE_SUFFIX


def descriptor_of(content: bytes, media_type: str, annotations: Mapping[str, str] | None = None) -> Descriptor:
    """Return the descriptor of some bytes."""
    return Descriptor(media_type, digest_of(content), len(content), annotations=annotations or {})


def as_cosign(descriptor: Descriptor) -> dict[str, Any]:
    """Return the fields of a descriptor in the order of go-containerregistry's v1.Descriptor."""
    document = {"mediaType": descriptor.media_type, "size": descriptor.size, "digest": descriptor.digest}
    return {**document, "annotations": dict(descriptor.annotations)} if descriptor.annotations else document


def manifest_json(document: Mapping[str, Any]) -> bytes:
    """Return a manifest as JSON, escaped: a manifest of others may hold text that is not valid Unicode."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _go_json(document: Mapping[str, Any]) -> bytes:
    """Return JSON as Go's encoding/json writes it, with the special characters of HTML and JavaScript escaped."""
    text = _json(document)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8")
