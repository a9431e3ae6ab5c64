# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server sees and says the same without the kubernetes client as with it; what is not plain is left to that."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.certificates import (
    ClientCertificate,
    ServerCertificate,
    create_client_certificate,
    create_server_certificate,
)

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    InvalidOption,
    OciError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube import rest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import KubeOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.plain_config import plain_connection
from ansible_collections.cloudnative.artifacts.tests.support.forward_proxy import ForwardProxy
from ansible_collections.cloudnative.artifacts.tests.support.socks_proxy import SocksProxy

TOKEN = "the-token-of-the-kubeconfig"


@dataclass
class Api:
    """A server that answers with what it sees of a client."""

    folder: Path
    url: str
    server: ServerCertificate
    client: ClientCertificate


@dataclass
class Case:
    """A kubeconfig and options to be changed by a test."""

    api: Api
    cluster: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    options: KubeOptions = field(default_factory=KubeOptions)
    environment: dict[str, str] = field(default_factory=dict)

    def set(self, **options: Any) -> None:
        self.options = replace(self.options, **options)

    def write(self) -> KubeOptions:
        path = self.api.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(self.document))
        return replace(self.options, kubeconfig=self.options.kubeconfig or str(path))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("kube")
    names = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            certificate = self.connection.getpeercert()  # type: ignore[attr-defined]
            seen = {"authorization": self.headers.get("Authorization"), "subject": (certificate or {}).get("subject")}
            body = json.dumps({**seen, "name": names[-1]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server, client = create_server_certificate(folder), create_client_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    context.load_verify_locations(client.ca_cert)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.sni_callback = lambda _socket, name, _context: names.append(name)  # type: ignore[assignment]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        yield Api(folder, f"https://127.0.0.1:{listener.server_port}", server, client)
        listener.shutdown()
        thread.join()


@pytest.fixture
def case(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Case:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    case = Case(api)
    case.cluster.update({"server": api.url, "certificate-authority-data": data(api.server.ca_cert)})
    case.user["token"] = TOKEN
    case.context.update({"cluster": "one", "user": "me"})
    case.document.update({
        "current-context": "here",
        "clusters": [{"name": "one", "cluster": case.cluster}, {"name": "two", "cluster": {"server": "http://two"}}],
        "users": [{"name": "me", "user": case.user}, {"name": "nobody", "user": None}],
        "contexts": [
            {"name": "here", "context": case.context},
            {"name": "there", "context": {"cluster": "one"}},
        ],
    })  # fmt: skip
    return case


def data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def files(case: Case) -> None:
    """All files by their paths, one beside the kubeconfig."""
    case.cluster.pop("certificate-authority-data")
    case.cluster["certificate-authority"] = "ca.pem"
    case.user.clear()
    case.user.update({"client-certificate": str(case.api.client.cert), "client-key": str(case.api.client.key)})


def inside(case: Case) -> None:
    """A client certificate in the kubeconfig, as kubeadm makes it."""
    case.user.clear()
    client = case.api.client
    case.user.update({"client-certificate-data": data(client.cert), "client-key-data": data(client.key)})


def unverified(case: Case) -> None:
    case.cluster.pop("certificate-authority-data")
    case.cluster["insecure-skip-tls-verify"] = True


PLAIN: dict[str, Callable[[Case], Any]] = {
    "a token": lambda _case: None,
    "files": files,
    "a client certificate inside": inside,
    "a certificate that is not checked": unverified,
    "a certificate that the option leaves unchecked": lambda case: (
        case.cluster.pop("certificate-authority-data"), case.set(validate_certs=False)
    ),
    "a server by another name": lambda case: case.cluster.update({"tls-server-name": "localhost"}),
    "a server by a name that it does not have": lambda case: case.cluster.update({"tls-server-name": "other.test"}),
    "authorities that do not vouch": lambda case: case.cluster.update(
        {"certificate-authority-data": data(case.api.client.ca_cert)}
    ),
    "a context": lambda case: case.set(context="there"),
    "a mapping": lambda case: case.set(kubeconfig=case.document),
    "a token in the options": lambda case: case.set(api_key="other"),
    "authorities in the options": lambda case: (
        case.cluster.pop("certificate-authority-data"), case.set(ca_cert=str(case.api.server.ca_cert))
    ),
    "options alone": lambda case: case.set(
        host=f"{case.api.url}/", api_key="other", ca_cert=str(case.api.server.ca_cert), kubeconfig="/none"
    ),
    "an address in the options": lambda case: (
        case.cluster.update(server="https://else.test"), case.set(host=case.api.url)
    ),
}  # fmt: skip

OTHER: dict[str, Callable[[Case], Any]] = {
    "a credential plugin": lambda case: case.user.update(exec={"command": "x"}),
    "a password": lambda case: case.user.update(username="a", password="b"),
    "a token in a file": lambda case: case.user.update(tokenFile="/x"),
    "a provider": lambda case: case.user.update({"auth-provider": {"name": "oidc"}}),
    "no kubeconfig": lambda case: case.set(kubeconfig=str(case.api.folder / "none")),
    "two kubeconfigs": lambda case: case.set(kubeconfig=f"{case.api.folder}/kubeconfig:/x"),
    "a Pod": lambda case: (case.set(kubeconfig="~/none"), case.environment.update(KUBERNETES_SERVICE_HOST="x")),
    "no such context": lambda case: case.set(context="nowhere"),
    "a context twice": lambda case: case.document["contexts"].append({"name": "here", "context": case.context}),
    "a user that is nothing": lambda case: case.context.update(user="nobody"),
    "no such user": lambda case: case.context.update(user="stranger"),
    "no cluster": lambda case: case.context.pop("cluster"),
    "no list": lambda case: case.document.update(clusters={"one": case.cluster}),
    "no mapping": lambda case: case.document["users"][0].update(user="me"),
    "a number": lambda case: case.user.update(token=1),
    "a text for a truth value": lambda case: case.cluster.update({"insecure-skip-tls-verify": "false"}),
    "no base64": lambda case: case.cluster.update({"certificate-authority-data": "%"}),
    "no certificate": lambda case: case.cluster.update({"certificate-authority-data": "eA=="}),
    "no file": lambda case: case.set(ca_cert="/none"),
    "a key without its certificate": lambda case: case.user.update({"client-key-data": data(case.api.client.key)}),
    "a locked key": lambda case: case.user.update(
        {"client-certificate": str(case.api.client.cert), "client-key": str(case.api.client.locked_key)}
    ),
    "a path beside a mapping": lambda case: (files(case), case.set(kubeconfig=case.document)),
    "another protocol": lambda case: case.cluster.update(server="ftp://x"),
    "another protocol in the options": lambda case: case.set(host="http://x"),
}


def seen(options: KubeOptions) -> Any:
    try:
        return rest.KubeRest(options).get("/anything")
    except OciError as exc:
        return type(exc), exc.message


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("name", PLAIN)
def test_the_server_sees_the_same(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLAIN[name](case)
    options = case.write()
    assert plain_connection(options) is not None
    without = seen(options)
    monkeypatch.setattr(rest, "plain_connection", lambda _options: None)
    assert without == seen(options)
    # what was compared is something
    assert isinstance(without, dict) == (
        name not in ("a server by a name that it does not have", "authorities that do not vouch")
    )
    assert TOKEN not in repr(plain_connection(options))


LOGIN = ("keeper", "of:the/proxy@27%keys")
USERINFO = "keeper:of%3Athe%2Fproxy%4027%25keys@"
KUBE_API = "kube.test"


@pytest.fixture(params=["http", "https", "socks5"])
def proxy(case: Case, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A proxy that wants a login, and alone knows where the API server is."""
    address = ("127.0.0.1", int(case.api.url.rpartition(":")[2]))
    case.cluster.update({"server": f"https://{KUBE_API}:{address[1]}", "tls-server-name": "localhost"})
    if request.param == "socks5":
        made: Any = SocksProxy(LOGIN, hosts={KUBE_API: address})
    else:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if request.param == "https" else None
        if tls is not None:
            # of the cluster's own authority, which vouches for the proxy, too
            tls.load_cert_chain(case.api.server.cert, case.api.server.key)
        made = ForwardProxy(LOGIN, tls=tls, hosts={KUBE_API: address})
    with made:
        yield made, f"{request.param}://{USERINFO}{made.host}"


@pytest.mark.parametrize("place", ["option", "kubeconfig", "environment"])
@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "client"])
def test_a_proxy_is_used_by_either_connection(
    case: Case, proxy: Any, place: str, is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = proxy
    wrong = "http://127.0.0.1:9"
    # what comes later in the order says something else
    monkeypatch.setenv("HTTPS_PROXY", url if place == "environment" else wrong)
    # the lower case counts for less, and so does what is of other programs
    monkeypatch.setenv("https_proxy", wrong)
    monkeypatch.setenv("HTTP_PROXY", wrong)
    monkeypatch.setenv("ALL_PROXY", wrong)
    if place != "environment":
        case.cluster["proxy-url"] = url if place == "kubeconfig" else wrong
        monkeypatch.setenv("NO_PROXY", "*")
    if place == "option":
        case.set(proxy=url)
    options = case.write()
    if not is_plain:
        monkeypatch.setattr(rest, "plain_connection", lambda _options: None)
    found = seen(options)
    assert found["authorization"] == f"Bearer {TOKEN}" and found["name"] == "localhost"
    assert LOGIN[1] not in repr(plain_connection(options))


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "client"])
def test_a_proxy_that_is_none_or_away(case: Case, is_plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_plain:
        monkeypatch.setattr(rest, "plain_connection", lambda _options: None)
    case.cluster["proxy-url"] = "ftp://keeper:secret@proxy.test"
    with pytest.raises(InvalidOption, match="'proxy-url' of the kubeconfig is not the URL of a proxy") as caught:
        rest.KubeRest(case.write())
    assert "secret" not in str(caught.value)
    case.cluster["proxy-url"] = "http://keeper:secret@127.0.0.1:9"
    kind, message = seen(case.write())
    assert kind is ConnectionFailed and "through the proxy http://127.0.0.1:9" in message and "secret" not in message
    del case.cluster["proxy-url"]
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    # Go reaches the loopback addresses without it
    assert seen(case.write())["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("name", OTHER)
def test_the_client_is_asked(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    OTHER[name](case)
    options = case.write()
    for variable, value in case.environment.items():
        monkeypatch.setenv(variable, value)
    assert plain_connection(options) is None


def test_a_broken_file_and_the_places_of_kubectl(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = case.write()
    monkeypatch.setenv("KUBECONFIG", str(written.kubeconfig))
    assert seen(KubeOptions())["authorization"] == f"Bearer {TOKEN}"
    monkeypatch.delenv("KUBECONFIG")
    assert plain_connection(KubeOptions()) is None
    (tmp_path / ".kube").mkdir()
    home = tmp_path / ".kube/config"
    home.write_bytes(Path(str(written.kubeconfig)).read_bytes())
    assert seen(KubeOptions())["authorization"] == f"Bearer {TOKEN}"
    for text in ("a: [", "", "- a", "text", "[" * 100_000, "&a [*a]"):
        home.write_text(text)
        assert plain_connection(KubeOptions()) is None
