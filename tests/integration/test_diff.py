# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_diff through ansible-playbook, against a real registry and with a real Helm."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import TITLE, Blob, Entry, Publisher, special, write_layout
from support.helm import chart, publish_chart, write_chart_layout
from support.servers import RegistryServer, Request
from support.tools import Tools

DIFF, PULL = "cloudnative.artifacts.oci_artifact_diff", "cloudnative.artifacts.oci_artifact_pull"
HUSH = ("hush-first-value", "hush-other-value")
PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"


def task(before: Any, after: Any, **options: Any) -> dict[str, Any]:
    keywords = {name: options.pop(name) for name in ("changed_when", "register", "no_log") if name in options}
    arguments = {"from": before, "to": after, "insecure": True, **options}
    return {"name": "diff", DIFF: arguments, "ignore_errors": True, **keywords}


def secret(value: str, name: str = "login") -> str:
    data = base64.b64encode(value.encode()).decode()
    return f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\ndata:\n  password: {data}\n"


def spoken(result: TaskResult) -> str:
    """All that a run has shown or returned."""
    return json.dumps(result) + result.stdout + result.stderr


def never_told(result: TaskResult) -> None:
    for value in HUSH:
        for spelled in (value, base64.b64encode(value.encode()).decode()):
            assert spelled not in spoken(result)


def gets(requests: list[Request]) -> list[str]:
    return [request.path for request in requests if request.method == "GET"]


@pytest.mark.once
def test_two_artifacts(ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path) -> None:
    """Files, modes, links and annotations; on the terminal and as data; what is equal is not fetched."""
    first: dict[str, Entry] = {
        "a.yaml": "a: 1\n",
        "gone.txt": "gone\n",
        "data.bin": b"\0\1\2",
        "run.sh": special(tarfile.REGTYPE, mode=0o644),
        "current": special(tarfile.SYMTYPE, "a.yaml"),
        "secret.yaml": secret(HUSH[0]),
        "copy.txt": f"the login is {HUSH[0]}\n",
        "same.txt": "same\n",
    }
    second: dict[str, Entry] = {
        **first,
        "a.yaml": "a: 2\n",
        "new/one.txt": "new\n",
        "data.bin": b"\0\1\3",
        "run.sh": special(tarfile.REGTYPE, mode=0o755),
        "current": special(tarfile.SYMTYPE, "same.txt"),
        "secret.yaml": secret(HUSH[1]),
        "copy.txt": f"the login is {HUSH[1]}\n",
    }
    del second["gone.txt"]
    publisher.publish("1", first, annotations={"kept": "a", "moved": "a", "dropped": "a"})
    publisher.publish("2", second, annotations={"kept": "a", "moved": "b", "brought": "b"})
    ref = publisher.name
    tasks = [
        task(f"{ref}:1", f"{ref}:2"),
        task(f"{ref}:1", f"{ref}:1"),
        task(f"{ref}:1", f"{ref}:2", changed_when="found.differs", register="found"),
    ]
    found, same, reported = ansible.tasks(tasks, diff=True)
    assert (found.failed, found.changed, found["differs"], found["reason"]) == (False, False, True, "Different"), found
    assert found["changes"] == {
        "added": ["new/one.txt"],
        "removed": ["gone.txt"],
        "changed": ["a.yaml", "copy.txt", "current", "data.bin", "secret.yaml"],
        "modes": ["run.sh"],
    }
    assert found["counts"] == {"added": 1, "removed": 1, "changed": 5, "modes": 1}
    files = {each["path"]: each for each in found["files"]}
    assert files["a.yaml"]["text"] == "--- a/a.yaml\n+++ b/a.yaml\n@@ -1 +1 @@\n-a: 1\n+a: 2\n"
    assert (files["data.bin"]["text"], files["data.bin"]["note"]) == ("", "binary")
    assert (files["run.sh"]["from"]["mode"], files["run.sh"]["to"]["mode"]) == ("0644", "0755")
    assert (files["current"]["from"]["target"], files["current"]["to"]["target"]) == ("a.yaml", "same.txt")
    assert files["secret.yaml"]["text"].count("(hidden, ") == 2
    assert found["annotations"] == {
        "added": {"brought": "b"},
        "removed": {"dropped": "a"},
        "changed": {"moved": {"from": "a", "to": "b"}},
    }
    assert [len(found["layers"][kind]) for kind in ("added", "removed")] == [1, 1]
    never_told(found)
    # shown once by the action, and once by the callback, for the task that says that it changed
    assert found.stdout.count("-a: 1\n") == found.stdout.count("+a: 2\n") == 2, found.stdout
    for line in ("mode of run.sh: 0644 -> 0755", "+symbolic link to same.txt", "-binary file of 3 bytes"):
        assert line in found.stdout, found.stdout
    assert (same["differs"], same["reason"], same["files"], same["diff"]) == (False, "Identical", [], [])
    assert reported.changed

    start = registry.mark()
    ansible.tasks([task(f"{ref}:2", {"ref": f"{ref}:2"})])
    assert gets(registry.requests(start)) == []
    quiet = ansible.tasks([task(f"{ref}:1", f"{ref}:2", no_log=True)], diff=True)[0]
    assert "a: 2" not in quiet.stdout
    plain = ansible.tasks([task(f"{ref}:1", f"{ref}:2")])[0]
    assert "diff" not in plain and "+a: 2" not in plain.stdout


