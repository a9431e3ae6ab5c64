# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS, client certificates and proxies on real sockets."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.errors import (
    ConnectionFailed,
    InvalidOption,
    OciError,
    TlsFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.http_session import tls_context
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._oci.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._oci.registry_harness import (
    Harness,
    manifest_of,
    source_of,
)

x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MANIFEST = manifest_of()
PROXIES = (
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
    """A self-signed certificate, which is its own authority, and its key."""

    cert: Path
    key: Path
    encrypted_key: Path


def create_certificate(folder: Path, name: str, address: str = "127.0.0.1") -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / f"{name}.crt", folder / f"{name}.key", folder / f"{name}.locked.key")
    found.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    found.key.write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    found.encrypted_key.write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"phrase")))
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("certificates"), "server")


@pytest.fixture(scope="module")
def client_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("client"), "client")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def serve(certificate: Certificate, client: Certificate | None = None) -> FaultServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    if client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=str(client.cert))
    server = FaultServer(context)
    server.add_manifest(MANIFEST.raw, "1")
    return server


@pytest.fixture
def tls_server(certificate: Certificate) -> Iterator[FaultServer]:
    with serve(certificate) as server:
        yield server


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.add_manifest(MANIFEST.raw, "1")
        yield server


def resolves(server: FaultServer, **options: Any) -> bool:
    return (
        Harness(server, **{"insecure": False, "retries": 0, **options}).repository.resolve("1") == MANIFEST.descriptor
    )


# TLS


def test_an_unknown_authority(tls_server: FaultServer) -> None:
    harness = Harness(tls_server, insecure=False)
    with pytest.raises(TlsFailed, match=r"not trusted .*'ca_cert'"):
        harness.repository.resolve("1")
    assert (harness.sleeps, tls_server.seen) == ([], [])


def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    other = create_certificate(tmp_path, "other", "127.0.0.2")
    with serve(other) as server:
        with pytest.raises(TlsFailed, match="127.0.0.1"):
            resolves(server, ca_cert=str(other.cert))
        with pytest.raises(TlsFailed, match="localhost"):
            Harness(
                server, insecure=False, ca_cert=str(other.cert), host=f"localhost:{server.port}"
            ).repository.resolve("1")
        assert server.seen == []


def test_an_authority_by_path_text_or_directory(
    tls_server: FaultServer, certificate: Certificate, tmp_path: Path
) -> None:
    assert resolves(tls_server, ca_cert=str(certificate.cert))
    assert resolves(tls_server, ca_cert=certificate.cert.read_text())
    # OpenSSL finds certificates of a directory by the hash of their subject
    (tmp_path / f"{_subject_hash(certificate)}.0").write_bytes(certificate.cert.read_bytes())
    assert resolves(tls_server, ca_cert=str(tmp_path))


def _subject_hash(certificate: Certificate) -> str:
    import subprocess

    command = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate.cert)]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        pytest.skip("openssl is not installed")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_from_the_environment(
    tls_server: FaultServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(certificate.cert))
    assert resolves(tls_server)


def test_ca_cert_is_added_to_the_systems() -> None:
    plain = tls_context(ConnectionOptions()).cert_store_stats()["x509_ca"]
    bundle = Path(__file__)  # any file that is no certificate
    with pytest.raises(InvalidOption, match="'ca_cert' cannot be used"):
        tls_context(ConnectionOptions(ca_cert=str(bundle)))
    assert plain >= 0


