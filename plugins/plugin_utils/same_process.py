# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a child of this process would be what Ansible starts for a module: the same interpreter, user and start-up.

Each function answers one question, and says no where it cannot know: then Ansible runs the module, as ever.
"""

from __future__ import annotations

import os
import pwd
import re
import site
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ansible import constants
from ansible.plugins import connection as connection_plugins

# What is read once by an interpreter or by its libraries, when they start. It is too late for one that runs already.
_READ_AT_START = (
    "PYTHON", "LD_", "DYLD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "GCONV_", "NLSPATH", "LOCPATH",
    "OPENSSL_", "CRYPTOGRAPHY_", "RES_OPTIONS", "LOCALDOMAIN", "COVERAGE_",
)  # fmt: skip
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# shells that read nothing before a command; the others may be told to read a file first
_SHELLS = ("/bin/sh", "/usr/bin/sh")
_DISCOVERY = ("", "auto", "auto_legacy", "auto_silent", "auto_legacy_silent")


def can_fork() -> bool:
    """False where a process that was forked may not ask the system for what a module asks it for, such as proxies."""
    return sys.platform != "darwin"


def is_local(connection: Any, shell: Any) -> bool:
    """True for Ansible's own connection plugin ``local`` with a shell that adds nothing to a module's environment.

    :param shell: what the task's host has its commands run by, as ``ansible_shell_executable`` says.
    """
    kind = sys.modules.get(type(connection).__module__)
    folder = os.path.dirname(str(getattr(kind, "__file__", None) or ""))
    own = type(connection).__module__ == f"{connection_plugins.__name__}.local"
    # that of the plugin starts that of the host
    shells = {str(constants.DEFAULT_EXECUTABLE or ""), str(shell or "")}  # type: ignore[attr-defined]  # set at run time
    return own and folder == os.path.dirname(str(connection_plugins.__file__)) and shells.issubset(_SHELLS)


def is_this_user(become_user: Any, remote_user: Any) -> bool:
    """True when Ansible would not use ``become``, as the task asks for the user that is there already."""
    if constants.BECOME_ALLOW_SAME_USER or not become_user:  # type: ignore[attr-defined]  # set at run time
        return False
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return bool(become_user == remote_user == name) and os.geteuid() == os.getuid()


def can_be_set_now(names: Iterable[str]) -> bool:
    """True when these variables of a task's environment mean the same to a process that runs already."""
    return all(_VARIABLE.match(name) and not name.startswith(_READ_AT_START) for name in names)


def interpreter(variables: Mapping[str, Any], templar: Any) -> str:
    """The Python that Ansible would take for a module; empty where it would have to look for one first.

    :param variables: those of the host that the module is for.
    """
    config: Any = constants.config
    value = config.get_config_value("INTERPRETER_PYTHON", variables=dict(variables))
    # as it is: a text that was converted or cut is no template any more, from ansible-core 2.19 on
    path = str(templar.template(value) or "").strip()
    if path in _DISCOVERY:
        path = str((variables.get("ansible_facts") or {}).get("discovered_interpreter_python") or "")
    return path


def is_this_interpreter(path: str) -> bool:
    """True when this path leads to the interpreter that runs here, and a new one would find the same packages."""
    return os.path.isabs(path) and _place(path) == _place(sys.executable) and _starts_as_ever()


def _place(path: str) -> tuple[str, str]:
    """Where an interpreter looks for packages, and which program it is: a venv's is a link to that of the system."""
    return os.path.realpath(os.path.dirname(path)), os.path.realpath(path)


def _starts_as_ever() -> bool:
    """False when options of this interpreter's command line keep packages from it that a new one would find."""
    if sys.flags.no_site or sys.flags.dev_mode or sys.flags.optimize:
        return False
    if sys.flags.ignore_environment and any(name.startswith("PYTHON") for name in os.environ):
        return False
    return not (sys.flags.no_user_site and os.path.isdir(site.getusersitepackages()))
