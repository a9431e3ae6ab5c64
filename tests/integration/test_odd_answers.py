# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every odd answer to every preliminary question: the task ends as if it had not been asked.

The outcome of each is the second table in docs/docsite/rst/guide_faults.rst. After a change that is meant, write it
anew with

    UPDATE_FAULT_TABLE=1 python -m pytest tests/integration/test_odd_answers.py -k table
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import HTML, Answer, Fault, FaultProxy, Seen
from support import vectors
from support.ansible_runner import COLLECTION, AnsibleRunner
from support.artifacts import CONFIG, MANIFEST, Blob, Publisher, manifest_of
from support.servers import RegistryServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, parse_inputs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SigningOptions, SignOptions, sign
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

pytestmark = pytest.mark.once

GUIDE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/guide_faults.rst"
BEGIN, END = (
    ".. The table is generated; see tests/integration/test_odd_answers.py",
    ".. End of the table of odd answers",
)
KEY, PUBLIC_KEY = (str(vectors.ROOT / "keys" / name) for name in ("ed25519.raw.pem", "ed25519.pub"))
JSON = {"Content-Type": "application/json"}

# an answer in the registry's place, or a change of its own; ``subject`` is what the operation is about
Odd = Callable[["Place"], Fault]


def _status(status: int, **headers: str) -> Odd:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _place: Fault(answer=Answer(status, {**JSON, **named}, b'{"errors":[{"code":"ODD"}]}'))


def _stored_elsewhere(status: int) -> Odd:
    """Where a registry redirects to is a store whose addresses are signed for GET alone."""

    def answer(seen: Seen) -> Answer | None:
        if seen.target.startswith("/store/"):
            return Answer(status)
        return Answer(307, {"Location": "/store" + seen.target})

    return lambda _place: Fault(answer=answer)


def _itself(place: Place) -> Fault:
    """A registry that takes ``sha256-<hex>`` for ``sha256:<hex>``."""
    return Fault(
        answer=Answer(200, {"Content-Type": place.media_type, "Docker-Content-Digest": place.digest}, place.raw)
    )


ANSWERS: Mapping[str, Odd] = {
    "400": _status(400),
    "401, without a challenge": _status(401),
    "403": _status(403),
    "404": _status(404),
    "405": _status(405),
    "406": _status(406),
    "410": _status(410),
    "501": _status(501),
    "a redirect to where it is 403": _stored_elsewhere(403),
    "a redirect to where it is 404": _stored_elsewhere(404),
    "200, an HTML page": lambda _place: Fault(answer=Answer(200, {"Content-Type": "text/html"}, HTML)),
    "200, without a body": lambda _place: Fault(answer=Answer(200, JSON, b"")),
    "200, {}": lambda _place: Fault(answer=Answer(200, JSON, b"{}")),
    "204": _status(204),
    "the artifact itself": _itself,
}


