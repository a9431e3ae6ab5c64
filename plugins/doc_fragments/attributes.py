# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what would change without changing anything.
  diff_mode:
    description: Returns details of what changed (or would change in C(check_mode)) in diff mode.
  idempotent:
    description: A second run with the same arguments changes nothing.
  run_in_worker:
    description:
      - Where the connection is local and the interpreter is the one that runs Ansible, the module runs in a child of
        Ansible's worker, without being packed, copied and started first.
      - The variable C(oci_artifact_run_in_worker) of a task, play or host, or E(OCI_ARTIFACT_RUN_IN_WORKER) in the
        environment of the Ansible controller, is V(auto) (the default), V(always) (with whatever interpreter) or
        V(never).
    support: full
  platform:
    description: Target operating systems of the module.
    support: full
    platforms: posix
options: {}
"""