@pytest.mark.once
def test_only_layers_that_differ_are_fetched(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    """Titled files; the wrong side of a policy; options that contradict each other."""
    blobs = {name: Blob(f"{name}\n".encode() * 100, PLAIN_LAYER, {TITLE: name}) for name in ("a", "b", "c")}
    other = Blob(b"other\n", PLAIN_LAYER, {TITLE: "b"})
    renamed = Blob(blobs["c"].data, PLAIN_LAYER, {TITLE: "d"})
    publisher.publish("1", list(blobs.values()))
    publisher.publish("2", [blobs["a"], other, renamed])
    ref = publisher.name
    start = registry.mark()
    found = ansible.tasks([task(f"{ref}:1", {"url": f"oci://{ref}", "tag": "2"})])[0]
    assert found["changes"] == {"added": ["d"], "removed": ["c"], "changed": ["b"], "modes": []}, found
    fetched = [path.rpartition("/")[2] for path in gets(registry.requests(start)) if "/blobs/" in path]
    assert sorted(fetched) == sorted(each.descriptor["digest"] for each in (blobs["b"], other))

    dest, empty = tmp_path / "dest", tmp_path / "empty"
    empty.mkdir()
    layout = tmp_path / "layout"
    write_layout(layout, "x", {"a": "other\n"})
    start = registry.mark()
    unsigned, both, neither, number = ansible.tasks(
        [
            task(f"{ref}:1", f"{ref}:2", verify={"public_keys": [_key()]}),
            task(str(dest), str(empty)),
            task({"tag": "1"}, f"{ref}:2"),
            task({"url": f"oci://{ref}", "tag": 1.0}, f"{ref}:2"),
        ]
    )
    assert unsigned["reason"] == "VerificationError" and unsigned["msg"].startswith("'from': "), unsigned
    assert not any("/blobs/" in path for path in gets(registry.requests(start)))
    for refused in (both, neither, number):
        assert refused["reason"] == "InvalidOption", refused
    assert "from" in number["msg"] and "both directories" in both["msg"]


def _key() -> str:
    keys = Path(__file__).resolve().parents[1] / "vectors/keys"
    return next(iter(sorted(keys.glob("*.pub")))).read_text()


@pytest.mark.once
def test_directory(ansible: AnsibleRunner, publisher: Publisher, tmp_path: Path) -> None:
    """What a pull has placed, before and after somebody touched it; nothing outside of the directory is looked at."""
    publisher.publish("1", {"a.txt": "a\n", "b.txt": "b\n", "sub/c.txt": "c\n", "logo.png": "left out\n"})
    ref, dest = f"{publisher.name}:1", tmp_path / "dest"
    ansible.tasks([{"name": "pull", PULL: {"ref": ref, "dest": str(dest), "insecure": True}}])
    intact = ansible.tasks([task(ref, str(dest))])[0]
    assert (intact["differs"], intact["to"]) == (False, {"path": str(dest)}), intact
    (tmp_path / "private.txt").write_text(HUSH[0])
    (dest / "a.txt").write_text("A\n")
    (dest / "b.txt").unlink()
    (dest / "b.txt").symlink_to("../private.txt")
    (dest / "sub/c.txt").chmod(0o600)
    (dest / "logo.png").write_text("left out as well\n")
    os.mkfifo(dest / "pipe")
    touched, limited, absent = ansible.tasks(
        [
            task(ref, {"path": str(dest)}),
            task(ref, str(dest), max_files=2),
            task(ref, str(tmp_path / "none")),
        ],
        diff=True,
    )
    assert touched["changes"] == {
        "added": ["pipe"],
        "removed": [],
        "changed": ["a.txt", "b.txt"],
        "modes": ["sub/c.txt"],
    }, touched
    assert [each["to"]["kind"] for each in touched["files"]] == ["file", "symlink", "special", "file"]
    assert "-a\n" in touched.stdout and "+A\n" in touched.stdout
    never_told(touched)
    assert "max_files" in limited["msg"]
    assert absent["reason"] == "StorageOperationFailed" and "none" in absent["msg"]


@pytest.mark.once
def test_charts(ansible: AnsibleRunner, publisher: Publisher, tools: Tools, tmp_path: Path) -> None:
    """Chart.yaml, values and rendered manifests; without Helm, and from a directory; Secrets stay hidden."""
    template = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n"
        "  password: {{ .Values.login.pass_phrase | quote }}\n"
    )

    first = chart(
        version="1.0.0",
        values=f"color: blue\nlogin:\n  pass_phrase: {HUSH[0]}\nnote: {HUSH[0]}\n",
        **{"templates__login.yaml": template},
    )
    second = chart(
        version="1.1.0",
        values=f"color: red\nlogin:\n  pass_phrase: {HUSH[1]}\nnote: {HUSH[1]}\n",
        **{"templates__login.yaml": template},
    )
    publish_chart(publisher, "1.0.0", first)
    layout = tmp_path / "layout"
    write_chart_layout(layout, "1.1.0", second)
    source = tmp_path / "source"
    with tarfile.open(fileobj=io.BytesIO(second)) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (tmp_path / "unpacked/demo").rename(source)
    (source / ".helmignore").write_text("*.swp\n")
    (source / "left.swp").write_text("left out\n")
    (source / "templates/shown.yaml").chmod(0o600)
    helm = str(tools["helm"])
    endless = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: endless}\ndata:\n  text: {{ repeat 10000000 "x" }}\n'
    write_chart_layout(tmp_path / "endless", "1", chart(**{"templates__endless.yaml": endless}))
    rendered, bare, directory, large = ansible.tasks(
        [
            task(f"{publisher.name}:1.0.0", f"oci-layout:{layout}:1.1.0", helm=helm),
            task(f"{publisher.name}:1.0.0", f"oci-layout:{layout}:1.1.0", helm="/nowhere/helm"),
            task(str(source), f"oci-layout:{layout}:1.1.0", helm=helm),
            task(f"{publisher.name}:1.0.0", f"oci-layout:{tmp_path}/endless:1", helm=helm),
        ],
        diff=True,
    )
    assert rendered["changes"]["changed"] == ["Chart.yaml", "values.yaml"], rendered
    found = rendered["chart"]
    assert {"path": "version", "from": "1.0.0", "to": "1.1.0"} in found["metadata"]
    values = {each["path"]: each for each in found["values"]}
    assert values["color"] == {"path": "color", "from": "blue", "to": "red"}
    for path in ("login.pass_phrase", "note"):
        assert values[path]["from"].startswith("(hidden, ") and values[path]["from"] != values[path]["to"]
    objects = {(each["kind"], each["name"]): each for each in found["manifests"]}
    assert set(objects) == {("ConfigMap", "release-name"), ("Secret", "login")}, found
    assert "-  password: (hidden, " in objects["Secret", "login"]["text"]
    assert (found["rendered"], found["notes"]) == (True, [])
    assert "Secret login (rendered)" in rendered.stdout and "+color: red" in rendered.stdout
    never_told(rendered)

    assert bare["chart"]["rendered"] is False and "'/nowhere/helm'" in bare["chart"]["notes"][0], bare
    assert bare["chart"]["metadata"] == found["metadata"]
    assert bare["changes"] == rendered["changes"]
    assert any("/nowhere/helm" in warning for warning in bare["warnings"])
    assert directory["changes"] == {"added": [], "removed": [".helmignore"], "changed": [], "modes": []}, directory
    assert "renders more than" in large["chart"]["notes"][0] and large["changes"]["added"] == ["templates/endless.yaml"]
