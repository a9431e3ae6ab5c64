# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ignore patterns: git is the judge of what one matches, Flux of which ones apply."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import ignore as ignore_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.ignore import (
    CI_PATTERNS,
    EXT_PATTERNS,
    EXTRA_PATTERNS,
    MAX_IGNORE_FILE,
    MAX_PATTERN_LENGTH,
    MAX_PATTERNS,
    PULL_DEFAULTS,
    PUSH_DEFAULTS,
    VCS_PATTERNS,
    excluded_paths,
    has_patterns,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, LayerError

FILE, LINK, DIRECTORY = "file", "link", "directory"

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")


def tree_of(*files: str) -> dict[str, bool]:
    """Paths with their parents; a trailing slash makes an empty directory."""
    paths: dict[str, bool] = {}
    for file in files:
        parts = file.rstrip("/").split("/")
        for length in range(1, len(parts)):
            paths["/".join(parts[:length])] = True
        paths["/".join(parts)] = file.endswith("/")
    return paths


def kept(ignore: str, *files: str, sourceignores: dict[str, str] | None = None) -> set[str]:
    """What is left of the files, without their parents."""
    return {file.rstrip("/") for file in files} - excluded_paths(tree_of(*files), ignore, sourceignores or {}, ())


# the judge


class Git:
    """A repository whose work tree is another directory in each call, and which knows no configuration."""

    def __init__(self, directory: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(directory / "repository"),
            "LC_ALL": "C",
        }
        self._patterns = directory / "patterns"
        self.run(directory, "init", "--quiet", "--template=")
        (directory / "repository" / "info").mkdir(exist_ok=True)

    def run(self, work_tree: Path, *arguments: str, stdin: bytes = b"") -> set[str]:
        done = subprocess.run(
            ["git", *arguments],
            cwd=work_tree,
            env={**self._environment, "GIT_WORK_TREE": str(work_tree)},
            input=stdin,
            capture_output=True,
            check=False,
        )
        # 1: check-ignore found nothing
        assert (done.returncode in (0, 1), done.stderr) == (True, b"")
        return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}

    def excluded(self, work_tree: Path, patterns: str, paths: Iterable[str]) -> set[str]:
        """Paths that one file of patterns at the root excludes."""
        self._patterns.write_bytes(os.fsencode(patterns))
        return self.run(
            work_tree,
            "-c",
            f"core.excludesFile={self._patterns}",
            "check-ignore",
            "--no-index",
            "-z",
            "--stdin",
            stdin=b"".join(os.fsencode(path) + b"\0" for path in paths),
        )

    def excluded_files(self, work_tree: Path, lowest: str, highest: Iterable[str]) -> set[str]:
        """Files that are excluded by ``lowest``, by the ``.sourceignore`` files that lie there and by ``highest``."""
        self._patterns.write_bytes(os.fsencode(lowest))
        return self.run(
            work_tree,
            "ls-files",
            "-z",
            "--others",
            "--ignored",
            f"--exclude-from={self._patterns}",
            "--exclude-per-directory=.sourceignore",
            *(f"--exclude={pattern}" for pattern in highest),
        )


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git(tmp_path_factory.mktemp("git"))


def plant(root: Path, kinds: dict[str, str]) -> None:
    for path, kind in sorted(kinds.items()):
        place = root / path
        if kind == DIRECTORY:
            place.mkdir()
        elif kind == LINK:
            place.symlink_to(".")
        else:
            place.touch()


NAMES = (*"a b ab ba aXb A - é a] [a] a\\ !a #a * 1.b".split(), "a b", "a ", " a", " #a", "a\t")
MORE_NAMES = ("a\n", "\udcff", "\\", "a^", "a-b", "[", "\r")

PIECES = (*"a b X é * ** ? / / **/ /** */ \\ ! [ ] - ^ .".split(), " ", "\t")
BRACKETS = tuple(
    "[ab] [!a] [^b] []a] [!]] [a-] [-a] [+--] [a\\]] [a-\\] [\\a-b] [b-a] [a-b-] [+-a-c] [/] [a/b] [!/] [[a] [é] [A-z] "
    "[[:alpha:]] [![:upper:]] [[:digit:]-b] [[:nothing:]] [[:alpha] [[:] [[::]]".split()
)


