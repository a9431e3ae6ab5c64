# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credential types and the job templates of AWX's API, as far as a client sees them; AWX itself is a cluster of
containers.

It checks what AWX checks of a type: who asks, the keys of a field, and that the injectors render with the fields alone.
A template starts jobs, which end at once. As in AWX, variables are taken where the template asks for them on launch,
and are else named in ``ignored_fields``.
"""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

PATH = "/api/v2/credential_types/"
TEMPLATES, JOBS, CONFIG = "/api/v2/unified_job_templates/", "/api/v2/jobs/", "/api/v2/config/"
LAUNCH = "/api/v2/job_templates/{}/launch/"
NEEDED = {"id", "label", "type"}
KNOWN = NEEDED | {"format", "secret", "multiline", "ask_at_runtime", "choices", "help_text", "default"}


class AwxApi:
    """What is stored, and who may change it."""

    def __init__(self) -> None:
        self.types: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.templates: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self.token, self.username, self.password = "t0ken-Of/an+admin", "admin", "Adm1n~Passw0rd"
        self.url = ""

    def may(self, authorization: str) -> bool:
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return authorization in (f"Bearer {self.token}", f"Basic {basic}")

    def add_template(self, name: str, organization: str, *, asks: bool = True) -> None:
        """Have a job template; ``asks`` for variables on launch."""
        number = 7 + len(self.templates)
        asked = {f"ask_{what}_on_launch": False for what in ("limit", "labels", "inventory")}
        self.templates.append(
            {
                "id": number, "type": "job_template", "name": name, **asked, "ask_variables_on_launch": asks,
                "related": {"launch": LAUNCH.format(number)},
                "summary_fields": {"organization": {"id": 1, "name": organization}},
            }
        )  # fmt: skip

    def launch(self, template: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Start a job, which has succeeded; return what AWX answers."""
        number = 31 + len(self.jobs)
        taken = given if template["ask_variables_on_launch"] else {}
        job = {
            "id": number, "job": number, "type": "job", "url": f"{JOBS}{number}/", "status": "successful",
            "name": template["name"], "job_template": template["id"], "artifacts": {}, "created": "", "finished": "",
            "extra_vars": json.dumps(taken.get("extra_vars") or {}),
        }  # fmt: skip
        self.jobs.append(job)
        return {**job, "status": "pending", "ignored_fields": {} if taken else given}

    def problems(self, document: dict[str, Any]) -> dict[str, list[str]]:
        """AWX's validation of a credential type, by field; empty when it is taken."""
        found: dict[str, list[str]] = {}
        if document.get("kind") not in ("cloud", "net"):
            found["kind"] = ["Must be 'cloud' or 'net'."]
        if not document.get("name"):
            found["name"] = ["This field is required."]
        fields = document.get("inputs", {}).get("fields", [])
        for field in fields:
            if not NEEDED <= set(field) <= KNOWN or field["type"] not in ("string", "boolean"):
                found.setdefault("inputs", []).append(f"{field} is not valid")
        injectors = document.get("injectors", {})
        if set(injectors) - {"file", "env", "extra_vars"}:
            found.setdefault("injectors", []).append("unknown kind of injector")
        files = injectors.get("file", {})
        names = SimpleNamespace(**{key.partition(".")[2]: "EXAMPLE_FILENAME" for key in files})
        values = {field["id"]: f"EXAMPLE_{field['id'].upper()}_VALUE" for field in fields}
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
        for template in [*files.values(), *injectors.get("env", {}).values()]:
            try:
                environment.from_string(template).render(tower=SimpleNamespace(filename=names), **values)
            except TemplateError as exc:
                found.setdefault("injectors", []).append(str(exc))
        return found


class _Handler(BaseHTTPRequestHandler):
    api: AwxApi

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if not self._may(url.path):
            return
        query = urllib.parse.parse_qs(url.query)
        if url.path == CONFIG:
            self._answer(200, {"version": "24.6.1"})
        elif url.path == JOBS:
            wanted = set(query.get("id__in", [""])[0].split(","))
            self._answer_list([job for job in self.api.jobs if str(job["id"]) in wanted])
        else:
            items = self.api.templates if url.path == TEMPLATES else self.api.types
            self._answer_list([item for item in items if item["name"] == query.get("name", [""])[0]])

    def do_POST(self) -> None:
        if not self._may(self.path):
            return
        template = next((each for each in self.api.templates if each["related"]["launch"] == self.path), None)
        if template is None:
            self._store({}, 201)
        else:
            self._answer(201, self.api.launch(template, self._body()))

    def _answer_list(self, found: list[dict[str, Any]]) -> None:
        self._answer(200, {"count": len(found), "next": None, "previous": None, "results": found})

    def _body(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return document

    def do_PATCH(self) -> None:
        path, _slash, identifier = self.path.rstrip("/").rpartition("/")
        if self._may(path + "/"):
            self._store(next(item for item in self.api.types if item["id"] == int(identifier)), 200)

    def _may(self, path: str) -> bool:
        self.api.requests.append(self.command)
        launches = {template["related"]["launch"] for template in self.api.templates}
        if path not in {PATH, TEMPLATES, CONFIG, JOBS, *launches}:
            self._answer(404, {"detail": "The requested resource could not be found."})
        elif not self.api.may(self.headers.get("Authorization", "")):
            self._answer(401, {"detail": "Authentication credentials were not provided."})
        else:
            return True
        return False

    def _store(self, item: dict[str, Any], status: int) -> None:
        changed = {**item, **self._body()}
        problems = self.api.problems(changed)
        if problems:
            self._answer(400, problems)
            return
        if not item:
            changed["id"] = 30 + len(self.api.types)
            changed.update(type="credential_type", url=f"{PATH}{changed['id']}/", managed=False)
            self.api.types.append(item)
        item.update(changed)
        self._answer(status, item)

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def awx_api() -> Iterator[AwxApi]:
    api = AwxApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
