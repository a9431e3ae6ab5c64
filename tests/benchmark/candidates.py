# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection would do with the packages semver and pathspec: each as it is, and corrected by a subclass.

dependencies.py measures them beside the collection's own code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import semver
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import ignore
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import semver_range


class MastermindsVersion(semver.Version):
    """A version that Masterminds reads (``v1``, ``1.2``, ``01.2.3``); parts, order and bumps are those of semver."""

    @classmethod
    def parse(cls, version: Any, optional_minor_and_patch: bool = True) -> MastermindsVersion:
        match = semver_range._VERSION.match(version)
        if match is None or len(version) > semver_range.MAX_VERSION_LENGTH:
            raise ValueError(f"{version!r} is not a version")
        major, minor, patch, prerelease, build = match.groups()
        parts = (int(major), int(minor or 0), int(patch or 0))
        if max(parts) > semver_range.MAX_UINT64:
            raise ValueError(f"{version!r} has a part beyond 64 bits")
        if prerelease is not None and semver_range.has_leading_zero(prerelease):
            raise ValueError(f"{version!r} has a number with a leading zero")
        return cls(*parts, prerelease, build)

    @property
    def precedence(self) -> semver_range.Precedence:
        """What the collection's ranges compare."""
        parts = (self._major, self._minor, self._patch)
        if self._prerelease is None:
            return (*parts, 1, ())
        return (*parts, 0, semver_range.identifiers_key(self._prerelease))


class GitPattern(GitIgnoreSpecPattern):
    """A pattern that matches what git matches: the path itself, a directory's with a NUL before it.

    Patterns and paths are bytes, one character for each.
    """

    @classmethod
    def pattern_to_regex(cls, pattern: Any) -> tuple[Any, bool | None]:
        line = pattern.encode("latin-1")
        if not line or line.startswith(b"#"):
            return None, None
        line = ignore._trimmed(line)
        negative = line.startswith(b"!")
        line = line[negative:]
        only_dirs = line.endswith(b"/")
        line = line[: len(line) - only_dirs]
        if not line:
            return None, None
        anchored = b"/" in line
        line = line[line.startswith(b"/") :]
        if line.startswith(b"**/") and b"/" not in line[3:]:
            line, anchored = line[3:], False
        special = ignore._SPECIAL.search(line)
        head, tail = (line[: special.start()], line[special.start() :]) if special else (line, b"")
        tokens = ignore._tokens(tail, anchored)
        if tokens is None:
            return None, None
        start = (rb"\0" if only_dirs else rb"(?:\0|(?!\0))") + (b"" if anchored else b"(?:.*/)?")
        regex = rb"(?s:\A" + start + re.escape(head) + ignore._expression(tokens) + rb"\Z)"
        return regex.decode("latin-1"), not negative


class ExactSpec(GitIgnoreSpec):
    """Patterns of one file, with git's answers."""

    @classmethod
    def from_text(cls, text: str) -> ExactSpec:
        data = text.removeprefix("\ufeff").encode("utf-8", "surrogateescape").decode("latin-1")
        spec: ExactSpec = cls.from_lines(data.split("\n"), GitPattern, backend="simple")
        return spec

    def excluded(self, paths: Mapping[str, bool]) -> set[str]:
        """The paths (True for directories) that are left out."""
        found: set[str] = set()
        for path in sorted(paths):
            if path.rpartition("/")[0] in found:
                found.add(path)
                continue
            encoded = path.encode("utf-8", "surrogateescape").decode("latin-1")
            if self.check_file(f"\0{encoded}" if paths[path] else encoded).include:
                found.add(path)
        return found


def excluded_as_it_is(text: str, paths: Mapping[str, bool]) -> set[str]:
    """What pathspec leaves out; a pattern that it refuses is an error."""
    spec = GitIgnoreSpec.from_lines(text.split("\n"), backend="simple")
    return {path for path in paths if spec.check_file(f"{path}/" if paths[path] else path).include}
