# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is carried to hosts: the same programs without words for people, and no less than a task may need."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import carried
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carried_parts import PARTS
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carried_parts import sets as carried_sets
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carried_sources import (
    _imports,
    carried_text,
    closure,
    compact,
    core_imports,
    foreign_imports,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carries_less import _entry_text

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("[a-z]*.py"))
SOURCES = sorted(
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts)
    for folder in ("module_utils", "modules")
    for path in (PLUGINS / folder).rglob("*.py")
    if path.name != "__init__.py"
)
PINNED = {"ref": f"registry.example.com/a/b@sha256:{'0' * 64}", "dest": "/srv"}
TAGGED = {"ref": "registry.example.com/a/b:1", "dest": "/srv"}


def sets(module: str, arguments: dict[str, Any], **more: Any) -> list[list[str]]:
    return [each.names() for each in carried_sets(module, arguments, **more)]


class WithoutWords(ast.NodeTransformer):
    """A program without what compact() takes away: docstrings, annotations of functions, imports for types."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [each for each in node.body if not _is_documentation(each)] or [ast.Pass()]
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        return node


def _is_documentation(node: ast.stmt) -> bool:
    names = [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
    return names in (["DOCUMENTATION"], ["EXAMPLES"], ["RETURN"])


def _program(source: str) -> str:
    return ast.dump(WithoutWords().visit(ast.parse(source)))


def test_each_source_is_carried_as_the_same_program_with_the_same_lines() -> None:
    assert len(SOURCES) > 200
    for name in SOURCES:
        original = PLUGINS.joinpath(*name.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        text = compact(original)
        assert _program(text) == _program(original), name
        assert text.count("\n") == original.count("\n"), name
        # and it is less: no comment, docstring or annotation of a function is left
        tree = ast.parse(text)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation], name
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns], name
        assert "SPDX-License-Identifier" not in text, name


def test_what_looks_like_a_comment_a_docstring_or_an_annotation_and_is_none_stays() -> None:
    source = '''"""Of the module."""
A = "# no comment"  # a comment
B = [
    """no docstring""",
]


def f(a: dict[str, int], *, b: str = "x: y) -> z", c=lambda d: d, **e: Any) -> tuple[int, str]:
    """Of the function."""
    g: int = a["h"]
    return f"{g}:{b}", """no