@dataclass
class Place:
    """An artifact of its own for each cell, in a real registry."""

    registry: RegistryServer
    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.registry.host, f"odd/{self.name}")
        config, layer = Blob(b"{}", CONFIG), Blob(b"layer of " + self.name.encode())
        self.raw = manifest_of([layer], config)
        self.media_type = MANIFEST
        self.digest = self.publisher.publish("1.0.0", [layer], config=config)
        self.tagged = self.digest.replace(":", "-")

    def reference(self, host: str, tag: str = "1.0.0") -> ReferenceOptions:
        return ReferenceOptions(ref=f"{host}/odd/{self.name}:{tag}")

    def sign(self, host: str, form: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        return sign(SignOptions(self.reference(host), SigningOptions(KEY, format=form), connection=connection))

    def verify(self, host: str, connection: ConnectionOptions) -> Mapping[str, Any]:
        policy = parse_policy({"public_keys": [PUBLIC_KEY]})
        return verify(VerifyOptions(self.reference(host), policy, connection=connection))

    def push(self, host: str, tag: str, connection: ConnectionOptions, **more: Any) -> Mapping[str, Any]:
        path = self.folder / f"{self.name}.bin"
        path.write_bytes(b"content of " + self.name.encode())
        build = BuildOptions(inputs=parse_inputs([str(path)], "files"), type="files")
        return vars(push(PushOptions(self.reference(host, tag), build, connection=connection, **more)))


PLAIN = ConnectionOptions(insecure=True)


@dataclass(frozen=True)
class Question:
    """A request that is made to save work, and the operation that makes it. ``prepare`` runs without the proxy."""

    name: str
    method: str
    pattern: Callable[[Place], str]
    run: Callable[[Place, str], Mapping[str, Any]]
    is_right: Callable[[Place, Mapping[str, Any]], bool]
    prepare: Callable[[Place], object] = lambda _place: None


def _verified(_place: Place, result: Mapping[str, Any]) -> bool:
    return bool(result["verification"]["verified"])


QUESTIONS = (
    Question(
        "HEAD of a manifest",
        "HEAD",
        lambda place: "/manifests/",
        lambda place, host: info(InfoOptions(place.reference(host), (), connection=PLAIN)),
        lambda place, result: result["artifact"]["digest"] == place.digest,
    ),
    Question(
        "HEAD of a blob that is there",
        "HEAD",
        lambda place: "/blobs/",
        lambda place, host: place.push(host, "again", PLAIN),
        lambda place, result: result["changed"],
        lambda place: place.push(place.registry.host, "before", PLAIN),
    ),
    Question(
        "HEAD of a tag that is to be written",
        "HEAD",
        lambda place: "/manifests/new",
        lambda place, host: place.push(host, "new", PLAIN),
        # an answer that the tag holds something else is an answer
        lambda place, result: result["changed"] and result["tags"]["new"] in ("created", "moved"),
    ),
    Question(
        "the referrers API, for info",
        "GET",
        lambda place: "/referrers/",
        lambda place, host: info(InfoOptions(place.reference(host), ("referrers",), connection=PLAIN)),
        lambda place, result: result["referrers"] == [],
    ),
    Question(
        "the fallback tag, for info",
        "GET",
        lambda place: f"/referrers/|/manifests/{place.tagged}$",
        lambda place, host: info(InfoOptions(place.reference(host), ("referrers",), connection=PLAIN)),
        lambda place, result: result["referrers"] == [],
    ),
    Question(
        "the tag .sig, for a bundle",
        "GET",
        lambda place: f"/manifests/{place.tagged}\\.sig",
        lambda place, host: place.verify(host, PLAIN),
        _verified,
        lambda place: place.sign(place.registry.host, "bundle", PLAIN),
    ),
    Question(
        "referrers and fallback tag, for signing",
        "GET",
        lambda place: f"/referrers/|/manifests/{place.tagged}$",
        lambda place, host: place.sign(host, "both", PLAIN),
        lambda place, result: any(each["format"] == "legacy" for each in result["signatures"]),
    ),
)


def run_cell(registry: RegistryServer, folder: Path, number: int, question: Question, odd: Odd) -> str:
    """How it ended, and how many requests there were; what is wrong, after a semicolon."""
    place = Place(registry, folder, f"cell-{number}")
    question.prepare(place)
    with FaultProxy(registry.host) as proxy:
        pattern = question.pattern(place)
        proxy.always(question.method, f"{pattern}|^/store/", odd(place))
        try:
            result = question.run(place, proxy.host)
        except OciError as exc:
            return f"{exc.reason}; {exc}"
        if not proxy.requests(question.method, pattern):
            return "ok; it was not asked"
        ending = "ok" if question.is_right(place, result) else f"ok; {result}"
        return f"{ending}, {len(proxy.seen)}"


def test_table(registry: RegistryServer, tmp_path: Path) -> None:
    cells = [(question, answer) for answer in ANSWERS for question in QUESTIONS]
    with ThreadPoolExecutor(8) as pool:
        begun = [
            pool.submit(run_cell, registry, tmp_path, number, question, ANSWERS[answer])
            for number, (question, answer) in enumerate(cells)
        ]
        outcomes = {(answer, question.name): each.result() for (question, answer), each in zip(cells, begun)}
    bad = {name: text for name, text in outcomes.items() if ";" in text or not text.startswith("ok")}
    assert [f"{name}: {text}" for name, text in bad.items()] == []
    table = _table(outcomes)
    before, committed, after = _guide()
    if os.environ.get("UPDATE_FAULT_TABLE"):
        GUIDE.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")
    else:
        assert committed.strip() == table.strip(), "what was found, and what the guide says"


def test_through_ansible(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    """A gateway that refuses HEAD, and has no referrers and no tags that are not there."""
    place = Place(registry, tmp_path, "through-ansible")
    source = tmp_path / "content"
    source.mkdir()
    (source / "a.yaml").write_text("a: 1\n")
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(registry.host))
        for method, pattern in (("HEAD", "/v2/"), ("GET", "/referrers/"), ("GET", f"/manifests/{place.tagged}$")):
            proxy.always(method, pattern, Fault(answer=Answer(403)))
        ref = {"ref": f"{proxy.host}/odd/through-ansible:1.0.0", "insecure": True}
        new = {**ref, "ref": f"{proxy.host}/odd/through-ansible:2.0.0"}
        tasks = [
            {f"{COLLECTION}.oci_artifact_info": {**ref, "gather": ["referrers"]}},
            {f"{COLLECTION}.oci_artifact_push": {**new, "path": str(source), "sign": {"key": KEY}}},
            {f"{COLLECTION}.oci_artifact_sign": {**new, "key": KEY}},
            {
                f"{COLLECTION}.oci_artifact_pull": {
                    **new,
                    "dest": str(tmp_path / "dest"),
                    "verify": {"public_keys": [PUBLIC_KEY]},
                }
            },
        ]
        looked, pushed, signed, pulled = ansible.tasks(tasks)
    assert looked["referrers"] == [] and looked["artifact"]["digest"] == place.digest
    assert pushed.changed and pushed["signatures"] and not signed.changed
    assert pulled.changed and (tmp_path / "dest/a.yaml").read_text() == "a: 1\n"


def _guide() -> tuple[str, str, str]:
    before, _begin, rest = GUIDE.read_text(encoding="utf-8").partition(BEGIN)
    committed, end, after = rest.partition(END)
    assert end, f"{GUIDE} has no place for the table"
    return before, committed, after


def _table(outcomes: Mapping[tuple[str, str], str]) -> str:
    lines = [".. csv-table::", "   :header-rows: 1", ""]
    names = [question.name for question in QUESTIONS]
    for row in [["Answer", *names], *([answer, *(outcomes[answer, name] for name in names)] for answer in ANSWERS)]:
        lines.append("   " + ", ".join(f'"{each}"' for each in row))
    assert list(csv.reader([lines[3]], skipinitialspace=True))[0][0] == "Answer"
    return "\n".join(lines) + "\n"
