# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which proxy a request takes, what it sees, and what is said of it: on real sockets."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    InvalidOption,
    MissingDependency,
    OciError,
    RegistryError,
    TlsFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http.proxy import (
    check_proxy,
    goes_around,
    proxy_for,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.tests.support.forward_proxy import ForwardProxy
from ansible_collections.cloudnative.artifacts.tests.support.socks_proxy import SocksProxy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    MANIFEST,
    Certificate,
    create_certificate,
    resolves,
    serve,
    server_context,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import Harness

LOGIN = ("keeper", "s3cret:@/of the%proxy")
USERINFO = "keeper:s3cret%3A%40%2Fof%20the%25proxy@"
REGISTRY_LOGIN = Credential("reader", "registry-pass")


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with ForwardProxy(LOGIN) as proxy:
        yield proxy


def with_login(proxy: ForwardProxy) -> str:
    return proxy.url.replace("://", f"://{USERINFO}")


# The rule


@pytest.mark.parametrize(
    ("entry", "host", "port", "is_exempt"),
    [
        ("*", "registry.example.com", 443, True),
        ("example.com", "example.com", 443, True),
        ("example.com", "registry.example.com", 5000, True),
        (".example.com", "registry.example.com", 443, True),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "registry.example.com", 443, True),
        ("EXAMPLE.com.", "registry.example.com", 443, True),
        ("example.com", "registry.example.com.", 443, True),
        ("example.com", "notexample.com", 443, False),
        ("registry.example.com", "example.com", 443, False),
        ("example.com:5000", "registry.example.com", 5000, True),
        ("example.com:5000", "registry.example.com", 443, False),
        ("*:5000", "registry.example.com", 5000, True),
        ("*:5000", "registry.example.com", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:5000", "10.1.2.3", 443, False),
        ("2.3", "10.1.2.3", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3/8", "10.9.9.9", 443, True),
        ("10.0.0.0/8", "ten.example.com", 443, False),
        ("10.0.0.0/8", "fd00::1", 443, False),
        ("fd00::/8", "fd00::1", 443, True),
        ("::1", "::1", 5000, True),
        ("[::1]", "::1", 5000, True),
        ("[::1]:5000", "::1", 5000, True),
        ("[::1]:5000", "::1", 5001, False),
        ("0:0:0:0:0:0:0:1", "::1", 5000, True),
        ("::1", "::2", 5000, False),
        ("10.1.2.3", "::ffff:10.1.2.3", 443, True),
        ("", "registry.example.com", 443, False),
        (".", "registry.example.com", 443, False),
        ("10.0.0.0/99", "10.1.2.3", 443, False),
        ("example.com:port", "example.com", 443, False),
    ],
)
def test_what_goes_around_a_proxy(entry: str, host: str, port: int, is_exempt: bool) -> None:
    assert goes_around(host, port, ["other.test", entry]) is is_exempt


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https://h/", "http://p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "https://h/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://h/", ""),
        ({"HTTP_PROXY": "http://p:1"}, "http://h/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://h/", "http://p:1"),
        ({"all_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "https://h/", "http://q:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://h/", "http://p:1"),
        ({"HTTPS_PROXY": " "}, "https://h/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a,h"}, "https://h/", ""),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "a h", "NO_PROXY": "b"}, "https://h/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h:80"}, "https://h/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h:443"}, "https://h/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[::1]:5000"}, "https://[::1]:5000/v2/", ""),
        ({}, "https://h/", ""),
    ],
)
def test_the_environments_proxy(environ: dict[str, str], url: str, proxy: str) -> None:
    assert proxy_for(url, ConnectionOptions(), environ) == proxy


