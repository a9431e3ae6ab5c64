# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  ref:
    description:
      - The artifact in its short form, C([oci://]host[:port]/repository[:tag][@digest]), as in
        V(contoso.azurecr.io/marketing/campaign1/chart:1.1), or C(oci-layout:PATH[:tag][@digest]) for an OCI image
        layout, a directory that needs no server, or C(oci-archive:PATH[:tag][@digest]) for one in a tar file. In PATH,
        as in all options that are paths, C(~) and variables of the environment are replaced on the host that runs the
        module.
      - Without tag and digest, the tag V(latest) is meant. With both, the digest counts, and results keep
        the tag.
      - Names of Docker Hub are written with their host, as in V(docker.io/grafana/grafana).
      - One of O(ref) and O(url) is required.
    type: str
  url:
    description:
      - The repository in the form of Flux's OCIRepository, V(oci://host/repository), or V(oci-layout:PATH) or
        V(oci-archive:PATH), without tag and digest. V(oci://) may be left out, as in O(ref).
    type: str
  tag:
    description:
      - The tag to take from O(url), or from an O(ref) that has none.
      - A tag or version that looks like a number, a date or a truth value has to be in quotes, as in V('1.10'). YAML
        makes the number 1.1 of V(1.10) and 8 of V(010); numbers are refused, here and in the other options that say
        which artifact is meant.
    type: str
"""