def trees(names: tuple[str, ...], size: int) -> st.SearchStrategy[dict[str, str]]:
    """Kinds by path: what lies below something makes that a directory."""
    paths = st.lists(st.sampled_from(names), min_size=1, max_size=4).map("/".join)
    kinds = st.sampled_from((FILE, FILE, FILE, DIRECTORY, LINK))

    def with_parents(chosen: dict[str, str]) -> dict[str, str]:
        parents = {"/".join(path.split("/")[:end]) for path in chosen for end in range(1, path.count("/") + 1)}
        return {**chosen, **dict.fromkeys(parents, DIRECTORY)}

    return st.dictionaries(paths, kinds, min_size=1, max_size=size).map(with_parents)


def directories(kinds: dict[str, str]) -> dict[str, bool]:
    return {path: kind == DIRECTORY for path, kind in kinds.items()}


PATTERN = st.lists(st.sampled_from(PIECES + BRACKETS), min_size=1, max_size=7).map("".join)
# likely to match, so that the order of patterns and of their sources matters
LIKELY = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "", "!")),
    st.sampled_from(("", "", "/", "**/", "a/", "*/", "a/**/")),
    st.sampled_from((*NAMES[:4], *NAMES[:4], *NAMES, "*", "?", "a*", "*b", "[ab]")),
    st.sampled_from(("", "", "", "/", "/*", "/**", " ", "\\ ")),
)
# likely to contradict each other
PLAIN = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "!")),
    st.sampled_from(("", "", "/", "**/", "a/", "*/")),
    st.sampled_from(("a", "b", "*")),
    st.sampled_from(("", "", "", "/", "/*")),
)
ENDS = st.sampled_from(("\n", "\n", "\n", "\r\n", " \n", "\\ \n", "  \n", "\t\n", "\0x\n"))
LINES = st.builds("{}{}".format, st.one_of(PATTERN, LIKELY, LIKELY, st.sampled_from(("", "#a", " #a", "\\#a"))), ENDS)
PLAIN_LINES = PLAIN.map("{}\n".format)
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def wide_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Each name at the root and below some of them; the kinds take turns, so that each name has each kind."""
    root = tmp_path_factory.mktemp("wide")
    names = NAMES + MORE_NAMES
    turns = itertools.cycle((FILE, DIRECTORY, LINK, FILE))
    kinds = dict.fromkeys(names, DIRECTORY)
    for parent in ("a", "b", "ab", "aXb", "a b", "é", "a/a", "a/b", "b/a", "a/b/a"):
        kinds.setdefault(parent, DIRECTORY)
        for name in names:
            kinds.setdefault(f"{parent}/{name}", next(turns))
    # these have children above
    kinds.update(dict.fromkeys(("a/a", "a/b", "b/a", "a/b/a"), DIRECTORY))
    kinds.update({"*": FILE, "ba": LINK, "é": DIRECTORY, "1.b": FILE, "[a]": FILE})
    plant(root, kinds)
    return root, kinds


@pytest.mark.once
@needs_git
@pytest.mark.once
class TestAgainstGit:
    @settings(SETTINGS, max_examples=500)
    @given(lines=st.lists(LINES, min_size=1, max_size=4))
    @example(lines=["*\n", "!a\n"])
    @example(lines=["a**/b\n"])
    @example(lines=["/a**/\n"])
    @example(lines=["**\\/a\n"])
    @example(lines=["a\\/\n"])
    @example(lines=["\ufeffab\n", "\ufeffa\n"])
    @example(lines=["a//b\n", "//a\n", "b//\n"])
    @example(lines=["a", "b"])
    def test_one_file_of_patterns(self, git: Git, wide_tree: tuple[Path, dict[str, str]], lines: list[str]) -> None:
        root, kinds = wide_tree
        text = "".join(lines)
        assert excluded_paths(directories(kinds), text, {}, ()) == git.excluded(root, text, kinds)

    @settings(SETTINGS, max_examples=300)
    @given(
        kinds=trees((*"aaabbb", *NAMES, ".gitignore"), 12),
        option=st.lists(st.one_of(PLAIN, LIKELY, PATTERN), max_size=1),
        root=st.lists(st.one_of(PLAIN_LINES, LINES), max_size=2),
        files=st.lists(st.lists(st.one_of(PLAIN_LINES, LINES), min_size=1, max_size=3), max_size=4),
        data=st.data(),
    )
    def test_all_sources(
        self,
        git: Git,
        kinds: dict[str, str],
        option: list[str],
        root: list[str],
        files: list[list[str]],
        data: st.DataObject,
    ) -> None:
        # git takes these from its command line, where it skips no comment and keeps spaces at the end
        option = [line.rstrip(" ") for line in option if not line.startswith("#") and not line.endswith("\\ ")]
        sources = {"": "".join(root)} if root else {}
        places = sorted(path for path, kind in kinds.items() if kind == DIRECTORY)
        for lines in files if places else ():
            sources[data.draw(st.sampled_from(places))] = "".join(lines)
        kinds = {**kinds, **{f"{place}/.sourceignore".lstrip("/"): FILE for place in sources}}
        with tempfile.TemporaryDirectory() as directory:
            plant(Path(directory), kinds)
            for place, text in sources.items():
                (Path(directory) / place / ".sourceignore").write_bytes(os.fsencode(text))
            wanted = git.excluded_files(Path(directory), "\n".join(VCS_PATTERNS), option)
        excluded = excluded_paths(directories(kinds), "\n".join(option), sources, VCS_PATTERNS)
        assert {path for path in excluded if kinds[path] != DIRECTORY} == wanted

    @settings(SETTINGS, max_examples=100)
    @given(
        bracket=st.one_of(
            st.sampled_from(BRACKETS),
            st.lists(st.sampled_from((*"ab!^-]\\[:", "[:alpha:]", "[:digit:]", "é")), max_size=6).map(
                lambda parts: "[" + "".join(parts) + "]"
            ),
        )
    )
    def test_each_byte_in_brackets(self, git: Git, tmp_path_factory: pytest.TempPathFactory, bracket: str) -> None:
        self.compare_each_byte(git, tmp_path_factory.getbasetemp(), bracket)

    @pytest.mark.parametrize(
        "name",
        "alnum alpha blank cntrl digit graph lower print punct space upper xdigit word ALPHA".split(),
    )
    @pytest.mark.parametrize("form", ("[[:%s:]]", "[![:%s:]]"))
    def test_each_byte_in_classes(self, git: Git, tmp_path: Path, name: str, form: str) -> None:
        self.compare_each_byte(git, tmp_path, form % name)

    @staticmethod
    def compare_each_byte(git: Git, work_tree: Path, bracket: str) -> None:
        names = [os.fsdecode(b"x%cy" % byte) for byte in range(1, 256) if byte != ord("/")]
        # git compares a name, a path, and the rest of a path after a star by different means
        for prefix, directory in (("", ""), ("/", ""), ("d/*", "d/")):
            paths = {"d": True, **{directory + name: False for name in names}, "x": True, "x/y": False}
            text = f"{prefix}x{bracket}y\n"
            assert excluded_paths(paths, text, {}, ()) == git.excluded(work_tree, text, paths)


class TestCombination:
    """Which patterns apply: Flux's rule."""

    FILES = (".git/config", ".gitignore", "a.png", ".github/ci.yml", "d/.sops.yaml", "a.yaml", "d/.sourceignore")

    def test_lists(self) -> None:
        assert VCS_PATTERNS == (".git/", ".gitignore", ".gitmodules", ".gitattributes")
        assert PUSH_DEFAULTS == VCS_PATTERNS + EXT_PATTERNS
        assert PULL_DEFAULTS == VCS_PATTERNS + EXT_PATTERNS + CI_PATTERNS + EXTRA_PATTERNS
        assert len(PULL_DEFAULTS) == len(set(PULL_DEFAULTS)) == 24

    @pytest.mark.parametrize("text", ("", "\n", "# a\n\n  \n\t\r\n", "\ufeff# a\n", "\r\n"))
    def test_no_pattern(self, text: str) -> None:
        assert not has_patterns(text)
        paths = tree_of(*self.FILES)
        excluded = excluded_paths(paths, text, {"": text, "d": text}, PULL_DEFAULTS)
        assert paths.keys() - excluded == {"a.yaml", "d", "d/.sourceignore"}
        excluded = excluded_paths(paths, text, {"": text, "d": text}, PUSH_DEFAULTS)
        assert paths.keys() - excluded == {
            "a.yaml", "d", "d/.sourceignore", "d/.sops.yaml", ".github", ".github/ci.yml"
        }  # fmt: skip

    @pytest.mark.parametrize("text", ("nothing-here", " # a", "!x", "\n\n x", "\\#", "\ufeffx"))
    @pytest.mark.parametrize("place", (None, "", "d", "absent"))
    def test_any_pattern_replaces_all_but_vcs(self, text: str, place: str | None) -> None:
        assert has_patterns(text)
        paths = tree_of(*self.FILES)
        option, sources = (text, {}) if place is None else ("", {place: text})
        excluded = excluded_paths(paths, option, sources, PULL_DEFAULTS)
        assert excluded == {".git", ".git/config", ".gitignore"}

    @pytest.mark.parametrize(("place", "counts"), ((".git", False), ("d/.git/e", False), ("d/.github", True)))
    def test_files_inside_git_do_not_count(self, place: str, counts: bool) -> None:
        paths = tree_of("a.png", f"{place}/.sourceignore")
        assert ("a.png" in excluded_paths(paths, "", {place: "x\n"}, PULL_DEFAULTS)) is not counts

    def test_a_file_inside_an_excluded_directory_counts_but_has_no_effect(self) -> None:
        paths = tree_of("d/.sourceignore", "d/keep", "a.png")
        assert excluded_paths(paths, "", {"": "d/\n", "d": "!keep\n"}, PULL_DEFAULTS) == {
            "d", "d/.sourceignore", "d/keep"
        }  # fmt: skip
        paths = tree_of(".github/.sourceignore", "a.png")
        assert excluded_paths(paths, "", {".github": "a.png\n"}, PULL_DEFAULTS) == set()

    @pytest.mark.parametrize(
        ("ignore", "root", "nested", "left"),
        [
            pytest.param("", "*.txt", "", set(), id="root applies everywhere"),
            pytest.param("", "", "*.txt", {"a.txt"}, id="nested applies below its directory"),
            pytest.param("", "*.txt", "!b.txt", {"d/b.txt", "d/e/b.txt"}, id="nested outranks root"),
            pytest.param("!*.txt", "*.txt", "*.txt", {"a.txt", "d/b.txt", "d/e/b.txt"}, id="the option outranks both"),
            pytest.param("", "", "/b.txt", {"a.txt", "d/e/b.txt"}, id="nested is anchored to its directory"),
            pytest.param("/d/b.txt", "", "", {"a.txt", "d/e/b.txt"}, id="the option is anchored to the root"),
            pytest.param("!d/e/b.txt", "d/", "", {"a.txt"}, id="nothing comes back from an excluded directory"),
            pytest.param("!d\n*", "", "", set(), id="the last match decides"),
            pytest.param("*\n!d\n!d/*", "", "", {"d/b.txt"}, id="a directory comes back without what is below"),
        ],
    )
    def test_priorities(self, ignore: str, root: str, nested: str, left: set[str]) -> None:
        assert kept(ignore, "a.txt", "d/b.txt", "d/e/b.txt", sourceignores={"": root, "d": nested}) == left

    def test_user_patterns_bring_back_vcs_files(self) -> None:
        assert kept("!.gitignore", ".gitignore", ".gitmodules") == {".gitignore"}

    def test_a_git_file_is_no_git_directory(self) -> None:
        assert kept("", ".git") == {".git"}
        assert excluded_paths({".git": False}, "", {}, PULL_DEFAULTS) == set()

    def test_sourceignore_stays_unless_a_pattern_names_it(self) -> None:
        assert kept("", ".sourceignore", sourceignores={"": "x"}) == {".sourceignore"}
        assert kept(".sourceignore", ".sourceignore") == set()