def test_the_options_win_over_the_environment() -> None:
    environ = {"HTTPS_PROXY": "http://environment:1", "NO_PROXY": "*"}
    assert proxy_for("https://h/", ConnectionOptions(proxy="http://option:1"), environ) == "http://option:1"
    given = ConnectionOptions(proxy="http://option:1", no_proxy=("h",))
    assert proxy_for("https://h/", given, environ) == ""
    assert proxy_for("https://other/", given, environ) == "http://option:1"
    # without a proxy of its own, a task can still say what goes around the environment's
    assert proxy_for("https://h/", ConnectionOptions(no_proxy=()), environ) == "http://environment:1"
    assert proxy_for("https://h/", ConnectionOptions(no_proxy=("h",)), environ) == ""


@pytest.mark.parametrize(
    "address", ["http://user:s3cret@[bad", "http://user:s3cret@h:99999", "x://user:s3cret@h", "http://user:s3cret@"]
)
def test_a_malformed_proxy_is_not_shown(address: str, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidOption, match="The 'proxy' is not the URL") as failure:
        resolves(server, insecure=True, proxy=address)
    assert "s3cret" not in str(failure.value)
    assert "s3cret" not in repr(ConnectionOptions(proxy=address))
    monkeypatch.setenv("all_proxy", address)
    with pytest.raises(InvalidOption, match="environment's all_proxy is not the URL") as failure:
        resolves(server, insecure=True)
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "host:port", "host:70000", "[::1]5000"])
def test_an_exception_that_cannot_be_used(entry: str) -> None:
    with pytest.raises(InvalidOption, match="'no_proxy' has the entry"):
        check_proxy(ConnectionOptions(no_proxy=("example.com", entry)))


# HTTP and HTTPS proxies


def test_a_tunnel_sees_no_credentials_of_the_registry(
    tls_server: FaultServer, proxy: ForwardProxy, certificate: Certificate
) -> None:
    harness = Harness(
        tls_server, REGISTRY_LOGIN, insecure=False, ca_cert=str(certificate.cert), proxy=with_login(proxy)
    )
    for _time in range(3):
        assert harness.repository.resolve("1") == MANIFEST.descriptor
    # one connection for all three
    assert proxy.lines() == [f"CONNECT {tls_server.host} 200"]
    assert "authorization" not in {name.lower() for name in proxy.log[0].headers}
    assert [seen.authorization for seen in tls_server.seen] == ["Basic " + REGISTRY_LOGIN.basic] * 3
    assert not any("Proxy-Authorization" in seen.headers for seen in tls_server.seen)


def test_plain_http_through_a_proxy(server: FaultServer, proxy: ForwardProxy) -> None:
    assert resolves(server, insecure=True, proxy=with_login(proxy))
    assert proxy.lines() == [f"HEAD {server.url}/v2/org/app/manifests/1 200"]
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    assert proxy.log[0].headers["Proxy-Authorization"] == f"Basic {login}"
    assert not any("Proxy-Authorization" in seen.headers for seen in server.seen)


def test_a_redirect_around_the_proxy_takes_no_credentials_along(
    server: FaultServer, proxy: ForwardProxy, certificate: Certificate
) -> None:
    with serve(certificate) as other:
        server.script("HEAD", "", Answer(307, {"Location": other.url + "/v2/org/app/manifests/1"}))
        options = {"proxy": with_login(proxy), "no_proxy": (other.host,), "ca_cert": str(certificate.cert)}
        assert Harness(server, REGISTRY_LOGIN, insecure=True, **options).repository.resolve("1")
        assert len(proxy.log) == 1
        assert {name.lower() for name in other.seen[0].headers}.isdisjoint({"authorization", "proxy-authorization"})


