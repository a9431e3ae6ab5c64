# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers behind "What we depend on, and why" in the README.

    python tests/benchmark/dependencies.py [--rounds N]

Compares the collection's own code with the packages oras, semver and pathspec: what they cost to import and to install,
whether their answers are those of Masterminds/semver and of git, what they cost for each call, and what hostile input
does to them. Needs oras, semver and pathspec (``pip install oras semver pathspec``) and git. Times are CPU times, the
least of several rounds, so that a busy machine disturbs them little; "never" stands for more than 30 seconds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
FIXTURES = CHECKOUT / "tests/unit/plugins/module_utils/_oci/fixtures/semver"
OWN = "ansible_collections.cloudnative.artifacts.plugins.module_utils."
PATIENCE = 30.0  # seconds
TAGS = 100_000
FILES = 2_000

Row = tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hostile", nargs=2, metavar=("WHO", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(CHECKOUT / "tests/support"))
    from collection_tree import make_tree

    with tempfile.TemporaryDirectory() as folder:
        make_tree(CHECKOUT, Path(folder))
        sys.path.insert(0, folder)
        warnings.simplefilter("ignore", FutureWarning)  # of expressions that pathspec makes
        if options.hostile:
            HOSTILE[options.hostile[1]](*options.hostile[:1])
            return
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("oras", "semver", "pathspec"))
        print(f"{versions}; Python {platform.python_version()}, {os.cpu_count()} processors ({platform.machine()})\n")
        show("CPU of a process that imports", "ms", imports(folder, options.rounds))
        show("Installed by it", "packages, MB", [installed("requests"), installed("oras", beside="requests")])
        show(
            "Versions, against Masterminds/semver",
            "refused or read wrongly, places in the order wrong",
            exact_versions(),
        )
        show(f"{TAGS:,} tags parsed, and sorted", "CPU s", time_versions(options.rounds))
        show("Files of patterns, against git check-ignore", "with other answers", exact_patterns())
        show(f"30 patterns over {FILES:,} files", "CPU s", time_patterns(options.rounds))
        show("Hostile input", "CPU s", hostile())


def show(title: str, unit: str, rows: Iterable[Row]) -> None:
    print(f"## {title} ({unit})")
    for row in rows:
        print("  " + "  ".join([row[0].ljust(58), *(cell.rjust(14) for cell in row[1:])]), flush=True)
    print()


def cpu(call: Callable[[], Any], rounds: int) -> float:
    """The least CPU time (seconds) of several calls."""
    least = float("inf")
    for _round in range(rounds):
        started = time.process_time()
        call()
        least = min(least, time.process_time() - started)
    return least


# Import and installation


def imports(folder: str, rounds: int) -> list[Row]:
    programs = {
        "nothing": "pass",
        "re, json, threading (what all of ours use)": "import re, json, threading",
        "requests": "import requests",
        "requests, oras.provider": "import requests, oras.provider",
        "ours: _registry.repository, with requests": f"import {OWN}_registry.repository",
        "semver": "import re, json, threading, semver",
        "ours: _oci.semver_range": f"import re, json, threading, {OWN}_oci.semver_range",
        "pathspec": "import re, json, threading, pathspec",
        "ours: _archive.ignore": f"import re, json, threading, {OWN}_archive.ignore",
        "importlib.metadata": "import re, json, threading, importlib.metadata",
        "nacl.secret (for keys that cosign encrypted)": "import nacl.secret",
    }
    least = dict.fromkeys(programs, float("inf"))
    for _round in range(rounds):
        for name, program in programs.items():
            command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {folder!r})\n{program}"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            least[name] = min(least[name], used)
    return [(name, f"{seconds * 1000:.0f}") for name, seconds in least.items()]


def installed(name: str, beside: str = "") -> Row:
    """How many packages come with one, itself included, and how large they are; but for those of another one."""
    names = _closure(name) - (_closure(beside) if beside else set())
    size = sum(_size(each) for each in names)
    return f"{name}{f', beside {beside}' if beside else ''}", str(len(names)), f"{size / 1e6:.1f}"


