# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without a network in between: what Ansible would do over SSH, through a shell of this machine.

Both sides are children of ``ansible-playbook``, so that its CPU time is the controller's and the host's.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: other_host
short_description: a host that is reached through a shell of this machine
description: Copies modules, and starts them, as connections to remote hosts do.
author: cloudnative.artifacts authors
extends_documentation_fragment: connection_pipelining
"""


class Connection(ConnectionBase):
    """Commands are children, files are copied."""

    transport = "other_host"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: Any = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = subprocess.run(
            ["/bin/sh", "-c", to_bytes(cmd)], check=False, input=to_bytes(in_data or b""), capture_output=True
        )
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        shutil.copyfile(in_path, out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        shutil.copyfile(in_path, out_path)

    def close(self) -> None:
        self._connected = False
