# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where values come from: artifacts, assignments, the deployed revision; and that Helm gets each character of them."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import vectors
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, history, publish_chart, shown_values
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

SECRET = "a-password-of-nobody"
# C0, DEL, C1, ends of lines and blanks around them, byte order marks, what is no character, and more than 16 bits
ODD = "".join(map(chr, [*range(0x20), *range(0x7E, 0xA1)])) + " \u2028 \u2029 \ufeff\ufffd\ufffe\uffff\ud7ff\ue000"
ODD += "\U00010000\U0001fffe\U0010ffff \\ \" ' \\u0085 ä"

# the API server takes not each character in a server-side apply, so it is given the values in base64
SHOWN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {values: "{{ .Values | toJson | b64enc }}"}
"""


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


def deployed(role: RoleRunner, namespace: str) -> dict[str, Any]:
    """The values that the release was rendered with."""
    found = role.cluster.get("configmap", "one", namespace)
    assert found is not None
    values: dict[str, Any] = json.loads(base64.b64decode(found["data"]["values"]))
    return values


@pytest.fixture(params=["helm310", "helm", "helm4"])
def any_helm(request: pytest.FixtureRequest, role: RoleRunner, tools: Tools) -> RoleRunner:
    """The role with each version of Helm."""
    return dataclasses.replace(role, helm=tools[request.param])


def test_values_of_an_artifact(
    role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer
) -> None:
    publish_chart(publisher, "1.0.0", chart(**{"prod.yaml": "color: of the chart\n"}))
    env = Publisher(registry.host, f"env/{namespace}")
    values = {"./prod/values.yaml": "color: red\nnested: {a: 1, b: 2}\n", "motd": "hello, {you}\n"}
    first = env.publish("1.0.0", values)
    sources = {"demo": source(publisher), "env-prod": source(env)}
    reference = {"kind": "OCIArtifact", "source": "env-prod", "path": "prod/values.yaml"}
    text = {**reference, "path": "./motd", "target_path": "nested.motd", "literal": True}
    one = release(namespace, values_from=[reference, text], values={"nested": {"b": 3}})
    two = release(
        namespace,
        "two",
        values_from=[
            {**reference, "source": "demo", "path": "demo/prod.yaml"},
            {**reference, "path": "missing.yaml", "optional": True},
        ],
    )
    # a check mode on a new cluster knows the values: the template fails without one of them
    start = registry.mark()
    predicted = role(sources, [one, two], check=True)
    assert not predicted.failed, predicted.message
    assert predicted.actions == {"one": "install", "two": "install"} and not history(role.cluster, namespace, "one")
    done = role(sources, [one, two, release(namespace, "three", values_from=[{**reference, "path": "none.yaml"}])])
    requests = [each for each in registry.requests(start) if each.path.startswith(f"/v2/env/{namespace}/blobs/")]
    fetched = [each.path for each in requests if each.method == "GET"]
    assert fetched and len(fetched) == len(set(fetched)), "each blob is fetched once, and the layer is one"
    assert done.failed and done.reason == "ValuesError"
    assert "file 'none.yaml' in the artifact of the source 'env-prod'" in done.releases["three"]["msg"]
    shown = shown_values(role.cluster, namespace, "one")
    assert (shown["color"], shown["nested"]) == ("red", {"a": 1, "b": 3, "motd": "hello, {you}\n"})
    assert shown_values(role.cluster, namespace, "two")["color"] == "of the chart"
    artifact = done.releases["one"]["values_artifacts"]["env-prod"]
    assert artifact == {"url": env.url, "digest": first, "revision": f"1.0.0@{first}"}
    assert set(done.releases["two"]["values_artifacts"]) == {"demo", "env-prod"}

    # another digest, though with the same values; the role has objects to apply, before which it fetches all sources
    second = env.publish("1.0.0", {**values, "more": "unused"})
    settings: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": namespace},
    }
    unchanged = role(sources, [two | {"values_from": two["values_from"][:1]}], helm_release_objects=[settings])
    assert not unchanged.failed, unchanged.message
    assert unchanged.releases["two"]["cause"] == "ValuesChanged", "its artifacts are others now"
    moved = role(sources, [one])
    assert moved.releases["one"]["cause"] == "ValuesChanged" and moved.changed
    assert moved.releases["one"]["values_artifacts"]["env-prod"]["digest"] == second
    same = role(sources, [one])
    assert not same.changed and same.statistics["helm_processes"] == 0


def test_what_is_wrong_with_an_artifact(
    role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    env = Publisher(registry.host, f"env/{namespace}")
    env.publish("1.0.0", {"values.yaml": "- a list\n", "binary": b"\xff\xfe"})
    reference = {"kind": "OCIArtifact", "source": "env"}
    sources = {"demo": source(publisher), "env": source(env)}
    one = release(namespace, values_from=[reference])
    signed = {"verify": {"public_keys": [str(vectors.ROOT / "keys/key-a.pub")]}}
    steps = [
        Step([one, release(namespace, "two", values_from=[{**reference, "path": "binary", "target_path": "a"}])]),
        Step([release(namespace, source="env")]),
        Step([release(namespace, values_from=[{**reference, "source": "other"}])]),
        Step([one], variables={"helm_release_sources": {**sources, "env": source(env, **signed)}}),
    ]
    wrong, no_chart, unknown, unsigned = role.batch(sources, *steps)
    assert wrong.reason == "ValuesError" and "is not a mapping" in wrong.releases["one"]["msg"]
    assert "is not UTF-8 text" in wrong.releases["two"]["msg"]
    assert no_chart.reason == "ArtifactFailed" and "'env' of the release" in no_chart.message
    assert unknown.reason == "InvalidOption" and "names the source 'other', which is not" in unknown.message
    assert unsigned.reason == "VerificationError" and "The source 'env'" in unsigned.message
    assert not any(history(role.cluster, namespace, name) for name in ("one", "two"))


def test_assignments_characters_and_the_deployed_values(
    any_helm: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path
) -> None:
    role = any_helm
    publish_chart(publisher, "1.0.0", chart(values="color: blue\nsize: 1\n", **{"templates__shown.yaml": SHOWN}))
    demo = {"demo": source(publisher)}
    (tmp_path / "motd").write_text("two\nlines\n")
    assignments = [
        {"value": "a.b[1]=x,a.n=1000000"},
        {"value": "a.text=1", "value_type": "string"},
        {"value": 'a.json={"k": [null, 1.5]}', "value_type": "json"},
        {"value": f"a.file={tmp_path}/motd", "value_type": "file"},
        {"value": f"a.literal={SECRET},x=1", "value_type": "literal"},
    ]
    given = {"odd": {ODD: ODD, "plain": "1e3"}, "list": [1, 2], "color": "red"}
    kept = {"preserve_values": True}
    by_hand = [role.helm, "upgrade", "one", str(tmp_path / "demo.tgz"), "--namespace", namespace, "--reuse-values"]
    (tmp_path / "demo.tgz").write_bytes(chart(values="color: blue\nsize: 1\n", **{"templates__shown.yaml": SHOWN}))

    first = role(demo, [release(namespace, values=given, set_values=assignments)], flags=["-vvv"])
    assert not first.failed, first.message
    assert SECRET not in first.output
    shown = deployed(role, namespace)
    set_ = {"b": [None, "x"], "n": 1000000, "text": "1", "json": {"k": [None, 1.5]}, "file": "two\nlines\n"}
    assert shown == {**given, "size": 1, "a": {**set_, "literal": f"{SECRET},x=1"}}

    again, changed, same = role.batch(
        demo,
        Step([release(namespace, values=given, set_values=assignments)]),
        Step([release(namespace, values={"list": [3], "size": None}, **kept)], diff=True),
        Step([release(namespace, values={"list": [3], "size": None}, **kept)]),
    )
    assert not again.changed
    assert changed.releases["one"]["cause"] == "ValuesChanged" and SECRET not in changed.output
    wanted = {**shown, "list": [3]}
    wanted.pop("size")
    assert deployed(role, namespace) == wanted
    assert not same.changed and same.statistics["helm_processes"] == 0
    assert same.releases["one"]["values_digest"] == changed.releases["one"]["values_digest"]

    environment = {"KUBECONFIG": str(role.cluster.kubeconfig), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run([*by_hand, "--set", "manual=yes"], check=True, capture_output=True, env=environment)
    predicted, preserved, reset = role.batch(
        demo,
        Step([release(namespace, values={"list": [4]}, **kept)], check=True, diff=True),
        Step([release(namespace, values={"list": [4]}, **kept)]),
        Step([release(namespace, values={"list": [4]})]),
    )
    assert predicted.releases["one"]["cause"] == "Unmanaged" == preserved.releases["one"]["cause"]
    # what was set by hand is not shown: it may be a secret
    assert predicted.last["diff"] and SECRET not in predicted.output
    assert reset.releases["one"]["cause"] == "ValuesChanged"
    assert deployed(role, namespace) == {"list": [4], "color": "blue", "size": 1}


def test_texts_that_are_not_what_they_seem(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    texts = {"exponent": "1e3", "yes": "y", "octal": "0o644", "list": [{"port": "8080"}], "none": "~", "last": "true"}
    plain = {"empty": "", "time": "12:30:45", "version": "1.2.3", "number": 8080, "on": True}
    warned, silent, refused = role.batch(
        {"demo": source(publisher)},
        Step([release(namespace, values={**texts, **plain}), release(namespace, "two", values=plain)]),
        Step([release(namespace, values={**texts, **plain})]),
        Step([release(namespace, values={"deep": [{"password": f"{SECRET}\ud800"}]})]),
    )
    assert not warned.failed, warned.message
    warnings = [each for each in warned.last["warnings"] if "are texts" in each]
    assert len(warnings) == 1 and f"{namespace}/one" in warnings[0]
    assert "exponent, yes, octal, list[0].port, none and 1 more" in warnings[0]
    assert "8080" not in warnings[0] and not silent.changed and not silent.last.get("warnings")
    assert refused.reason == "ValuesError" and SECRET not in refused.output
    assert "deep[0].password has half of a surrogate pair" in refused.message


def test_a_chart_is_rendered_with_the_same_values(
    role: RoleRunner, publisher: Publisher, registry: RegistryServer, tmp_path: Path
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    env = Publisher(registry.host, f"env/{tmp_path.name}")
    env.publish("1.0.0", {"values.yaml": "color: red\n"})
    (tmp_path / "motd").write_text("two\nlines\n")
    values = {
        "values_from": [{"kind": "OCIArtifact", "source": "env"}],
        "set_values": [{"value": f"motd={tmp_path}/motd", "value_type": "file"}, {"value": "n=1"}],
        "preserve_values": True,
    }
    rendering = {
        "sources": {"demo": source(publisher), "env": source(env)},
        "cache_dir": str(tmp_path / "cache"),
        "dest": str(tmp_path / "rendered"),
        "single_file": True,
        "helm": role.helm,
        "releases": [release("ns", **values)],
    }
    done = role.ansible.tasks([{"cloudnative.artifacts.helm_chart_render": rendering}])[-1]
    assert not done.failed, done.get("msg")
    rendered = yaml.safe_load((tmp_path / "rendered/ns/one.yaml").read_text())
    assert json.loads(rendered["data"]["values"]) == {"color": "red", "motd": "two\nlines\n", "n": 1}
