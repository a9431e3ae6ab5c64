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
  platform:
    description: Target operating systems of the module.
    support: full
    platforms: posix
options: {}
"""
