# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where errors of the core become errors of plugins that run on the controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible.errors import AnsibleError

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError


@contextmanager
def plugin_errors() -> Iterator[None]:
    """Turn an error of ``module_utils`` in this block into one that ends the task, with its message and reason code."""
    try:
        yield
    except OciError as exc:
        # without the chain: a traceback of the core is of no use to who wrote the playbook
        raise AnsibleError(f"{exc} (reason: {exc.reason})") from None
