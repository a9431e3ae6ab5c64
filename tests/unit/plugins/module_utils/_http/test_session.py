# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS and client certificates on real sockets."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    InvalidOption,
    OciError,
    TlsFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http.tls import explain_tls, tls_context
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    MANIFEST,
    PHRASE,
    Certificate,
    create_certificate,
    resolves,
    serve,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    source_of,
)


@pytest.fixture(scope="module")
def client_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("client"), "client")


# TLS


def test_an_unknown_authority(tls_server: FaultServer) -> None:
    harness = Harness(tls_server, insecure=False)
    with pytest.raises(TlsFailed, match=r"not trusted .*'ca_cert'"):
        harness.repository.resolve("1")
    assert (harness.sleeps, tls_server.seen) == ([], [])


@pytest.mark.parametrize(
    ("address", "days", "words"),
    [
        ("127.0.0.1", (-2, -1), "has expired.*clock"),
        ("127.0.0.1", (1, 2), "is not valid yet.*clock"),
        ("127.0.0.2", (-1, 1), "is for another host .*127.0.0.1.*Use a name that it carries"),
        ("registry.example.com", (-1, 1), "is for another host .*127.0.0.1"),
    ],
)
def test_a_certificate_that_is_not_good_here(
    tmp_path: Path, address: str, days: tuple[float, float], words: str
) -> None:
    other = create_certificate(tmp_path, "other", address, days)
    with serve(other) as server:
        with pytest.raises(TlsFailed, match=words):
            resolves(server, ca_cert=str(other.cert))
        assert server.seen == []


def test_a_certificate_of_another_name(certificate: Certificate) -> None:
    with serve(certificate) as server, pytest.raises(TlsFailed, match="is for another host .*localhost"):
        Harness(
            server, insecure=False, ca_cert=str(certificate.cert), host=f"localhost:{server.port}"
        ).repository.resolve("1")


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


def test_ca_cert_is_added_to_the_systems(
    tls_server: FaultServer, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = create_certificate(tmp_path, "private")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.cert))
    with serve(private) as server:
        assert resolves(server, ca_cert=str(private.cert))
        assert resolves(tls_server, ca_cert=str(private.cert))
        with pytest.raises(TlsFailed, match="not trusted"):
            resolves(server)


