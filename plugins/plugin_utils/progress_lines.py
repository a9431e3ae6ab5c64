# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that say, with ``-v``, how far the long transfers of a module are that runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.utils.display import Display

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.progress import transfers

_KEY = "progress"


def send_lines(say: Callable[..., None]) -> None:
    """In the process of the module: hand each report to ``say``, which brings it to the worker."""
    transfers.listeners.append(lambda report: say(**{_KEY: str(report)}))


def show_line(message: Mapping[str, Any], host: str) -> None:
    """In the worker: show the line of a message, if it has one. Ansible hands it to the process that writes."""
    line = message.get(_KEY)
    if isinstance(line, str):
        Display().v(line, host=host or None)
