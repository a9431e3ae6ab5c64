# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an audit: what is believed of hosts, what is asked for them, and a page in which names are text."""

from __future__ import annotations

import json
import os
import socket
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from two_users import public_place

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidOption,
    InvalidPolicy,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    CacheOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit import gathered
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.audit import AuditOptions, audit
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.gathered import read_host
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.judge import FAILURES, KINDS
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.page import page_of, text
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.audit.questions import (
    QuestionOptions,
    Questions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.refusals import PolicyInvalid
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy

DIGEST = f"sha256:{'0' * 64}"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\u0007"
PLACED = {
    "path": "/etc/app",
    "user": "root",
    "state": "placed",
    "asked": {"ref": "registry.example.com/app:1.0.0"},
    "url": "oci://registry.example.com/app",
    "tag": "1.0.0",
    "digest": DIGEST,
    "placed_at": "2026-01-05T09:00:00Z",
    "verified": True,
    "signers": [{"subject": "https://ci.example.com", "key": "sha256:1"}],
    "drift": {"content": [], "permissions": [], "count": 0},
    "held": [],
    "suspended": {},
}


def facts(*destinations: Any) -> dict[str, Any]:
    return {"changed": False, "ansible_facts": {"oci_artifacts": list(destinations)}}


def report(hosts: dict[str, Any], **options: Any) -> dict[str, Any]:
    options.setdefault("questions", QuestionOptions(ask=False))
    return audit(AuditOptions(hosts, **options))


def kinds(result: dict[str, Any], host: str) -> list[str]:
    (found,) = (each for each in result["report"]["hosts"] if each["name"] == host)
    return [each["kind"] for each in (*found["findings"], *(f for d in found["destinations"] for f in d["findings"]))]


def test_what_hosts_say_is_judged_and_summed_up() -> None:
    drifted = {**PLACED, "drift": {"content": ["a", "b"], "permissions": ["c"], "count": 3}}
    held = {**PLACED, "held": [{"digest": DIGEST, "revision": "2@x", "who": "ops", "reason": "slow"}]}
    suspended = {**PLACED, "suspended": {"who": "ops", "since": "2026", "reason": "incident"}, "verified": False}
    result = report(
        {
            "fine": facts(PLACED),
            "drifted": facts(drifted),
            "held": facts(held, suspended),
            "gone": facts({"path": "/x", "user": "u", "state": "vanished", "asked": {}}),
            "cut": facts({**PLACED, "state": "interrupted"}),
            "away": {"unreachable": True, "msg": "no route"},
            "broken": {"failed": True, "msg": "no python"},
            "new": {},
            "empty": facts(),
        },
        groups={
            "all": ["fine", "away"],
            "web": ["fine", "drifted", "elsewhere"],
            "none": ["elsewhere"],
            "db": ["fine"],
        },
    )
    assert kinds(result, "fine") == kinds(result, "empty") == []
    assert kinds(result, "drifted") == ["drift"]
    assert kinds(result, "held") == ["held", "suspended", "unverified"]
    assert (kinds(result, "gone"), kinds(result, "cut")) == (["vanished"], ["interrupted"])
    assert (kinds(result, "away"), kinds(result, "broken")) == (["unreachable"], ["not_gathered"])
    assert kinds(result, "new") == ["not_gathered"]
    assert result["failing"] == {"unreachable": 1, "not_gathered": 2, "vanished": 1, "interrupted": 1, "drift": 1}
    assert (result["reason"], result["changed"]) == ("AuditFindings", False)
    summary = result["report"]["summary"]
    assert (summary["hosts"], summary["failing_hosts"], summary["destinations"], summary["digests"]) == (9, 6, 6, 1)
    assert [(each["name"], each["hosts"], each["failing_hosts"]) for each in result["report"]["groups"]] == [
        ("db", 1, 0),
        ("web", 2, 1),
    ]
    assert report({"held": facts(held)})["reason"] == "AuditClean"
    assert report({"held": facts(held)}, fail_on=["held"])["failing"] == {"held": 1}
    with pytest.raises(InvalidOption, match="wanted any of"):
        report({}, fail_on=["drifft"])
    assert set(FAILURES) < set(KINDS)


def test_the_two_files_of_a_report_are_two(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="Give each its own file"):
        report({}, json_file=f"{tmp_path}/report", html_file=f"{tmp_path}/./report")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "answer",
    [None, 1, [], "x", {"ansible_facts": 1}, {"ansible_facts": {"oci_artifacts": {}}}, {"ansible_facts": None}],
    ids=["none", "number", "list", "text", "facts-number", "facts-mapping", "facts-none"],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_finding(answer: Any) -> None:
    assert kinds(report({"a": answer}), "a") == ["not_gathered"]


@pytest.mark.parametrize("name", [*PLACED, "extra"])
@pytest.mark.parametrize("value", [None, 1, ["x", 1, {}], {"a": [1]}, EVIL, "x" * 10**6, True], ids=[
    "none", "number", "list", "mapping", "evil", "long", "true"
])  # fmt: skip
def test_no_value_of_a_host_breaks_the_report(name: str, value: Any) -> None:
    result = report({"a": facts({**PLACED, name: value}, value)})
    page = page_of(result["report"])
    assert len(page) < 30_000 and "<script" not in page and json.dumps(result)
    if name == "digest":
        assert kinds(result, "a")[0] == "unreadable"


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_names_are_text_in_the_page() -> None:
    said = {name: EVIL if isinstance(value, str) else value for name, value in PLACED.items()}
    said.update(state="placed", digest=DIGEST, url=PLACED["url"], tag="1.0.0", signers=[{"subject": EVIL}])
    said["drift"] = {"content": [EVIL], "permissions": [], "count": 1}
    result = report({EVIL: facts(said), "b": {"unreachable": True, "msg": EVIL}}, groups={EVIL: [EVIL]}, title=EVIL)
    page = page_of(result["report"])
    elements = Elements(page).found
    allowed = {
        "html", "head", "meta", "title", "style", "body", "header", "main", "h1", "h2", "p", "div", "b", "br", "span",
        "table", "thead", "tbody", "tr", "th", "td", "code", "ul", "li",
    }  # fmt: skip
    assert {tag for tag, _attributes in elements} <= allowed
    names = {name for _tag, attributes in elements for name in attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "title"}
    assert "\u202e" not in page and "\u0007" not in page and "\\u{202e}" in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert text("a<b>\n\ud800") == "a&lt;b&gt;\\u{a}\\u{d800}"
    # nothing is loaded from anywhere
    assert "http" not in page.replace("http-equiv", "")


def test_a_repository_that_a_host_names_is_asked_only_where_that_gives_nothing_away() -> None:
    with pytest.raises(InvalidOption, match="Name those that may be asked in 'registries'"):
        report({}, questions=QuestionOptions(auth=AuthOptions(username="u", password="p")))
    with pytest.raises(InvalidOption):
        report({}, questions=QuestionOptions(auth=AuthOptions(provider="aws")))
    for pattern in ("https://registry.example.com", "oci://registry.example.com/app", ""):
        with pytest.raises(InvalidOption, match="without a scheme"):
            report({}, questions=QuestionOptions(["registry.example.com", pattern]))
    with Task(CacheOptions()) as task:
        some = Questions(QuestionOptions(["registry.example.com/app", "*.other.example/*"]), task)
        names = ("registry.example.com/app", "registry.example.com/app/x", "a.other.example/x")
        assert all(some.may_ask(f"oci://{name}") for name in names)
        ended = Questions(QuestionOptions(["registry.example.com/"]), task)
        assert ended.may_ask("oci://registry.example.com/app") and not ended.may_ask(
            "oci://registry.example.com.evil/a"
        )
        others = ("registry.example.com/apple", "registry.example.com.evil/app", "registry.example.com")
        assert not any(some.may_ask(f"oci://{name}") for name in others)
        everything = Questions(QuestionOptions(), task)
        assert everything.may_ask("oci://any.example/x")
        # what a host says of its disk is not looked for on the controller
        assert not everything.may_ask("oci-layout:/etc") and not everything.may_ask("oci-archive:/etc/passwd")


def test_a_helper_is_asked_for_the_login_of_a_registry_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper, calls = tmp_path / "docker-credential-counted", tmp_path / "calls"
    helper.write_text(f"#!/bin/sh\necho called >> {calls}\necho 'credentials not found in native keychain'\nexit 1\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        registry = f"127.0.0.1:{unheard.getsockname()[1]}"
        said = [{**PLACED, "url": f"oci://{registry}/{name}"} for name in ("one", "two")]
        auth = AuthOptions(auth_config={"credHelpers": {registry: "counted"}})
        result = report(
            {"a": facts(*said)}, questions=QuestionOptions(auth=auth, connection=ConnectionOptions(retries=0))
        )
    assert set(kinds(result, "a")) == {"unknown"}
    assert calls.read_text().splitlines() == ["called"]


def test_a_policy_that_cannot_be_used_is_an_error_and_no_finding(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pub")
    with pytest.raises(InvalidPolicy, match="missing"):
        report({"a": facts(PLACED)}, questions=QuestionOptions(verify=VerifyPolicy(public_keys=(missing,))))
    rules = rules_of({"rules": [{"match": "*", "verify": {"public_keys": [missing]}}]})
    with pytest.raises(PolicyInvalid, match="missing"):
        report({"a": facts(PLACED)}, questions=QuestionOptions(policy=rules))


def test_a_host_with_two_thousand_destinations_is_judged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [{**PLACED, "path": f"/srv/{number}"} for number in range(2000)]
    result = report({"a": facts(*many)})
    assert (result["report"]["summary"]["destinations"], kinds(result, "a")) == (2000, [])
    monkeypatch.setattr(gathered, "MAX_DESTINATIONS", 1500)
    result = report({"a": facts(*many)})
    assert (result["report"]["summary"]["destinations"], kinds(result, "a")) == (1500, ["not_gathered"])
    assert "1,500 destinations or more" in page_of(result["report"])


def test_a_host_chooses_neither_the_repository_nor_the_option_of_a_question() -> None:
    asked = {"ref": "oci-layout:/etc", "semver": "1.x", "pin": "x", "insecure": True, "filter_tags": {"a": "x" * 2000}}
    (said,) = read_host("a", facts({**PLACED, "asked": asked})).destinations
    assert dict(said.asked) == {"ref": "oci-layout:/etc", "semver": "1.x"}


def test_the_report_is_replaced_in_one_step(tmp_path: Path) -> None:
    page, document = tmp_path / "a.html", tmp_path / "a.json"
    page.write_text("old")
    files = {"json_file": str(document), "html_file": str(page)}
    result = report({"a": facts(PLACED)}, **files)
    assert result["changed"] and json.loads(document.read_text()) == result["report"]
    assert page.read_text() == page_of(result["report"]) and page.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json"]
    page.write_text("old")
    options = AuditOptions({}, questions=QuestionOptions(ask=False), html_file=str(page))
    assert audit(options, check_mode=True)["changed"] is False and page.read_text() == "old"
    with pytest.raises(StorageError, match=r"nowhere/a\.html"):
        report({}, html_file=str(tmp_path / "nowhere/a.html"))
    with public_place() as place:
        place.chmod(0o777)
        with pytest.raises(StorageError):
            report({}, html_file=str(place / "a.html"))
