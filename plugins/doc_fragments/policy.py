# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  policy:
    description:
      - What may be used of which registry, a list of rules, or the path of a file in YAML or JSON with them on the host
        that runs the module. YAML needs the Python package PyYAML there.
      - Of the rules that are for a repository, the one with the most specific C(match) applies, and no other. The
        task's own options can only add to it, and C(force) does not change what it refuses.
      - C(match) is a registry, as in V(ghcr.io), a path in it, as in V(ghcr.io/org), or a pattern, as in
        V(*.example.com/**/charts), and covers all repositories below it. V(*) covers everything, and
        V(oci-layout:/srv/oci) the image layouts below a directory.
      - C(verify) has the suboptions of O(cloudnative.artifacts.oci_artifact_pull#module:verify). Signatures have to
        satisfy it, and what the task asks for as well.
      - C(never_downgrade) refuses an older version than the one in place.
      - C(min_age), as in V(24h) or V(7d), is how old an artifact has to be. C(age_from) is a list of what tells its
        age, of V(signature), V(first_seen) and V(created), and the first of them that is known counts. The default is
        V([signature, first_seen]).
      - What was first seen when, and the digests of protected tags, are recorded in E(OCI_ARTIFACT_STATE_DIR), by
        default V(~/.local/state/cloudnative.artifacts), of the user that runs the module.
      - C(deny_digests) and C(deny_tags) are lists of what is refused. An entry of C(deny_tags) that is a tag is that
        tag; any other is a regular expression that is found anywhere in a tag.
      - C(immutable_tags) is such a list, or V(true) for all SemVer versions, of tags that never name another digest.
      - C(tag_moved) is V(ignore), V(warn) or V(fail), for references that pin a tag to a digest.
      - C(window) is when changes are made, a text such as V(Mon-Thu 09:00-16:00 Europe/Berlin), or a list of them. A
        mapping has such lists in C(allow) and C(deny); then pulls, releases and sets of manifests are not refused at
        any other time, but reported as pending, unless C(outside) is V(fail).
      - A file is refused when anybody but root and the user that runs the module could change it, and so are unknown
        keys and rules that contradict each other. Where the file is on the controller, hand over its content with the
        lookup P(ansible.builtin.file#lookup) and the filter P(ansible.builtin.from_yaml#filter).
      - It can be a mapping with the list in C(rules), or from each C(match) to the rest of its rule, too.
    type: raw
"""
