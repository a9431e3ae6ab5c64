# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # what a task with one artifact and one with several have in common
    DOCUMENTATION = r"""
options:
  pin:
    description:
      - The revision that the reference stands for, as RV(artifact.revision) of another task says it (V(tag@digest), or
        a digest). The registry is then not asked for it, and counts as having given this answer just now.
      - Hosts, jobs and tasks that are given one pin use the same digest, even when the tag moves meanwhile. A revision
        that the tag or the selection cannot stand for is refused.
    type: str
  resolve_once:
    description:
      - In one run of C(ansible-playbook), have all hosts that ask for the same thing with this option use the digest
        that the first of them found. Without it each host asks the registry.
      - What is asked for is the reference with its selection. The first host runs the module in check mode before it
        runs it for good, while the others wait; they are given what it found as O(pin). When the registry is not
        reached, each host asks for itself.
      - So the first host decides for the others which digest of the repository they use. Where it is not to be trusted
        with that, verify signatures, or resolve on the controller and give the others a O(pin).
      - Image layouts on disk are each host's own, and a digest needs no agreement.
    type: bool
    default: false
  parallel:
    description:
      - How many of O(artifacts) are worked on at the same time, from 1 to 32.
    type: int
    default: 4
"""
