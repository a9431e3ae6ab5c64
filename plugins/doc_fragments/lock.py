# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  lock_file:
    description:
      - The path of a lock file on the Ansible controller, as in V(oci.lock.yml). A relative path begins at the
        directory of the playbook. It says for each reference, with its selection, which version and digest it stands
        for, whose signature counted, and since when.
      - It is for M(cloudnative.artifacts.oci_artifact_pull), M(cloudnative.artifacts.oci_artifact_verify),
        M(cloudnative.artifacts.oci_artifact_info), for what M(cloudnative.artifacts.oci_artifact_copy) and
        M(cloudnative.artifacts.oci_artifact_tag) read, M(cloudnative.artifacts.helm_chart_sources), and
        M(cloudnative.artifacts.helm_releases), which takes what the action group has for
        M(cloudnative.artifacts.helm_chart_sources). The other modules of the action group take it and do nothing with
        it, so that it can be a default of the group.
      - References with a digest, and those with a C(pin) in the task, are not looked up in it.
      - A file is refused when anybody but root and the user that runs Ansible could change it. Empty means none.
    type: str
  lock:
    description:
      - What is done with O(lock_file). Without one it has no meaning.
      - V(use) takes digests from the file, and the registry is not asked for them. A reference that is not in it is an
        error with the reason V(LockMissing), before anything is done.
      - V(update) resolves references anew, and enters into the file what the task has used. Entries of other references
        stay. All hosts of a run use what the first of them found, as with C(resolve_once). A file that says so already
        is not touched. In check mode it is not written, and C(--diff) shows what would change in it.
      - V(check) resolves references, and fails with the reason V(LockOutdated) when one stands for another digest than
        the file says. Nothing else is done; in particular, nothing is placed.
    type: str
    choices: [use, update, check]
    default: use
"""