docstring"""
'''
    text = compact(source)
    assert _program(text) == _program(source)
    assert text.count("\n") == source.count("\n")
    assert "a comment" not in text.replace("no comment", "") and "Of the" not in text and "Any" not in text


def test_imports_are_those_that_the_parser_finds() -> None:
    for name in SOURCES:
        eager, lazy = _imports(name)
        expected = defaultdict(set)
        tree = ast.parse(carried_text(name))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                parts = name.split(".")[: -node.level] if node.level else []
                module = ".".join([*parts, *filter(None, [node.module])]).replace(carried.PLUGINS, "")
                for each in (module, *(f"{module}.{alias.name}" for alias in node.names)):
                    if each in SOURCES:
                        expected[node in tree.body].add(each)
        assert (set(eager), set(lazy)) == (expected[True], expected[False]), name


# Who may import what a task did not ask for: it reads options or opens what the task works with, before any change.
ENTRANCES = {
    "modules.oci_artifact_pull",
    "modules.oci_manifests",
    "_ansible.charts",
    "_ansible.items",
    "_ansible.specs",
    # the record is read first, and lacks what it does not remember
    "_dest.state",
    # the layout is known from the record or an option
    "_dest.places",
    "_dest.workplace",
    "_layout.directory",
    # the manifests of a set are built before it is changed
    "_manifests.build",
    "_ops.charts.sources",
    "_ops.clients",
    "_ops.connect",
    "_ops.connect_to_write",
    "_ops.copy.rules",
    "_ops.diff.artifact",
    "_ops.info.info",
    "_ops.info.search",
    "_ops.manifests.work",
    "_ops.moved_tag",
    "_ops.prune.prune",
    # the releases are read before anything is changed
    "_ops.releases.parse",
    "_ops.pull.change",
    "_ops.pull.context",
    "_ops.pull.decide",
    "_ops.pull.options",
    "_ops.pull.repair",
    "_ops.push.push",
    "_ops.releases.deploy",
    "_ops.render.render",
    "_ops.sign",
    "_ops.tag.tag",
    "_ops.tag_place",
    "_ops.task",
    "_ops.verdicts",
    "_ops.verify",
}


@pytest.mark.parametrize("module", MODULES)
def test_a_task_can_lack_nothing_but_what_it_did_not_ask_for(module: str) -> None:
    asked, *_rest = sets(module, {}, expects_change=True)
    doors = tuple(f"module_utils.{door}." for part in PARTS for door in part.doors)
    for name in asked:
        for imported in {*_imports(name)[0], *_imports(name)[1]} - set(asked):
            assert name.replace("module_utils.", "") in ENTRANCES, f"{name} imports {imported}"
            assert f"{imported}.".startswith(doors), f"{name} imports {imported}"
    everything = sets(module, {})[-1]
    assert set(asked) <= set(everything)
    assert everything == closure([f"modules.{module}"], lambda name: True)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"verify": {"public_keys": ["k"]}}, "_trust.policy _ops.verdicts"),
        ({"provider": "aws"}, "_cloud.providers _cloud.aws"),
        ({"mirrors": {"docker.io": [{"url": "m.example.com", "provider": "gcp"}]}}, "_mirrors.rules _cloud.gcp"),
        ({"cache_dir": "/c"}, "_cache.artifact_cache"),
        ({"ref": "oci-layout:/srv/layout:1"}, "_layout.repository"),
        ({"ref": "oci-archive:/srv/archive.tar:1"}, "_layout.archive"),
        ({"semver": "1.x"}, "_oci.selection _registry.pages"),
        ({"on_registry_error": {"use": "last_good"}}, "_ops.pull.last_good _ops.pull.keep"),
        ({"tag_moved": "warn"}, "_ops.moved_tag"),
        ({"keep": 3}, "_ops.pull.host_options _dest.history"),
        ({"health": {"command": "true"}}, "_ops.pull.host_options _dest.history"),
        ({"layout": "releases"}, "_ops.pull.host_options _dest.releases"),
        ({"policy": "/etc/oci-policy.yml"}, "_ansible.policy _ops.guard _policy.window _trust.policy _ops.verdicts"),
        ({"policy": [{"match": "*", "window": {"deny": ["Sat"]}}]}, "_policy.window"),
        ({"policy": [{"match": "*"}]}, "_ansible.policy _ops.guard _policy.rules"),
        ({"password": "p"}, "_ansible.hiding"),
        ({}, "_ansible.hiding _registry.repository"),
    ],
)  # fmt: skip
def test_what_options_ask_for_is_carried_at_once(options: dict[str, Any], wanted: str) -> None:
    names = {f"module_utils.{name}" for name in wanted.split()}
    for carried_set in sets("oci_artifact_pull", {**TAGGED, **options}):
        assert names <= set(carried_set)
    # in an entry of a list, or in a list that is JSON text
    for artifacts in ([{**TAGGED, **options}], json.dumps([{**TAGGED, **options}])):
        for carried_set in sets("oci_artifact_pull", {"artifacts": artifacts}):
            assert names <= set(carried_set)


def test_a_pull_that_has_nothing_to_do_is_carried_without_what_changes_anything() -> None:
    pinned, asked, everything = sets("oci_artifact_pull", PINNED)
    tagged = sets("oci_artifact_pull", TAGGED)[0]
    # a reviewer decides whether these may grow
    assert [len(pinned) <= 28, len(tagged) <= 56, len(asked) <= 114] == [True] * 3
    assert set(pinned) < set(tagged) < set(asked) < set(everything)
    assert not [name for name in pinned if "_http" in name or "_registry" in name]
    for name in ("_ops.pull.change", "_dest.apply", "_archive.unpack", "_registry.blobs"):
        assert f"module_utils.{name}" in set(asked) - set(tagged)


@pytest.mark.parametrize("options", [{"force": True}, {"artifacts": [TAGGED]}])
def test_what_will_change_or_may_change_something_is_carried_in_one_step(options: dict[str, Any]) -> None:
    assert "module_utils._ops.pull.change" in sets("oci_artifact_pull", options)[0]
    assert "module_utils._ops.pull.change" in sets("oci_artifact_pull", TAGGED, expects_change=True)[0]


def test_a_relay_is_carried_in_one_step_what_resolves_verifies_and_fetches() -> None:
    request = json.dumps({"request": {"degree": "look", "file": "/tmp/made", "store": "/tmp/store", "platform": ""}})
    names = set(sets("oci_artifact_pull", {**TAGGED, "verify": {"public_keys": ["k"]}, "via": request})[0])
    for name in ("_ops.pull.provide", "_cache.artifact_cache", "_trust.verifier", "_registry.blobs"):
        assert f"module_utils.{name}" in names


def test_ansible_is_told_what_the_carried_sources_import_of_it() -> None:
    assert "ansible.module_utils.basic" in core_imports(sets("oci_artifact_pull", PINNED)[0])
    for module in MODULES:
        names = sets(module, {})[-1]
        assert core_imports(names) == sorted(
            {
                node.module
                for name in names
                for node in ast.walk(ast.parse(carried_text(name)))
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ansible.module_utils.")
            }
        )


def test_ansible_packs_another_collection_for_a_task_that_uses_it_where_it_is_installed() -> None:
    sops = "ansible_collections.community.sops.plugins.module_utils.sops"
    plain = sets("oci_manifests", {})[0]
    decrypts = sets("oci_manifests", {"manifests": [{"name": "a", "decryption": {}}]})[0]
    assert foreign_imports(plain) == [] and foreign_imports(decrypts) == [sops]
    tree = ast.parse(_entry_text("oci_manifests", decrypts))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import) and node.names[0].name == sops]
    # what is imported at the top has to be there
    assert len(found) == 1 and found[0] not in tree.body


@pytest.mark.parametrize("module", MODULES)
def test_the_file_that_is_carried_has_each_source_in_it(module: str) -> None:
    names = sets(module, {})[-1]
    tree = ast.parse(_entry_text(module, names))
    (sources,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == ["SOURCES"])
    assert ast.literal_eval(sources) == {name: carried_text(name) for name in names}


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _run(folder: Path, main: str, **sources: str) -> subprocess.CompletedProcess[str]:
    # the packages that Ansible puts into its archive
    (folder / carried.PLUGINS.replace(".", "/") / "modules").mkdir(parents=True)
    texts = {
        carried.ERRORS: carried_text(carried.ERRORS),
        "modules.a": main,
        **{f"module_utils.{name}": text for name, text in sources.items()},
    }
    place = f"sys.path.insert(0, {str(folder)!r})"
    program = f"{carried_text('module_utils._ansible.carried')}\n{place}\nrun_carried({texts!r}, 'a')\n"
    return subprocess.run([sys.executable, "-I", "-c", program], check=False, capture_output=True, text=True)


def test_a_missing_part_ends_the_run_with_its_name(tmp_path: Path) -> None:
    done = _run(tmp_path, "def main():\n    from ..module_utils._x import y\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {carried.WANTED: "module_utils._x", carried.REVISION: ""}


def test_nothing_that_handles_errors_takes_a_missing_part_for_one(tmp_path: Path) -> None:
    main = (
        "def main():\n    try:\n        from ..module_utils._x import y\n    except (ImportError, Exception):\n"
        "        print('handled')\n"
    )
    assert json.loads(_run(tmp_path, main).stdout)[carried.WANTED] == "module_utils._x"


def test_a_traceback_shows_the_lines_of_carried_sources(tmp_path: Path) -> None:
    done = _run(
        tmp_path,
        "from ..module_utils._x import f\nimport traceback\n\n"
        "def main():\n    try:\n        f()\n    except ValueError:\n"
        "        traceback.print_exc()\n        raise\n",
        _x="def f():\n    raise ValueError('no')\n",
    )
    assert done.returncode == 1
    assert "plugins/module_utils/_x.py\", line 2, in f\n    raise ValueError('no')\n" in done.stderr
