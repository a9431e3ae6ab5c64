# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of connections share: certificates of any age and name, servers that use them, a repository there."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import FaultServer
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
)

x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MANIFEST = manifest_of()
PHRASE = "correct horse battery staple"
ENVIRONMENT = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)


@dataclass
class Certificate:
    """A self-signed certificate, which is its own authority, and its key, also encrypted with PHRASE."""

    cert: Path
    key: Path
    encrypted_key: Path


def create_certificate(
    folder: Path, name: str, address: str = "127.0.0.1", days: tuple[float, float] = (-1, 1)
) -> Certificate:
    """``address`` is an IP address or a host name, ``days`` from when to when it is valid, from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        alternative: Any = x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        alternative = x509.DNSName(address)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([alternative]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / f"{name}.crt", folder / f"{name}.key", folder / f"{name}.locked.key")
    found.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    found.key.write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    encryption = serialization.BestAvailableEncryption(PHRASE.encode())
    found.encrypted_key.write_bytes(key.private_bytes(*form, encryption))
    return found


def server_context(
    certificate: Certificate, client: Certificate | None = None, wanted: ssl.VerifyMode = ssl.CERT_REQUIRED
) -> ssl.SSLContext:
    """A server's context, which wants the certificate of a client when one is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    if client:
        context.verify_mode = wanted
        context.load_verify_locations(cafile=str(client.cert))
    return context


def serve(
    certificate: Certificate | None = None,
    client: Certificate | None = None,
    wanted: ssl.VerifyMode = ssl.CERT_REQUIRED,
    address: str = "127.0.0.1",
) -> FaultServer:
    """A registry that holds MANIFEST under the tag 1."""
    server = FaultServer(server_context(certificate, client, wanted) if certificate else None, address)
    server.add_manifest(MANIFEST.raw, "1")
    return server


def resolves(server: FaultServer, **options: Any) -> bool:
    """Whether the tag 1 is found, asked once."""
    harness = Harness(server, **{"insecure": False, "retries": 0, **options})
    try:
        return harness.repository.resolve("1") == MANIFEST.descriptor
    finally:
        harness.client.session.close()