def test_a_proxy_over_tls(
    server: FaultServer, tls_server: FaultServer, certificate: Certificate, tmp_path: Path
) -> None:
    own = create_certificate(tmp_path, "proxy", "localhost")
    both = own.cert.read_text() + certificate.cert.read_text()
    client = create_certificate(tmp_path, "client")
    identity = {"client_cert": str(client.cert), "client_key": str(client.key)}
    with ForwardProxy(LOGIN, tls=server_context(own)) as proxy:
        # by name: with an IP address, urllib3 1.26 cannot compare the certificate of a proxy
        address = with_login(proxy).replace("127.0.0.1", "localhost")
        assert resolves(tls_server, ca_cert=both, proxy=address, **identity)
        assert resolves(server, insecure=True, ca_cert=both, proxy=address)
        assert [line.partition(" ")[0] for line in proxy.lines()] == ["CONNECT", "HEAD"]
        for target, options in ((tls_server, {}), (server, {"insecure": True})):
            with pytest.raises(TlsFailed, match="certificate of the (server or the )?proxy is not trusted") as failure:
                resolves(target, ca_cert=str(certificate.cert), proxy=address, **options)
            assert "s3cret" not in str(failure.value)
        assert len(proxy.log) == 2


def test_a_proxy_does_not_see_the_client_certificate(
    tls_server: FaultServer, certificate: Certificate, tmp_path: Path
) -> None:
    own, client = create_certificate(tmp_path, "proxy", "localhost"), create_certificate(tmp_path, "client")
    identity = {"client_cert": str(client.cert), "client_key": str(client.key)}
    with ForwardProxy(tls=server_context(own, client)) as proxy, pytest.raises(ConnectionFailed):
        # the proxy wants one, and gets none
        resolves(
            tls_server,
            ca_cert=own.cert.read_text() + certificate.cert.read_text(),
            proxy=proxy.url.replace("127.0.0.1", "localhost"),
            **identity,
        )
    assert proxy.log == []


@pytest.mark.parametrize(("login", "hint"), [("", "wants a user name"), ("keeper:wr0ng@", "did not accept the user")])
def test_a_proxys_refusal_is_not_repeated(tls_server: FaultServer, proxy: ForwardProxy, login: str, hint: str) -> None:
    harness = Harness(tls_server, insecure=False, proxy=proxy.url.replace("://", f"://{login}"))
    with pytest.raises(ConnectionFailed, match=f"at the proxy http://{proxy.host}: .*407.*{hint}") as failure:
        harness.repository.resolve("1")
    assert failure.value.is_lasting
    assert (len(proxy.log), harness.sleeps) == (1, [])
    assert "wr0ng" not in str(failure.value)


def test_a_refusal_over_plain_http_is_not_repeated(server: FaultServer, proxy: ForwardProxy) -> None:
    with pytest.raises(RegistryError, match="status 407.*user:password"):
        Harness(server, insecure=True, proxy=proxy.url).repository.fetch_manifest("1")
    assert len(proxy.log) == 1


def test_a_proxy_that_does_not_let_through(tls_server: FaultServer, certificate: Certificate) -> None:
    with serve() as gate:
        gate.always("CONNECT", "", Answer(403, {}))
        harness = Harness(tls_server, insecure=False, proxy=gate.url)
        with pytest.raises(ConnectionFailed, match="403.*does not let requests to this host through"):
            harness.repository.resolve("1")
        assert (len(gate.seen), harness.sleeps) == (1, [])


def test_a_proxy_that_cannot_be_reached(tls_server: FaultServer) -> None:
    harness = Harness(tls_server, insecure=False, retries=1, proxy="http://keeper:s3cret@127.0.0.1:9")
    with pytest.raises(ConnectionFailed, match="at the proxy http://127.0.0.1:9: .*Connection refused") as failure:
        harness.repository.resolve("1")
    assert "s3cret" not in str(failure.value)
    assert len(harness.sleeps) == 1  # it may be back in a moment
    assert not failure.value.is_lasting


def test_behind_the_proxy_nobody_answers(proxy: ForwardProxy) -> None:
    with serve() as gone:
        host = gone.host
    with pytest.raises(ConnectionFailed, match="at the proxy .*502"):
        Harness(gone, insecure=False, retries=0, host=host, proxy=with_login(proxy)).repository.resolve("1")


# SOCKS proxies


