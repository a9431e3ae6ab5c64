# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private certificate authorities, with a certificate for a server on the loopback address or for a client of one."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from secret_search import register_key

AUTHORITY = "cloudnative.artifacts test authority"
# of encrypted keys
PHRASE = "correct-horse-battery-staple"


@dataclass(frozen=True)
class ServerCertificate:
    """Paths of PEM files."""

    ca_cert: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class ClientCertificate:
    """Paths of PEM files; ``locked_key`` is the key encrypted with PHRASE."""

    ca_cert: Path
    cert: Path
    key: Path
    locked_key: Path


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, hours: tuple[int, int]
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(hours=hours[0]))
        .not_valid_after(now + datetime.timedelta(hours=hours[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issue(
    subject: str, names: Sequence[str], usage: x509.ObjectIdentifier, hours: tuple[int, int]
) -> tuple[x509.Certificate, x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority of its own, a certificate and its key; complete enough for the strict checks of Python 3.13."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_cert = (
        _builder(AUTHORITY, AUTHORITY, ca_key, (-48, 48))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(of_authority=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    cert = (
        _builder(subject, AUTHORITY, key, hours)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(of_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return ca_cert, cert, key


def _pem(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def create_server_certificate(
    folder: Path, names: Sequence[str] = ("localhost", "127.0.0.1"), hours: tuple[int, int] = (-1, 48)
) -> ServerCertificate:
    """A certificate for host names and IP addresses, valid from and to so many hours from now."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_cert, cert, key = _issue("localhost", names, ExtendedKeyUsageOID.SERVER_AUTH, hours)
    paths = ServerCertificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    paths.ca_cert.write_bytes(ca_cert.public_bytes(serialization.Encoding.PEM))
    paths.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths.key.write_bytes(_pem(key, serialization.NoEncryption()))
    register_key(paths.key)
    return paths


def create_client_certificate(folder: Path) -> ClientCertificate:
    """A certificate for a client, of an authority of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_cert, cert, key = _issue("client", ["client.test"], ExtendedKeyUsageOID.CLIENT_AUTH, (-1, 48))
    paths = ClientCertificate(
        folder / "client-ca.pem", folder / "client.pem", folder / "client.key", folder / "client.locked.key"
    )
    paths.ca_cert.write_bytes(ca_cert.public_bytes(serialization.Encoding.PEM))
    paths.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths.key.write_bytes(_pem(key, serialization.NoEncryption()))
    register_key(paths.key)
    paths.locked_key.write_bytes(_pem(key, serialization.BestAvailableEncryption(PHRASE.encode())))
    return paths
