# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with client certificates, proxies and mirrors, through ansible-playbook and with real registries and proxies."""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import contents
from support.certificates import (
    PHRASE,
    ClientCertificate,
    ServerCertificate,
    create_client_certificate,
    create_server_certificate,
)
from support.processes import is_of_another_worker
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.tests.support.forward_proxy import ForwardProxy
from ansible_collections.cloudnative.artifacts.tests.support.socks_proxy import SocksProxy

PUSH, PULL, INFO, VERIFY = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "pull", "info", "verify"))
INSIDE = "registry.inside.test"  # a name that only the proxies know
PROXY_LOGIN = ("keeper", "of:the/proxy@27%keys")
PROXY_USERINFO = "keeper:of%3Athe%2Fproxy%4027%25keys@"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def client_certificate(tmp_path_factory: pytest.TempPathFactory) -> ClientCertificate:
    return create_client_certificate(tmp_path_factory.mktemp("client"))


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "app.yaml").write_text("kind: ConfigMap\n")
    return folder


def task(name: str, module: str, environment: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
    """``environment`` is for what is no secret: Ansible gives it to the shell on its command line."""
    extra = {"environment": dict(environment)} if environment else {}
    return {"name": name, module: options, "ignore_errors": True, **extra}


@contextmanager
def watched_processes(secrets: Sequence[str]) -> Iterator[list[str]]:
    """The command lines of all processes but those of other tests, looked at all the time: those with a secret are in
    the list."""
    found: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    try:
                        line = Path("/proc", entry, "cmdline").read_bytes().decode(errors="replace")
                    except OSError:
                        continue
                    if any(secret in line for secret in secrets) and not is_of_another_worker(int(entry), line):
                        found.append(line)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def run(
    ansible: AnsibleRunner, tasks: list[dict[str, Any]], secrets: Sequence[str], **play: Any
) -> dict[str, TaskResult]:
    """Each task's result by its name, once no secret was found in what they said, or in the process list."""
    with watched_processes(secrets) as seen:
        results = ansible.tasks(tasks, **play)
    assert seen == []
    assert [result.task for result in results] == [each["name"] for each in tasks]
    said = json.dumps(results) + results[0].stdout + results[0].stderr
    assert [secret for secret in secrets if secret in said] == []
    return {result.task: result for result in results}


def failures(results: Mapping[str, TaskResult]) -> dict[str, str]:
    return {name: f"{result['reason']}: {result['msg']}" for name, result in results.items() if result.failed}


# TLS


class Handshakes:
    """A server that does TLS and nothing else."""

    def __init__(self, certificate: ServerCertificate) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        self.proxy = ForwardProxy(tls=context)
        self.ca_cert = str(certificate.ca_cert)


def test_tls(
    ansible: AnsibleRunner,
    tools: Tools,
    server_certificate: ServerCertificate,
    client_certificate: ClientCertificate,
    content: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "registry").mkdir()
    own, stranger = client_certificate, create_client_certificate(tmp_path / "stranger")
    expired = Handshakes(create_server_certificate(tmp_path / "expired", hours=(-4, -1)))
    misnamed = Handshakes(create_server_certificate(tmp_path / "misnamed", names=["registry.example.com"]))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Path(expired.ca_cert).read_text() + server_certificate.ca_cert.read_text())
    key = own.key.read_text()
    with ExitStack() as stack:
        for each in (expired, misnamed):
            stack.enter_context(each.proxy)
        server = stack.enter_context(
            servers.distribution(
                Path(tools["registry"]), tmp_path / "registry", certificate=server_certificate,
                client_ca=own.ca_cert,
            )
        )  # fmt: skip
        ref = f"{server.host}/tls/config:1"
        ca_cert = {"ca_cert": str(server_certificate.ca_cert)}
        identity = {"client_cert": str(own.cert), "client_key": str(own.key)}
        locked = {"client_cert": str(own.cert), "client_key": own.locked_key.read_text()}
        look: dict[str, Any] = {"ref": ref, "gather": []}
        tasks = [
            task("text", PUSH, path=str(content), ref=ref, client_cert=own.cert.read_text(), client_key=key, **ca_cert),
            task("paths", PULL, ref=ref, dest=str(tmp_path / "out"), **identity, **ca_cert),
            task("passphrase", INFO, **look, **locked, client_key_password=PHRASE, **ca_cert),
            task("authority of the system", INFO, {"SSL_CERT_FILE": str(bundle)}, **look, **identity),
            task("added to the system's", INFO, {"SSL_CERT_FILE": ca_cert["ca_cert"]}, **look, **identity,
                 ca_cert=expired.ca_cert),
            task("no certificate", INFO, **look, **ca_cert),
            task("a stranger's", INFO, **look, client_cert=str(stranger.cert), client_key=str(stranger.key), **ca_cert),
            task("no passphrase", INFO, **look, **locked, **ca_cert),
            task("wrong passphrase", INFO, **look, **locked, client_key_password="Wr0ng+phrase", **ca_cert),
            task("unknown authority", INFO, **look, **identity),
            task("expired", INFO, ref=f"{expired.proxy.host}/a:1", ca_cert=expired.ca_cert),
            task("of another host", INFO, ref=f"{misnamed.proxy.host}/a:1", ca_cert=misnamed.ca_cert),
        ]  # fmt: skip
        secrets = [key.splitlines()[1], own.locked_key.read_text().splitlines()[1], PHRASE, "Wr0ng+phrase"]
        results = run(ansible, tasks, secrets)
    assert contents(tmp_path / "out") == {"app.yaml": "kind: ConfigMap\n"}
    words = {
        "no certificate": "client certificate",
        "a stranger's": "client certificate",
        "no passphrase": "InvalidOption: .*'client_key' is encrypted",
        "wrong passphrase": "InvalidOption: .*'client_key_password' does not decrypt",
        "unknown authority": "TLSFailed: .*not trusted .*'ca_cert'",
        "expired": "TLSFailed: .*has expired",
        "of another host": "TLSFailed: .*is for another host .*127.0.0.1",
    }
    found = failures(results)
    assert list(found) == list(words)
    for name, pattern in words.items():
        assert_matches(pattern, found[name])
    for name in ("no certificate", "a stranger's"):
        # where the server's word is lost with the connection, only the connection is to be blamed
        assert results[name]["reason"] in ("TLSFailed", "ConnectionFailed")


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), f"{pattern!r} is not in {text!r}"