class TestBounds:
    # a pattern, a path that it nearly matches, and what the path lacks
    HOSTILE = (
        ("a*a*a*a*a*a*a*a*a*b", "a" * 4000, "b"),
        ("*a*a*a*a*a*a*a*a*b", "a" * 4000, "b"),
        ("/*a*a*a*a*a*a*a*a*b", "a" * 4000, "b"),
        ("x" + "[ab]*" * 200 + "d", "x" + "ab" * 2000, "d"),
        ("**/a/**/a/**/a/**/a/**/b", "a/" * 2000, "b"),
        ("**/*/**/*/**/*/**/*/**/b", "a/" * 2000, "b"),
        ("**/*a*a*a*/**/*a*a*a*/**/b", "aaaa/" * 800, "b"),
        ("**/" * 300 + "b", "a/" * 2000, "b"),
        ("*/" * 300 + "**/" * 300 + "*b", "a/" * 2000, "b"),
        ("x/**\\/a/**\\/a/**\\/a/**\\/b", "x" + "/a" * 2000 + "/", "b"),
        ("**/" + "a*/" * 100 + "b", "aaaaaaaaa/" * 400, "b"),
        ("*" * 4000 + "b", "a" * 4000, "b"),
        ("*" + "a" * 2000 + "*b", "a" * 4000, "b"),
        ("*" + "?" * 2000 + "b", "a" * 4000, "b"),
    )

    @pytest.mark.parametrize(("pattern", "path", "lacking"), HOSTILE)
    def test_steps_do_not_multiply(self, pattern: str, path: str, lacking: str) -> None:
        paths = tree_of(path + "c", path + "cc", path + lacking)
        began = time.process_time()
        excluded = excluded_paths(paths, pattern, {}, ())
        assert time.process_time() - began < 20
        assert path + "c" not in excluded
        assert path + lacking in excluded

    def test_the_sum_of_the_work_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ignore_module, "MAX_WORK", 100_000_000)
        paths = tree_of(*(f"{'a' * 200}{number}" for number in range(200)))
        patterns = "".join(f"*{'a' * 100}?{number}*c\n" for number in range(60))
        with pytest.raises(InvalidOption, match="too many wildcards"):
            excluded_paths(paths, patterns, {}, ())
        with pytest.raises(LayerError, match="too many wildcards"):
            excluded_paths(paths, "", {"": patterns}, ())

    @pytest.mark.parametrize("reason", ("levels", "literals", "reading", "translation", "one path"))
    def test_all_kinds_of_work_count(self, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
        monkeypatch.setattr(ignore_module, "MAX_WORK", 10_000_000)
        deep = {"/".join("a" * depth): True for depth in range(1, 300)}
        paths, sources = {
            "levels": (deep, dict.fromkeys(deep, "x")),
            "literals": ({str(number): False for number in range(11_000)}, {"": "x"}),
            "reading": ({}, {"d": "#" * 100_000, "e": "\n" * 100_000}),
            "translation": ({}, {"": "*b" * 1000}),
            "one path": ({"a" * 20_000: False}, {"": "*a?a?" * 100 + "b"}),
        }[reason]
        with pytest.raises(LayerError, match="too many wildcards"):
            excluded_paths(paths, "", sources, ())

    def test_what_is_usual_stays_far_below(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ignore_module, "MAX_WORK", ignore_module.MAX_WORK // 30)
        paths = tree_of(*(f"apps/team-{n % 70}/service-{n}/manifest-{n % 9}.yaml" for n in range(20_000)))
        patterns = "*.jpg *.tar.gz docs/ **/.flux.yaml /prod*/secret a/**/b.yaml test_*_x.py [._]* *-[0-3].*".split()
        patterns += [f"*service*-{number}?" for number in range(10)]
        began = time.process_time()
        excluded = excluded_paths(paths, "\n".join(patterns * 3), {}, ())
        assert time.process_time() - began < 40
        assert 8000 < len(excluded) < 12_000

    def test_below_an_excluded_directory_nothing_is_matched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ignore_module, "MAX_WORK", 100_000)
        paths = tree_of(*(f"d/{'a' * 200}{number}" for number in range(1000)))
        assert excluded_paths(paths, "*a*b\nd", {"d": "*c*d"}, ()) == set(paths)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("a" * (MAX_PATTERN_LENGTH + 1), "line 1 has 4097 bytes, at most 4096", id="long pattern"),
            pytest.param("\n" + "é" * (MAX_PATTERN_LENGTH // 2) + "a", "line 2 has 4097 bytes", id="bytes count"),
            pytest.param("a\n" + "\n" * MAX_IGNORE_FILE, "has 1048578 bytes, at most 1048576", id="long text"),
            pytest.param("a\n" * (MAX_PATTERNS + 1), "more than the 10000 ignore patterns", id="many patterns"),
            pytest.param("\ud800", "holds a lone surrogate", id="no text"),
        ],
    )
    def test_texts_are_limited(self, text: str, message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            excluded_paths({"a": False}, text, {}, ())
        with pytest.raises(LayerError, match=message) as caught:
            excluded_paths(tree_of("d/a"), "", {"d": text}, ())
        assert "many" in message or "more" in message or "'d/.sourceignore'" in caught.value.message

    def test_what_is_just_allowed(self) -> None:
        longest = "a" * MAX_PATTERN_LENGTH
        text = f"{longest}\n#{longest}\n" + "b\n" * (MAX_PATTERNS - 1 - len(VCS_PATTERNS))
        text += "\n" * (MAX_IGNORE_FILE - len(text))
        assert excluded_paths({longest: False, "b": False, "c": False}, text, {}, ()) == {longest, "b"}

    def test_patterns_of_all_files_count_together(self) -> None:
        half = "a\n" * (MAX_PATTERNS // 2)
        assert excluded_paths(tree_of("d/a"), half, {}, ()) == {"d/a"}
        with pytest.raises(LayerError, match="more than the"):
            excluded_paths(tree_of("d/a"), half, {"d": half}, ())

    @pytest.mark.parametrize("directory", ("d", "absent", ".git"))
    def test_a_file_that_is_not_read_is_not_checked(self, directory: str) -> None:
        text = "a" * (MAX_PATTERN_LENGTH + 1)
        assert excluded_paths(tree_of("d/a"), "d", {directory: text}, ()) == {"d", "d/a"}
