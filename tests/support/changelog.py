# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what antsibull-changelog does not: a first release fixes and breaks nothing, and new modules are in the list.

Run it in the root of the collection, with a Python that has PyYAML. It exits with 1 and names what is wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# sections that tell users of an earlier release what is different for them
AFTER_A_RELEASE = (
    "breaking_changes",
    "bugfixes",
    "deprecated_features",
    "removed_features",
    "security_fixes",
)


def problems(collection: Path) -> Iterator[str]:
    """Yield a sentence for each mistake in changelogs/ of the collection."""
    releases: dict[str, Any] = yaml.safe_load((collection / "changelogs/changelog.yaml").read_text())["releases"]
    if len(releases) < 2:
        sources = {f"changelog.yaml, {version}": release.get("changes", {}) for version, release in releases.items()}
        for path in sorted((collection / "changelogs/fragments").glob("*.y*ml")):
            sources[f"fragments/{path.name}"] = yaml.safe_load(path.read_text())
        for name, sections in sources.items():
            for section in sorted(set(sections).intersection(AFTER_A_RELEASE)):
                yield f"{name}: '{section}' in the first release, before which nothing was released"
    for kind in ("modules", "lookup"):
        for path in sorted((collection / "plugins" / kind).glob("*.py")):
            added = re.search(r"^version_added: (\S+)$", path.read_text(), re.MULTILINE)
            if added is None:
                yield f"{path.name}: no version_added"
            elif added[1] in releases and path.stem not in _new(releases[added[1]], kind):
                yield f"{path.name}: not among the new ones of {added[1]}; run antsibull-changelog release"


def _new(release: dict[str, Any], kind: str) -> set[str]:
    entries = release.get("modules", []) if kind == "modules" else release.get("plugins", {}).get(kind, [])
    return {entry["name"] for entry in entries}


if __name__ == "__main__":
    found = list(problems(Path.cwd()))
    print("\n".join(found) or "changelog: nothing is wrong")
    sys.exit(1 if found else 0)
