# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``.helmignore``: the expected results are those of helm 3.22's pkg/ignore."""

from __future__ import annotations

import time

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.helmignore import HelmIgnore

# Directories end with a slash.
PATHS = "a a/ a/b a/b/ b ax bx x.md a/x.md templates/ templates/a templates/.x templates/.d/ é a* x\\ axb abc/b".split()
ALWAYS = {"templates/.x", "templates/.d/"}


@pytest.mark.parametrize(
    ("rules", "ignored"),
    [
        ("", ""),
        ("# a comment\n\n   \n", ""),
        ("a", "a a/ templates/a"),
        ("/a", "a a/"),
        ("a/", "a/"),
        ("a/b", "a/b a/b/"),
        ("a/b/", "a/b/"),
        ("*.md", "x.md a/x.md"),
        ("/*.md", "x.md"),
        ("a*/b", "a/b a/b/ abc/b"),
        ("a?", "ax a*"),
        ("?", "a a/ a/b a/b/ b templates/a é abc/b"),
        ("[a-c]x", "ax bx"),
        ("[^a]x", "bx"),
        ("[b]", "a/b a/b/ b abc/b"),
        ("a\\*", "a*"),
        ("x\\\\", "x\\"),
        ("*b*", "a/b a/b/ b bx axb abc/b"),
        ("*/*", "a/b a/b/ a/x.md templates/a abc/b"),
        ("/templates/a", "templates/a"),
        ("  b  \r\nax\r\n", "a/b a/b/ b ax abc/b"),
        ("\ufeffb", "a/b a/b/ b abc/b"),
        ("\u00a0b\u2003", "a/b a/b/ b abc/b"),
        ("é", "é"),
        ("é*", "é"),
        # a negated rule leaves out everything else
        ("!*", ""),
        ("!a", "a/b a/b/ b ax bx x.md a/x.md templates/ é a* x\\ axb abc/b"),
        ("!*a*", "a/b a/b/ b bx x.md a/x.md é x\\ abc/b"),
        ("!*/", " ".join(path for path in PATHS if not path.endswith("/"))),
    ],
)
def test_rules(rules: str, ignored: str) -> None:
    matcher = HelmIgnore(rules.encode(), "the file")
    found = {path for path in PATHS if matcher.ignores(path.rstrip("/"), path.endswith("/"))}
    assert found == ALWAYS | set(ignored.split())


@pytest.mark.parametrize("rule", ["a/**", "**", "[a", "[", "a[]b]", "[a-]", "x\\", "[a\\", "!["])
def test_rules_that_helm_refuses(rule: str) -> None:
    with pytest.raises(BuildError, match=r"the file, line 3"):
        HelmIgnore(f"a\n# x\n{rule}\n".encode(), "the file")


def test_bytes_that_are_no_utf8_match_themselves() -> None:
    matcher = HelmIgnore(b"\xff*\n", "the file")
    assert matcher.ignores(b"\xffx".decode("utf-8", "surrogateescape"), False)
    assert not matcher.ignores("x", False)


def test_many_stars_take_no_time() -> None:
    matcher = HelmIgnore(b"*a" * 100 + b"*b\n", "the file")
    begin = time.process_time()
    assert not matcher.ignores("a" * 5000, False)
    assert time.process_time() - begin < 5