@pytest.mark.parametrize("ca_cert", ["/does/not/exist", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_cannot_be_used(ca_cert: str) -> None:
    with pytest.raises(InvalidOption, match="'ca_cert' cannot be used"):
        tls_context(ConnectionOptions(ca_cert=ca_cert))


def test_a_bundle_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/does/not/exist")
    with pytest.raises(InvalidOption, match="environment's REQUESTS_CA_BUNDLE"):
        tls_context(ConnectionOptions())


def test_validate_certs_false(tls_server: FaultServer) -> None:
    assert resolves(tls_server, validate_certs=False)


def test_http_to_a_tls_port_and_back(tls_server: FaultServer, server: FaultServer) -> None:
    with pytest.raises(OciError):
        resolves(tls_server, insecure=True)
    with pytest.raises(TlsFailed, match="does not speak TLS.*insecure: true"):
        resolves(server)


def test_a_client_certificate(certificate: Certificate, client_certificate: Certificate) -> None:
    own, key = client_certificate.cert, client_certificate.key
    before = set(os.listdir(tempfile.gettempdir()))
    with serve(certificate, client_certificate) as server:
        ca_cert = str(certificate.cert)
        assert resolves(server, ca_cert=ca_cert, client_cert=str(own), client_key=str(key))
        assert resolves(server, ca_cert=ca_cert, client_cert=own.read_text(), client_key=key.read_text())
        with pytest.raises(ConnectionFailed):
            resolves(server, ca_cert=ca_cert)
    left = [name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("oci-artifact-")]
    assert left == []


def test_client_certificates_that_cannot_be_used(certificate: Certificate, client_certificate: Certificate) -> None:
    own, key = str(client_certificate.cert), str(client_certificate.key)
    cases = {
        "without 'client_key'": (own, ""),
        "without 'client_cert'": ("", key),
        "No such file": ("/does/not/exist", key),
        "cannot be used.*unencrypted": (own, str(client_certificate.encrypted_key)),
        "cannot be used": (own, str(certificate.key)),
    }
    for words, (client_cert, client_key) in cases.items():
        with pytest.raises(InvalidOption, match=words):
            tls_context(ConnectionOptions(client_cert=client_cert, client_key=client_key))
    assert "KEY" not in repr(ConnectionOptions(client_key=client_certificate.key.read_text()))


def test_https_is_not_left_by_a_redirect(
    tls_server: FaultServer, server: FaultServer, certificate: Certificate
) -> None:
    tls_server.script("HEAD", "", Answer(307, {"Location": server.url + "/v2/org/app/manifests/1"}))
    with pytest.raises(OciError, match="would not be encrypted"):
        resolves(tls_server, ca_cert=str(certificate.cert))
    assert server.seen == []


def test_a_plain_registry_may_redirect_to_https(
    tls_server: FaultServer, server: FaultServer, certificate: Certificate
) -> None:
    for _time in range(2):
        server.script("HEAD", "", Answer(307, {"Location": tls_server.url + "/v2/org/app/manifests/1"}))
    assert resolves(server, insecure=True, ca_cert=str(certificate.cert))
    with pytest.raises(TlsFailed, match="not trusted"):
        resolves(server, insecure=True)


def test_an_upload_does_not_leave_https(tls_server: FaultServer, server: FaultServer, certificate: Certificate) -> None:
    tls_server.script("POST", "", Answer(202, {"Location": server.url + "/v2/x"}))
    harness = Harness(tls_server, insecure=False, ca_cert=str(certificate.cert), push=True)
    with pytest.raises(OciError, match="over plain HTTP"):
        harness.repository.push_blob(source_of(MANIFEST.raw))
    assert server.seen == []


# Proxies: a request through an HTTP proxy names the whole URL


@pytest.fixture
def proxy() -> Iterator[FaultServer]:
    with FaultServer() as server:
        headers = {"Content-Type": MANIFEST.descriptor.media_type, "Docker-Content-Digest": MANIFEST.descriptor.digest}
        server.always("HEAD", "^http://", Answer(200, headers, MANIFEST.raw))
        yield server


def test_the_proxy_option(server: FaultServer, proxy: FaultServer) -> None:
    assert resolves(server, insecure=True, proxy=proxy.url.replace("http://", "http://user:p%40ss@"))
    assert proxy.lines() == [f"HEAD {server.url}/v2/org/app/manifests/1"]
    credentials = base64.b64encode(b"user:p@ss").decode()
    assert proxy.seen[0].headers["Proxy-Authorization"] == f"Basic {credentials}"
    assert server.seen == []


def test_the_environments_proxy(server: FaultServer, proxy: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert resolves(server, insecure=True)
    assert (len(proxy.seen), len(server.seen)) == (1, 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert resolves(server, insecure=True)
    assert (len(proxy.seen), len(server.seen)) == (1, 1)


def test_the_option_wins_over_the_environment(
    server: FaultServer, proxy: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert resolves(server, insecure=True, proxy=proxy.url)
    assert len(proxy.seen) == 1


def test_a_proxys_refusal_is_not_repeated(tls_server: FaultServer, proxy: FaultServer) -> None:
    proxy.always("CONNECT", "", Answer(407, {"Proxy-Authenticate": "Basic"}))
    address = proxy.url.replace("http://", "http://user:s3cret@")
    harness = Harness(tls_server, insecure=False, proxy=address)
    with pytest.raises(ConnectionFailed, match="at the proxy: .*407") as failure:
        harness.repository.resolve("1")
    assert len(proxy.seen) == 1
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize(
    "address", ["http://user:s3cret@[bad", "http://user:s3cret@h:99999", "x://user:s3cret@h", "http://user:s3cret@"]
)
def test_a_malformed_proxy_is_not_shown(server: FaultServer, address: str) -> None:
    with pytest.raises(OciError) as failure:
        resolves(server, insecure=True, proxy=address)
    assert "s3cret" not in str(failure.value)
    assert "s3cret" not in repr(ConnectionOptions(proxy=address))
