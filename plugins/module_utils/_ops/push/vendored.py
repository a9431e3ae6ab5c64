# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project with playbooks, and beside them the collections that it requires, as ``ansible-galaxy`` installs them."""

from __future__ import annotations

import os
import shutil
import sys

from ..._errors import BuildError
from ..._files.names import is_reserved
from ..command import run_words

# where projects name them: the latter is AWX's
REQUIREMENTS = ("requirements.yml", "collections/requirements.yml")
PROGRAM = "ansible-galaxy"
TIMEOUT = 900.0

# never of use in the copy
_SKIPPED = (".git", "__pycache__")


def with_collections(project: str, workspace: str) -> str:
    """Copy a project into ``workspace``, install its collections into ``collections`` there, and return the copy.

    Ansible looks there for the collections of a playbook beside it. What the project has in ``collections`` already
    stays, unless a requirement says otherwise.

    :raises BuildError: when the project names no requirements, or they cannot be installed.
    """
    found = [name for name in REQUIREMENTS if os.path.isfile(os.path.join(project, name))]
    if not found:
        raise BuildError(
            f"{project} has neither {' nor '.join(REQUIREMENTS)}, so there are no collections to put into it.",
            "Name them there, or leave out 'vendor_collections'.",
        )
    program = _program()
    copy = os.path.join(workspace, "project")

    def skipped(_directory: str, names: list[str]) -> list[str]:
        return [name for name in names if name in _SKIPPED or is_reserved(name)]

    try:
        shutil.copytree(project, copy, symlinks=True, ignore=skipped)
    except (OSError, shutil.Error) as exc:
        raise BuildError(f"Cannot copy the project {project}: {str(exc)[:500]}.") from None
    for name in found:
        requirements, target = os.path.join(copy, name), os.path.join(copy, "collections")
        words = [program, "collection", "install", "--requirements-file", requirements, "--collections-path", target]
        # sources in it may be paths, which are relative to the project
        ended = run_words(words, TIMEOUT, directory=copy)
        if ended.status:
            raise BuildError(f"The collections of {os.path.join(project, name)} were not installed: {ended.how}.")
    return copy


def _program() -> str:
    beside = os.path.join(os.path.dirname(sys.executable), PROGRAM)
    program = beside if os.access(beside, os.X_OK) else shutil.which(PROGRAM)
    if not program:
        raise BuildError(
            f"'vendor_collections' needs {PROGRAM} on the host that runs the module, and there is none.",
            "Run the task on the controller, or install ansible-core there.",
        )
    return program