def test_a_socks_proxy_looks_names_up_itself(certificate: Certificate, tmp_path: Path) -> None:
    own = create_certificate(tmp_path, "inside", "registry.inside.test")
    with serve(own) as server, SocksProxy(LOGIN, {"registry.inside.test": ("127.0.0.1", server.port)}) as proxy:
        harness = Harness(
            server,
            REGISTRY_LOGIN,
            host=f"registry.inside.test:{server.port}",
            insecure=False,
            ca_cert=str(own.cert),
            proxy=f"socks5h://{USERINFO}{proxy.host}",
        )
        for _time in range(2):
            assert harness.repository.resolve("1") == MANIFEST.descriptor
        assert proxy.log == [f"registry.inside.test:{server.port}"]


def test_plain_http_and_addresses_through_socks(server: FaultServer) -> None:
    with SocksProxy() as proxy:
        assert resolves(server, insecure=True, proxy=f"socks5://{proxy.host}")
        assert proxy.log == [server.host]


def test_a_socks_login_that_is_refused(server: FaultServer) -> None:
    with SocksProxy(LOGIN) as proxy:
        harness = Harness(server, insecure=True, proxy=f"socks5h://keeper:wr0ng@{proxy.host}")
        with pytest.raises(ConnectionFailed, match=f"through the proxy socks5h://{proxy.host} failed") as failure:
            harness.repository.resolve("1")
        assert "authentication failed" in str(failure.value)
        assert "wr0ng" not in str(failure.value)
        assert (proxy.refused, harness.sleeps) == (1, [])
        assert failure.value.is_lasting


def test_a_socks_proxy_that_cannot_be_reached(server: FaultServer) -> None:
    harness = Harness(server, insecure=True, retries=1, proxy="socks5h://keeper:s3cret@127.0.0.1:9")
    with pytest.raises(ConnectionFailed, match="through the proxy socks5h://127.0.0.1:9 failed") as failure:
        harness.repository.resolve("1")
    assert "s3cret" not in str(failure.value)
    assert len(harness.sleeps) == 1


def test_socks_without_its_package(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)  # the import system's own way to say that there is none
    with pytest.raises(MissingDependency, match="The 'proxy' is a SOCKS proxy.*pip install 'PySocks>=1.7'"):
        resolves(server, insecure=True, proxy="socks5h://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://keeper:s3cret@127.0.0.1:9")
    with pytest.raises(MissingDependency, match="environment's ALL_PROXY is a SOCKS proxy") as failure:
        resolves(server, insecure=True)
    assert "s3cret" not in str(failure.value)
    assert server.seen == []


# IPv6


def has_ipv6() -> bool:
    import socket

    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("kind", ["", "http", "http over IPv6", "socks5h"])
def test_an_ipv6_registry(kind: str, tmp_path: Path) -> None:
    own = create_certificate(tmp_path, "six", "::1")
    other = create_certificate(tmp_path, "other", "::2")
    http = ForwardProxy(LOGIN, address="::1" if "IPv6" in kind else "127.0.0.1")
    with http, serve(own, address="::1") as server, SocksProxy(LOGIN) as socks:
        assert server.host == f"[::1]:{server.port}"
        options: dict[str, Any] = {"ca_cert": str(own.cert)}
        if kind:
            options["proxy"] = f"socks5h://{USERINFO}{socks.host}" if kind == "socks5h" else with_login(http)
        assert resolves(server, **options)
        assert [seen.headers["Host"] for seen in server.seen] == [server.host]
        assert http.lines() == ([f"CONNECT {server.host} 200"] if kind.startswith("http") else [])
        assert socks.log == ([f"::1:{server.port}"] if kind == "socks5h" else [])
        assert resolves(server, **options, no_proxy=("[::1]",))
        assert len(http.log) + len(socks.log) == bool(kind)
        with serve(other, address="::1") as wrong, pytest.raises(TlsFailed, match="is for another host .*::1"):
            resolves(wrong, ca_cert=str(other.cert))
    with pytest.raises(OciError, match=r"\[::1\]"):
        resolves(server, ca_cert=str(own.cert))