@pytest.mark.parametrize(
    "ca_cert", ["/does/not/exist", __file__, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
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
    locked = client_certificate.encrypted_key
    with serve(certificate, client_certificate) as server:
        ca_cert = str(certificate.cert)
        assert resolves(server, ca_cert=ca_cert, client_cert=str(own), client_key=str(key))
        assert resolves(server, ca_cert=ca_cert, client_cert=own.read_text(), client_key=key.read_text())
        for locked_key in (str(locked), locked.read_text()):
            assert resolves(
                server, ca_cert=ca_cert, client_cert=str(own), client_key=locked_key, client_key_password=PHRASE
            )
        assert {seen.client for seen in server.seen} == {"client"}
        with pytest.raises(ConnectionFailed, match="client certificate"):
            resolves(server, ca_cert=ca_cert)
        assert len(server.seen) == 4


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_not_accepted(
    certificate: Certificate, client_certificate: Certificate, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    stranger = create_certificate(tmp_path, "stranger")
    ca_cert = str(certificate.cert)
    with serve(certificate, client_certificate) as server:
        server.tls.maximum_version = version
        with pytest.raises(ConnectionFailed, match="asks for a client certificate"):
            resolves(server, ca_cert=ca_cert, retries=3)
        with pytest.raises(ConnectionFailed, match="not accept the client certificate"):
            resolves(server, ca_cert=ca_cert, client_cert=str(stranger.cert), client_key=str(stranger.key), retries=3)
        assert server.seen == []


@pytest.mark.parametrize(
    ("words", "has_certificate", "meaning", "is_lasting"),
    [
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", False, "asks for a", True),
        ("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] ssl/tls alert bad certificate", False, "asks for a", True),
        ("[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure", False, "asks for a", True),
        ("[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure", True, "handshake with", True),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", True, "did not accept", True),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired", True, "did not accept", True),
        ("EOF occurred in violation of protocol", False, "asks for a", False),
        ("EOF occurred in violation of protocol", True, "does not accept", False),
    ],
)
def test_what_a_servers_alert_means(words: str, has_certificate: bool, meaning: str, is_lasting: bool) -> None:
    options = ConnectionOptions(client_cert="/own.crt" if has_certificate else "")
    failure = explain_tls(ssl.SSLError(1, words), "GET https://h/", "the server", options)
    assert meaning in str(failure)
    assert failure.is_lasting == is_lasting


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_no_key_ever_lies_in_a_file(
    client_certificate: Certificate, monkeypatch: pytest.MonkeyPatch, has_memory_files: bool
) -> None:
    """Every file that is opened for writing is seen by the interpreter's own audit."""
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    written: list[object] = []
    watched = [True]

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if watched and event == "open" and int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(arguments[0])

    sys.addaudithook(audit)
    key = client_certificate.key.read_text()
    certificate = client_certificate.cert.read_text()
    tls_context(ConnectionOptions(client_cert=certificate, client_key=key))
    with pytest.raises(InvalidOption, match="is damaged"):
        tls_context(ConnectionOptions(client_cert=key, client_key=key + "x" * 500_000))
    watched.clear()
    # what has no name in a file system is opened by its number
    assert [name for name in written if not isinstance(name, int)] == []


def test_client_certificates_that_cannot_be_used(certificate: Certificate, client_certificate: Certificate) -> None:
    own, key = str(client_certificate.cert), str(client_certificate.key)
    locked, damaged = str(client_certificate.encrypted_key), client_certificate.key.read_text().replace("MI", "!!")
    cases = [
        ("without 'client_key'", own, "", ""),
        ("without 'client_cert'", "", key, ""),
        ("file in 'client_cert' cannot be read: No such file", "/does/not/exist", key, ""),
        ("file in 'client_key' cannot be read: No such file", own, "/does/not/exist", ""),
        ("'client_key' is not PEM text", own, __file__.replace("test_session", "fault_server"), ""),
        ("'client_key' is encrypted.*Give its passphrase in 'client_key_password'", own, locked, ""),
        ("'client_key_password' does not decrypt", own, locked, "wr0ng-phrase"),
        ("is the key of another certificate", own, str(certificate.key), ""),
        ("is damaged", own, damaged, ""),
        ("is damaged", key, key, ""),
    ]
    for words, client_cert, client_key, password in cases:
        options = ConnectionOptions(client_cert=client_cert, client_key=client_key, client_key_password=password)
        with pytest.raises(InvalidOption, match=words) as failure:
            tls_context(options)
        assert "wr0ng" not in str(failure.value)
        assert "wr0ng" not in repr(options)
    assert "KEY" not in repr(ConnectionOptions(client_key=client_certificate.key.read_text()))


def test_the_client_certificate_is_for_the_registry_alone(
    certificate: Certificate, client_certificate: Certificate
) -> None:
    """Both servers would take it; only the registry and its token server see it."""
    wanted = ssl.CERT_OPTIONAL
    options = {
        "ca_cert": str(certificate.cert),
        "client_cert": str(client_certificate.cert),
        "client_key": str(client_certificate.key),
    }
    with (
        serve(certificate, client_certificate, wanted) as server,
        serve(certificate, client_certificate, wanted) as other,
        serve(certificate, client_certificate, wanted) as tokens,
    ):
        server.script("HEAD", "", Answer(307, {"Location": other.url + "/v2/org/app/manifests/1"}))
        challenge = f'Bearer realm="{tokens.url}/token",service="registry"'
        server.script("HEAD", "", Answer(401, {"WWW-Authenticate": challenge}))
        tokens.always("GET", "/token", Answer(200, {}, b'{"token": "abc"}'))
        assert resolves(server, **options)
        assert [seen.client for seen in server.seen] == ["client", "client"]
        assert [(seen.client, seen.authorization) for seen in other.seen] == [("", "")]
        assert [seen.client for seen in tokens.seen] == ["client"]


def test_https_is_not_left_by_a_redirect(
    tls_server: FaultServer, server: FaultServer, certificate: Certificate
) -> None:
    for method in ("HEAD", "GET"):
        tls_server.script(method, "", Answer(307, {"Location": server.url + "/v2/org/app/manifests/1"}))
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
