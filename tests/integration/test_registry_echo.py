# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry and a token server that repeat, wherever they can, what they were sent: nothing of it is shown or kept."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import secret_search
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import CONFIG, MANIFEST, Blob, digest_of, manifest_of, tgz

pytestmark = pytest.mark.once

FLUX_LAYER = "application/vnd.cncf.flux.content.v1.tar+gzip"
PASSWORD = "p@ss/W0rd%" + secrets.token_hex(6)
LOGIN = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + base64.urlsafe_b64encode(secrets.token_bytes(240)).decode().rstrip("=") + ".c2ln"
SECRETS = {"password": PASSWORD, "login": LOGIN, "token": TOKEN}


class Echo(BaseHTTPRequestHandler):
    """The first part of a repository's name says where what was sent is repeated."""

    protocol_version = "HTTP/1.1"
    uses_tokens = False
    layer = Blob(tgz({"a.txt": "content"}), FLUX_LAYER)
    config = Blob(b"{}", CONFIG)
    manifests: dict[str, bytes] = {}

    def log_message(self, *_arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        if self.path.startswith("/token"):
            self._answer(200, json.dumps({"token": TOKEN}).encode(), "application/json")
            return
        wanted = f"Bearer {TOKEN}" if self.uses_tokens else f"Basic {LOGIN}"
        if sent != wanted:
            host = f"http://{self.headers['Host']}/token"
            how = f'Bearer realm="{host}",service="x"' if self.uses_tokens else 'Basic realm="x"'
            self._answer(401, b"{}", "application/json", {"WWW-Authenticate": how})
            return
        getattr(self, f"_{self.path.split('/')[2]}")(sent, sent.partition(" ")[2])

    def _forms(self, value: str) -> list[str]:
        decoded = base64.b64decode(value + "==").decode("utf-8", "replace") if not self.uses_tokens else value
        half = len(value) // 2
        spelled = [quote(decoded, safe=""), value.rstrip("="), json.dumps(decoded), "padding " * 30 + value]
        return [value, decoded, decoded.partition(":")[2] or decoded, value[:half], value[half:], *spelled]

    def _words(self, _sent: str, value: str) -> None:
        forms = self._forms(value)
        errors = [{"code": "DENIED", "message": " ".join(forms[start : start + 3])} for start in (0, 3, 6)]
        self._answer(403, json.dumps({"errors": errors}).encode(), "application/json")

    def _long_words(self, _sent: str, value: str) -> None:
        errors = [{"code": "x " * 140 + value, "message": "y " * (140 - len(value) // 4) + value}]
        self._answer(400, json.dumps({"errors": errors}).encode(), "application/json")

    def _headers(self, sent: str, value: str) -> None:
        headers = {"Docker-Content-Digest": f"sha256:{value}", "X-Echo": sent, "Link": f"<{value}>; rel=next"}
        self._answer(200, value.encode(), f"text/{value}", headers)

    def _location(self, _sent: str, value: str) -> None:
        self._answer(307, b"", "", {"Location": f"http://127.0.0.1:9/{value}?sig={value}"})

    def _bad_location(self, _sent: str, value: str) -> None:
        self._answer(307, b"", "", {"Location": f"ftp://{value}/"})

    def _challenge(self, _sent: str, value: str) -> None:
        self._answer(401, b"{}", "application/json", {"WWW-Authenticate": f'Bearer realm="https://{value}/x"'})

    def _annotations(self, _sent: str, value: str) -> None:
        path, kind = self.path.rpartition("/")[2], self.path.split("/")[-2]
        if kind == "manifests" and not path.startswith("sha256:"):
            annotations = {f"form-{number}": form for number, form in enumerate(self._forms(value))}
            raw = manifest_of([self.layer], self.config, annotations={**annotations, value: "as a name"})
            self.manifests[digest_of(raw)] = raw
            path = digest_of(raw)
        if kind == "manifests":
            self._answer(200, self.manifests[path], MANIFEST, {"Docker-Content-Digest": path})
        elif kind == "blobs":
            blob = self.config if path == digest_of(self.config.data) else self.layer
            self._answer(200, blob.data, "application/octet-stream")
        else:
            self._answer(404, b"{}", "application/json")

    def _answer(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def parts(value: str) -> Iterator[str]:
    """Pieces that give a secret away."""
    yield from (value[start : start + 12] for start in range(0, len(value) - 11, 4))


def assert_hidden(results: list[TaskResult]) -> None:
    run = results[0]
    for name, value in SECRETS.items():
        for form in (value, quote(value, safe=""), base64.b64encode(value.encode()).decode().rstrip("=")):
            assert form not in run.stdout + run.stderr, name
    for value in (LOGIN, TOKEN):
        assert not [piece for piece in parts(value) if piece in run.stdout + run.stderr]


@pytest.mark.parametrize("way", ["options", "auth_file", "environment", "tokens"])
def test_what_a_registry_repeats_is_hidden(
    ansible: AnsibleRunner, echo: str, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        secret_search.register(value, f"the {name} that is repeated")
    monkeypatch.setattr(Echo, "uses_tokens", way == "tokens")
    options: dict[str, Any] = {"insecure": True, "retries": 0, "timeout": "60s", "dest": str(tmp_path / "dest")}
    environment = {}
    if way in ("options", "tokens"):
        options.update(username="robot", password=PASSWORD)
    else:
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {echo: {"auth": LOGIN}}}))
        if way == "auth_file":
            options["auth_file"] = str(tmp_path / "auth.json")
        else:
            environment["OCI_ARTIFACT_AUTH_FILE"] = str(tmp_path / "auth.json")
    modes = ("words", "long_words", "headers", "location", "bad_location", "challenge", "annotations")
    info = {name: value for name, value in options.items() if name != "dest"}
    results = ansible.tasks(
        [
            {
                "name": mode,
                f"cloudnative.artifacts.{module}": {"ref": f"{echo}/{mode}/app:1", **own},
                "ignore_errors": True,
            }
            for mode in modes
            for module, own in (("oci_artifact_pull", options), ("oci_artifact_info", info))
        ],
        diff=True,
        flags=["-vvv"],
        controller_environment={"ANSIBLE_INJECT_INVOCATION": "1", **environment},
    )
    assert len(results) == 2 * len(modes) and "module_args" in results[0].stdout
    assert_hidden(results)
    assert [result.task for result in results if not result.failed] == ["annotations"] * 2, results[-1]
    # it is hidden, and nothing else is wrong with it
    pulled, found = results[-2:]
    assert pulled["artifact"]["metadata"]["form-0"] == "(hidden)"
    assert set(found["artifact"]["metadata"]) >= {"form-1", "form-2", "(hidden)"}
    kept = [path.read_text(errors="replace") for path in (tmp_path / "dest").rglob("*") if path.is_file()]
    assert kept and not any(value in text for value in SECRETS.values() for text in kept)