def _closure(name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if each in found:
            continue
        try:
            requirements = importlib.metadata.requires(each) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python, or another system
        found.add(each)
        waiting += [
            re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in requirements if "extra ==" not in line
        ]
    return found


def _size(name: str) -> int:
    files = importlib.metadata.files(name) or []
    return sum(file.size or 0 for file in files if file.suffix != ".pyc")


# Versions


def exact_versions() -> list[Row]:
    import semver
    from candidates import MastermindsVersion

    oracle = json.loads((FIXTURES / "masterminds.json").read_text("utf-8"))

    def ours(text: str) -> Any:
        from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.semver_range import parse_version

        parsed = parse_version(text)
        if parsed is None:
            raise ValueError(text)
        return parsed[0]

    rows = []
    for name, parse in (
        ("ours", ours),
        ("semver", lambda text: semver.Version.parse(text, optional_minor_and_patch=True)),
        ("semver, a subclass that parses", MastermindsVersion.parse),
        ("semver, a subclass that parses and compares", lambda text: MastermindsVersion.parse(text).precedence),
    ):
        read: list[tuple[Any, int]] = []
        wrong = 0
        for text, rank in zip(oracle["versions"], oracle["ranks"]):
            try:
                read.append((parse(text), rank))
            except ValueError:
                wrong += 1
        for text in oracle["not_versions"]:
            try:
                parse(text)
                wrong += 1
            except ValueError:
                continue
        pairs = sum(
            ((one > two) - (one < two)) != ((rank > other) - (rank < other))
            for one, rank in read
            for two, other in read
        )
        rows.append((name, f"{wrong} of {len(oracle['versions']) + len(oracle['not_versions'])}", str(pairs)))
    return rows


def some_tags() -> list[str]:
    chance = random.Random(1)
    ends = ("", "", "", "-rc.{}", "-alpha.{}", "+build.{}")
    return [
        f"{chance.choice(('', 'v'))}{chance.randrange(9)}.{chance.randrange(99)}.{chance.randrange(999)}"
        + chance.choice(ends).format(chance.randrange(30))
        for _number in range(TAGS)
    ]


def time_versions(rounds: int) -> list[Row]:
    import semver
    from candidates import MastermindsVersion

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.semver_range import parse_version
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.tag_ranking import rank_versions

    tags = some_tags()
    bare = [tag.lstrip("v") for tag in tags]
    rounds = min(rounds, 3)

    def row(name: str, parse: Callable[[], Any], whole: Callable[[], Any]) -> Row:
        return name, f"{cpu(parse, rounds):.2f}", f"{cpu(whole, rounds):.2f}"

    rows = [tuple((tag, tag) for tag in tags)]
    return [
        row("ours", lambda: [parse_version(tag) for tag in tags], lambda: rank_versions(rows[0])),
        row(
            "semver (without the prefix v)",
            lambda: [semver.Version.parse(tag) for tag in bare],
            lambda: sorted([semver.Version.parse(tag) for tag in bare], reverse=True),
        ),
        row(
            "semver, a subclass that parses",
            lambda: [MastermindsVersion.parse(tag) for tag in tags],
            lambda: sorted([MastermindsVersion.parse(tag) for tag in tags], reverse=True),
        ),
        row(
            "semver, a subclass that parses and compares",
            lambda: [MastermindsVersion.parse(tag).precedence for tag in tags],
            lambda: sorted([MastermindsVersion.parse(tag).precedence for tag in tags], reverse=True),
        ),
    ]


# Patterns

NAMES = [*"a b ab ba aXb A - é a] [a] a\\ !a #a * 1.b".split(), "a b", "a ", " a", " #a", "a\t", "a^", "a-b", "["]
PIECES = [
    *"a a b b X é * * ** ? / / **/ /** */ \\ ! [ ] - ^ . [ab] [!a] []a] [a-] [b-a] [/] [[:alpha:]] [é]".split(),
    " ",
]
COMMON = [
    *"*.jpg *.zip .git/ .github/ *.tmp build/ /dist docs/*.md **/node_modules/ !keep.md *.log vendor/**/test".split(),
    *"a a/ /a a/b **/a a/** a/**/b *a !a ?b a*b */b !b/a A/ .* [ab] [!a]b".split(),
]


def some_patterns() -> list[str]:
    """Files of one to four patterns: half of them of the kind that people write, half of any pieces."""
    chance = random.Random(2)

    def pattern() -> str:
        if chance.random() < 0.5:
            return chance.choice(COMMON)
        return "".join(chance.choice(PIECES) for _piece in range(chance.randrange(1, 6)))

    return ["".join(pattern() + "\n" for _line in range(chance.randrange(1, 5))) for _file in range(1_000)]


def plant(root: Path) -> dict[str, bool]:
    """Each name at the root and below directories, as files and as directories in turn; True for directories."""
    paths: dict[str, bool] = {}
    turns = 0
    for parent in ("", "a", "b", "ab", "a/a", "a/b", "b/a", "a/b/a"):
        if parent:
            paths[parent] = True
            (root / parent).mkdir(exist_ok=True)
        for name in NAMES:
            path = f"{parent}/{name}".lstrip("/")
            if path in paths or path in ("a", "b", "ab", "a/a", "a/b", "b/a", "a/b/a"):
                continue
            turns += 1
            paths[path] = turns % 3 == 0
            (root / path).mkdir() if paths[path] else (root / path).touch()
    return paths


def exact_patterns() -> list[Row]:
    from candidates import ExactSpec, excluded_as_it_is

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.ignore import excluded_paths

    ways: dict[str, Callable[[str, Mapping[str, bool]], set[str]]] = {
        "ours": lambda text, paths: excluded_paths(paths, text, {}, ()),
        "pathspec": excluded_as_it_is,
        "pathspec, a subclass that corrects": lambda text, paths: ExactSpec.from_text(text).excluded(paths),
    }
    wrong = dict.fromkeys(ways, 0)
    errors = dict.fromkeys(ways, 0)
    texts = some_patterns()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        paths = plant(tree)
        environment = {
            "PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_DIR": f"{folder}/git", "GIT_WORK_TREE": str(tree),
        }  # fmt: skip
        subprocess.run(["git", "init", "--quiet", "--template="], env=environment, cwd=tree, check=True)
        listed = b"".join(os.fsencode(path) + b"\0" for path in paths)
        for text in texts:
            Path(folder, "patterns").write_bytes(os.fsencode(text))
            command = [
                "git",
                "-c",
                f"core.excludesFile={folder}/patterns",
                "check-ignore",
                "--no-index",
                "-z",
                "--stdin",
            ]
            judged = subprocess.run(command, env=environment, cwd=tree, input=listed, capture_output=True, check=False)
            wanted = {os.fsdecode(path) for path in judged.stdout.split(b"\0") if path}
            for name, way in ways.items():
                try:
                    wrong[name] += way(text, paths) != wanted
                except (ValueError, re.error):
                    errors[name] += 1
    return [(name, f"{wrong[name] + errors[name]} of {len(texts)}", f"{errors[name]} as an error") for name in ways]


def some_files() -> dict[str, bool]:
    chance = random.Random(3)
    paths: dict[str, bool] = {}
    while sum(not is_dir for is_dir in paths.values()) < FILES:
        parts = [chance.choice(("src", "docs", "build", "vendor", "a", "b")) for _part in range(chance.randrange(1, 5))]
        for end in range(1, len(parts) + 1):
            paths["/".join(parts[:end])] = True
        name = f"file-{chance.randrange(10_000)}.{chance.choice(('py', 'md', 'yaml', 'log', 'jpg', 'go'))}"
        paths["/".join([*parts, name])] = False
    return paths


def time_patterns(rounds: int) -> list[Row]:
    from candidates import ExactSpec, excluded_as_it_is

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.ignore import (
        PULL_DEFAULTS,
        excluded_paths,
    )

    paths = some_files()
    # none that leaves out much, after which there is little to do
    text = "".join(
        f"{pattern}\n" for pattern in (*PULL_DEFAULTS, *"*.tmp /dist docs/*.txt **/node_modules/ *~ x?".split())
    )
    return [
        ("ours", f"{cpu(lambda: excluded_paths(paths, text, {}, ()), rounds):.3f}"),
        ("pathspec", f"{cpu(lambda: excluded_as_it_is(text, paths), rounds):.3f}"),
        ("pathspec, a subclass that corrects", f"{cpu(lambda: ExactSpec.from_text(text).excluded(paths), rounds):.3f}"),
    ]


# Hostile input: each case runs in a process of its own, which is given up


def _one_pattern(who: str, text: str, paths: Mapping[str, bool]) -> None:
    from candidates import ExactSpec, excluded_as_it_is

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.ignore import excluded_paths

    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: excluded_paths(paths, text, {}, ()),
        "as it is": lambda: excluded_as_it_is(text, paths),
        "subclass": lambda: ExactSpec.from_text(text).excluded(paths),
    }
    try:
        print(cpu(ways[who], 1))
    except Exception as exc:  # too many wildcards, a bound of the collection's own
        print(f"refused after {time.process_time():.1f} s" if type(exc).__name__ == "InvalidOption" else repr(exc))


