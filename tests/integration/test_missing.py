# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not there: one reason code for tags and digests in all modules, and words for a task that waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.servers import RegistryServer

NAME = "cloudnative.artifacts."
POLICY = {"public_keys": [str(vectors.ROOT / "keys/key-a.pub")]}
NOWHERE = f"@sha256:{'0' * 64}"


def cases(name: str, layout: Path, tmp_path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """A task of each module that looks for a tag, a digest or a repository that is not there."""
    dest, cache = str(tmp_path / "dest"), str(tmp_path / "cache")
    key = {"key": str(vectors.ROOT / "keys/p384.raw.pem")}
    found = {
        "layout": ("oci_artifact_pull", {"ref": f"oci-layout:{layout}{NOWHERE}", "dest": dest}),
        "repository": ("oci_artifact_pull", {"ref": f"{name}-absent", "semver": "*", "dest": dest}),
    }
    for place in (f"{name}:none", f"{name}{NOWHERE}"):
        for words, verify in {"": {}, " with a policy": {"verify": POLICY}}.items():
            found[f"pull {place}{words}"] = ("oci_artifact_pull", {"ref": place, "dest": dest, **verify})
            source = {"sources": {"one": {"ref": place, **verify}}, "cache_dir": cache}
            found[f"charts {place}{words}"] = ("helm_chart_sources", source)
        found[f"info {place}"] = ("oci_artifact_info", {"ref": place})
        found[f"verify {place}"] = ("oci_artifact_verify", {"ref": place, **POLICY})
        found[f"sign {place}"] = ("oci_artifact_sign", {"ref": place, **key})
        found[f"tag {place}"] = ("oci_artifact_tag", {"ref": place, "tags": ["any"]})
    return found


@pytest.mark.once
def test_one_reason_for_what_is_missing(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    Publisher(registry.host, "missing/app").publish("1.0", {"a": b"a"})
    layout = tmp_path / "layout"
    wanted = cases(f"{registry.host}/missing/app", layout, tmp_path)
    others = {
        "push": ("oci_artifact_push", {"ref": f"oci-layout:{layout}:1.0", "path": __file__}),
        **wanted,
        "nobody listens": ("oci_artifact_info", {"ref": "127.0.0.1:9/a:1", "retries": 0}),
        "no such option": ("oci_artifact_info", {"ref": "127.0.0.1:9/a:1", "tga": "1"}),
        "no such source": ("helm_chart_sources", {"sources": "one"}),
    }
    results = ansible.tasks(
        [
            {"name": case, f"{NAME}{module}": {**options, "insecure": True}, "ignore_errors": True}
            for case, (module, options) in others.items()
        ]
    )
    found = {result.task: (result.get("reason"), result.get("retryable")) for result in results if result.failed}
    assert found == {
        **dict.fromkeys(wanted, ("OCIArtifactPullFailed", False)),
        "nobody listens": ("ConnectionFailed", True),
        "no such option": ("InvalidOption", False),
        "no such source": ("InvalidOption", False),
    }
    assert not (tmp_path / "dest").exists()


def test_a_task_that_waits_says_what_it_waited_for(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    """Ansible repeats ``msg`` of the last answer, which may be a success; without it, an unknown error."""
    publisher = Publisher(registry.host, "missing/awaited")
    publisher.publish("1.0", {"a": b"a"})
    waits = {"register": "found", "retries": 1, "delay": 0, "ignore_errors": True}
    info, pull = f"{NAME}oci_artifact_info", f"{NAME}oci_artifact_pull"
    look = {"insecure": True, "gather": [], "missing_ok": True}
    pulled = {"insecure": True, "retries": 0, "on_registry_error": {"use": "last_good"}}
    dest = str(tmp_path / "dest")
    # mirrors are no part of what is wanted: this one is down
    down = {"mirrors": {registry.host: {"url": "http://127.0.0.1:9", "mode": "replace"}}}
    results = ansible.tasks(
        [
            {"name": "tag", info: {"ref": f"{publisher.name}:2.0", **look}, "until": "found.exists", **waits},
            {"name": "range", info: {"ref": publisher.name, "semver": "2.x", **look}, "until": "found.exists", **waits},
            {"name": "place", pull: {"ref": f"{publisher.name}:1.0", "dest": dest, **pulled}},
            {
                "name": "outage",
                pull: {"ref": f"{publisher.name}:1.0", "dest": dest, **pulled, **down},
                "until": "not found.degraded",
                **waits,
            },
        ]
    )
    by_name = {result.task: result for result in results}
    assert not by_name["place"].failed, by_name["place"]
    for name, words in {"tag": ":2.0", "range": "2.x", "outage": "127.0.0.1:9"}.items():
        assert by_name[name].failed and words in by_name[name]["msg"], by_name[name]
    assert "Unknown error" not in results[0].stdout + results[0].stderr
    # also to whoever reads the terminal
    assert f"{publisher.name}:2.0" in results[0].stdout