@pytest.mark.once
def test_an_ipv6_registry(
    ansible: AnsibleRunner, tools: Tools, content: Path, tmp_path: Path, collections_tree: Path
) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    certificate = create_server_certificate(tmp_path / "six", names=["::1"])
    (tmp_path / "registry").mkdir()
    with (
        servers.distribution(
            Path(tools["registry"]), tmp_path / "registry", certificate=certificate, address="[::1]"
        ) as server,
        ForwardProxy(PROXY_LOGIN) as proxy,
    ):
        common = {"ref": f"{server.host}/six/config:1", "ca_cert": str(certificate.ca_cert)}
        address = f"http://{PROXY_USERINFO}{proxy.host}"
        tasks = [
            task("push", PUSH, path=str(content), **common),
            task("proxy", PULL, dest=str(tmp_path / "out"), proxy=address, **common),
            task("exempt", INFO, {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": f"[::1]:{server.port}"}, **common),
        ]
        results = run(ansible, tasks, [PROXY_LOGIN[1], PROXY_USERINFO])
        assert failures(results) == {}
        # http.client of older Pythons leaves the brackets out
        bare = server.host.replace("[", "").replace("]", "")
        assert {line.replace("[", "").replace("]", "") for line in proxy.lines()} == {f"CONNECT {bare} 200"}
        assert results["proxy"]["artifact"]["url"] == f"oci://[::1]:{server.port}/six/config"
        assert results["exempt"]["served_by"] == [server.host]


# Proxies


@pytest.mark.once
def test_proxies(
    ansible: AnsibleRunner,
    tools: Tools,
    registry: RegistryServer,
    content: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate = create_server_certificate(tmp_path / "inside", names=[INSIDE])
    own = create_server_certificate(tmp_path / "proxy", names=["localhost"])
    both = certificate.ca_cert.read_text() + own.ca_cert.read_text()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    (tmp_path / "registry").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(
            servers.distribution(Path(tools["registry"]), tmp_path / "registry", certificate=certificate, htpasswd=True)
        )
        hosts = {INSIDE: ("127.0.0.1", server.port)}
        http = stack.enter_context(ForwardProxy(PROXY_LOGIN, hosts=hosts))
        https = stack.enter_context(ForwardProxy(PROXY_LOGIN, hosts=hosts, tls=context))
        socks = stack.enter_context(SocksProxy(PROXY_LOGIN, hosts=hosts))
        login = {"username": server.username, "password": server.password}
        inside = {"ref": f"{INSIDE}:{server.port}/proxied/config:1", "ca_cert": both, **login}
        plain = {"ref": f"{registry.host}/proxied/config:1", "insecure": True}
        urls = {
            "http": f"http://{PROXY_USERINFO}{http.host}",
            "https": f"https://{PROXY_USERINFO}localhost:{https.port}",
            "socks": f"socks5h://{PROXY_USERINFO}{socks.host}",
        }
        for name, value in (("HTTPS_PROXY", urls["http"]), ("http_proxy", urls["http"]), ("NO_PROXY", ".other.test")):
            monkeypatch.setenv(name, value)
        dest = {name: str(tmp_path / name) for name in ("http", "https", "socks")}
        tasks = [
            task("push", PUSH, path=str(content), proxy=urls["http"], **inside),
            task("http", PULL, dest=dest["http"], proxy=urls["http"], **inside),
            task("https", PULL, dest=dest["https"], proxy=urls["https"], **inside),
            task("socks", PULL, dest=dest["socks"], proxy=urls["socks"], **inside),
            task("environment", INFO, **inside),
            task("push plain", PUSH, path=str(content), proxy=urls["http"], **plain),
            task("plain by environment", INFO, **plain),
            task("plain over https", INFO, proxy=urls["https"], ca_cert=both, **plain),
            task("exempt", INFO, no_proxy=["127.0.0.0/8"], **plain),
            task("wrong password", INFO, proxy=f"http://keeper:Wr0ng+login@{http.host}", **inside),
            task("wrong password for socks", INFO, proxy=f"socks5h://keeper:Wr0ng+login@{socks.host}", **inside),
        ]
        secrets = [*PROXY_LOGIN[1:], PROXY_USERINFO, "Wr0ng+login", str(server.password)]
        results = run(ansible, tasks, secrets)
    words = {
        "wrong password": f"ConnectionFailed: .*at the proxy http://{http.host}: .*407.*did not accept",
        "wrong password for socks": f"ConnectionFailed: .*proxy socks5h://{socks.host} failed: .*authentication",
    }
    found = failures(results)
    assert list(found) == list(words)
    for name, pattern in words.items():
        assert_matches(pattern, found[name])
    assert all(contents(Path(path)) == {"app.yaml": "kind: ConfigMap\n"} for path in dest.values())
    tunnel = f"CONNECT {INSIDE}:{server.port}"
    tunnels = [line for line in http.lines() if line.startswith("CONNECT")]
    # two tasks that only read, and the push with at most four transfers at a time: connections are kept
    assert 3 <= tunnels.count(f"{tunnel} 200") <= 6
    assert [line for line in tunnels if not line.endswith(" 200")] == [f"{tunnel} 407"]
    assert [line for line in https.lines() if line.startswith("CONNECT")] == [f"{tunnel} 200"]
    assert socks.log == [f"{INSIDE}:{server.port}"]
    assert socks.refused == 1
    for entry in [*http.log, *https.log]:
        assert "authorization" not in {name.lower() for name in entry.headers}
    looked = f"{registry.url}/v2/proxied/config/manifests/1 200"
    assert [line for line in https.lines() if not line.startswith("CONNECT")] == [f"GET {looked}"]
    assert f"GET {looked}" in http.lines()
    # nothing of the task that was exempt
    assert len([line for line in http.lines() if line == f"GET {looked}"]) == 1


# Mirrors


class Site:
    """A registry that wants a login, a pull-through cache of it, and a plain mirror that was filled by hand."""

    def __init__(self, tools: Tools, folder: Path, stack: ExitStack) -> None:
        binary = Path(tools["registry"])
        for name in ("origin", "cache", "plain"):
            (folder / name).mkdir()
        self.origin = stack.enter_context(servers.distribution(binary, folder / "origin", htpasswd=True))
        self.cache = stack.enter_context(servers.distribution(binary, folder / "cache", mirrored=self.origin))
        self.plain = stack.enter_context(servers.distribution(binary, folder / "plain"))
        # what sees each request with its headers
        self.recorder = stack.enter_context(ForwardProxy())
        self._folder = folder

    @property
    def login(self) -> dict[str, Any]:
        return {"username": self.origin.username, "password": self.origin.password}

    def damage(self, digest: str) -> None:
        """Change a byte of a blob on the plain mirror's disk."""
        algorithm, encoded = digest.split(":")
        [path] = self._folder.glob(f"plain/storage/**/blobs/{algorithm}/{encoded[:2]}/{encoded}/data")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@pytest.mark.once
def test_mirrors(ansible: AnsibleRunner, tools: Tools, content: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        check_mirrors(ansible, Site(tools, tmp_path, stack), tools, content, tmp_path)


def check_mirrors(ansible: AnsibleRunner, site: Site, tools: Tools, content: Path, tmp_path: Path) -> None:
    tools.run("cosign", "generate-key-pair", cwd=tmp_path, env={"COSIGN_PASSWORD": ""})
    large = tmp_path / "large"
    large.mkdir()
    (large / "data").write_bytes(os.urandom(6_000_000))
    origin, cache, plain, nowhere = site.origin.host, site.cache.host, site.plain.host, "127.0.0.1:9"
    names = [f"{plain}/hub/library/app", f"{origin}/org/app"]
    published = [
        task(f"publish {name} {tag}", PUSH, path=str(path), url=f"oci://{name}", tags=[tag], **site.login, **extra)
        for name in names
        for tag, path, extra in (
            ("1.0.0", content, {"sign": {"key": str(tmp_path / "cosign.key"), "key_password": ""}}),
            ("2.0.0", large, {}),
        )
    ]
    published += [
        task("only there", PUSH, path=str(content), ref=f"{origin}/org/late:1", **site.login),
        task("for the damage", PUSH, path=str(large), ref=f"{plain}/hub/org/app:2.0.0"),
    ]
    made = run(ansible, published, [str(site.origin.password)], module_defaults={PUSH: {"insecure": True}})
    assert failures(made) == {}
    layer = made[f"publish {names[1]} 2.0.0"]["artifact"]["layer"]["digest"]
    site.damage(layer)
    signed = made[f"publish {names[0]} 1.0.0"]["artifact"]["digest"]

    def through(host: str, *mirrors: str, mode: str = "fallback") -> dict[str, Any]:
        return {"mirrors": {host: [{"url": f"http://{mirror}", "mode": mode} for mirror in mirrors]}}

    hub = through("index.docker.io", f"{plain}/hub", mode="replace")
    policy = {"public_keys": [str(tmp_path / "cosign.pub")]}
    dest = {name: str(tmp_path / "out" / name) for name in ("hub", "cache", "dead", "damaged", "hopeless")}
    recorder = {"proxy": site.recorder.url}
    own = {"url": f"oci://{origin}/org/app", **site.login}
    tasks = [
        task("replaced", PULL, ref="docker.io/app:1.0.0", dest=dest["hub"], verify=policy, **hub, **recorder),
        task("pinned", PULL, ref=f"docker.io/app@{signed}", dest=dest["hub"], **hub),
        task("pinned again", PULL, ref=f"docker.io/app@{signed}", dest=dest["hub"], retries=0,
             **through("docker.io", nowhere, mode="replace")),
        task("range", INFO, url="oci://docker.io/library/app", semver=">=1", gather=["tags"], **hub),
        task("verified", VERIFY, ref="docker.io/library/app:1.0.0", **policy, **hub),
        task("not on the hub", INFO, ref="docker.io/library/other:1", **hub),
        task("cache", PULL, semver="1.x", dest=dest["cache"], verify=policy, **own, **recorder,
             **through(origin, cache)),
        task("dead", PULL, tag="1.0.0", dest=dest["dead"], **own, **through(origin, nowhere, f"{nowhere}/x")),
        task("not there", INFO, ref=f"{origin}/org/late:1", gather=[], **site.login, **recorder,
             **through(origin, f"{plain}/hub")),
        task("nowhere", INFO, ref=f"{origin}/org/never:1", missing_ok=True, **site.login,
             **through(origin, f"{plain}/hub")),
        task("by path", INFO, ref=f"{origin}/org/app:1.0.0", gather=[], **site.login,
             **through(f"{origin}/org", f"{plain}/hub/library", mode="replace")),
        task("damaged", PULL, tag="2.0.0", dest=dest["damaged"], **own, **through(origin, f"{plain}/hub")),
        task("hopeless", PULL, tag="2.0.0", dest=dest["hopeless"], **own,
             **through(origin, f"{plain}/hub", mode="replace")),
        task("written", PUSH, path=str(content), tag="3.0.0", **own, **through(origin, f"{plain}/hub", mode="replace")),
    ]  # fmt: skip
    defaults = {module: {"insecure": True} for module in (PUSH, PULL, INFO, VERIFY)}
    results = run(ansible, tasks, [str(site.origin.password)], module_defaults=defaults)
    found = failures(results)
    assert list(found) == ["not on the hub", "hopeless"]
    assert_matches(f"OCIArtifactPullFailed: .*{plain}/hub/library/other:1", found["not on the hub"])
    assert_matches("OCIArtifactPullFailed: .*does not match its digest", found["hopeless"])
    assert not list(Path(dest["hopeless"]).glob("*"))
    served = {name: result.get("served_by") for name, result in results.items() if not result.failed}
    assert served == {
        "replaced": [plain],
        "pinned": [plain],
        "pinned again": [],
        "range": [plain],
        "verified": [plain],
        "cache": [cache],
        "dead": [origin],
        "not there": [origin],
        "nowhere": [],
        "by path": [plain],
        "damaged": [plain, origin],
        "written": None,
    }
    assert results["replaced"]["artifact"]["url"] == "oci://docker.io/library/app"
    assert [results[name]["verification"]["verified"] for name in ("replaced", "verified", "cache")] == [True] * 3
    assert results["range"]["tags"][:2] == ["2.0.0", "1.0.0"]
    assert (results["pinned again"].changed, results["nowhere"]["exists"]) == (False, False)
    for name in ("hub", "cache", "dead"):
        assert contents(Path(dest[name])) == {"app.yaml": "kind: ConfigMap\n"}
    assert (Path(dest["damaged"]) / "data").read_bytes() == (large / "data").read_bytes()
    warned = {name: len(result["warnings"]) for name, result in results.items() if result["warnings"]}
    assert {"dead", "damaged"} <= set(warned)
    assert nowhere in results["dead"]["warnings"][0]
    assert plain in results["damaged"]["warnings"][0]
    # whoever mirrors sees no password of the registry's
    for entry in site.recorder.log:
        assert ("Authorization" in entry.headers) == (f"//{origin}/" in entry.target), entry.target
    assert {entry.target.split("/")[2] for entry in site.recorder.log} == {plain, cache, origin}
    assert not [entry for entry in site.plain.requests() if "3.0.0" in entry.path]