def _stars(who: str) -> None:
    _one_pattern(who, "a*" * 12 + "b\n", {"a" * 80: False})


def _directories(who: str) -> None:
    paths = {"/".join("a" * depth): True for depth in range(1, 60)}
    _one_pattern(who, "**/a/" * 8 + "b\n", {**paths, "a/" * 60 + "c": False, "/".join("a" * 60): True})


def _many(who: str) -> None:
    text = "".join(f"*{number}*x*\n" for number in range(10_000))
    _one_pattern(who, text, {f"file-{number}-{'y' * 100}": False for number in range(2_000)})


def _digits(who: str) -> None:
    import semver
    from candidates import MastermindsVersion

    from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.semver_range import parse_version

    text = "1.0." + "9" * 4_000_000
    sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None

    def attempt() -> None:
        try:
            {"ours": parse_version, "as it is": semver.Version.parse, "subclass": MastermindsVersion.parse}[who](text)
        except ValueError:
            return

    print(cpu(attempt, 1))


HOSTILE: dict[str, Callable[[str], None]] = {
    "a*a*a*…b (12 stars), a name of 80 a": _stars,
    "**/a/**/a/…b (8 times), a path of 60 a/": _directories,
    "10,000 patterns *N*x*, 2,000 names": _many,
    "a version of 4,000,000 digits": _digits,
}


def hostile() -> list[Row]:
    rows = [("", "ours", "as it is", "subclass")]
    for case in HOSTILE:
        cells = []
        for who in rows[0][1:]:
            command = [sys.executable, __file__, "--hostile", who, case]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
                found = done.stdout.strip()
                is_time = found.replace(".", "").replace("e-", "").isdecimal()
                cells.append(f"{float(found):.3f}" if is_time else found[:60])
            except subprocess.TimeoutExpired:
                cells.append("never")
        rows.append((case, *cells))
    return rows


if __name__ == "__main__":
    main()
