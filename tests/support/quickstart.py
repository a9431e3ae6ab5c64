# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/quickstart.sh runs: an environment in .work/, the collection in a tree, then the quick start playbook."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from collection_tree import make_tree
from pythons import allowed_cores, discover
from venvs import child_environment, make_venv

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = CHECKOUT / ".work"
PLAYBOOK = "cloudnative.artifacts.quickstart"


def main() -> None:
    cores = allowed_cores(discover())
    if not cores:
        sys.exit("tests/quickstart.sh needs a Python from 3.10 on, with venv and ensurepip")
    core = cores[-1]
    tools = make_venv(
        WORK / "quickstart-venv", core.python, [f"ansible-core~={core.release}.0"], [CHECKOUT / "requirements.txt"]
    )
    tree = WORK / "quickstart"
    make_tree(CHECKOUT, tree)
    environment = child_environment(
        # where Ansible keeps its temporary files: nothing is left in the home folder
        ANSIBLE_HOME=str(WORK / "quickstart-home"),
        ANSIBLE_REMOTE_TEMP=str(WORK / "quickstart-home/tmp"),
        ANSIBLE_COLLECTIONS_PATH=str(tree),
        ANSIBLE_LOCALHOST_WARNING="false",
        ANSIBLE_INVENTORY_UNPARSED_WARNING="false",
    )
    command = str(tools / "ansible-playbook")
    os.execve(command, [command, PLAYBOOK, *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
