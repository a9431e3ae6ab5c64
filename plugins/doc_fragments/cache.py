# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  cache_dir:
    description:
      - A directory on the host that runs the module, in which what comes from registries is kept by digest, for all
        tasks, forks and runs. It is made when it is missing, with mode 0700, and must be a directory of its own.
      - What it holds of a digest is not asked for again; tags are always asked for. Every byte is checked when it is
        used, and what is damaged is fetched again. A download that broke off is continued by the next run.
      - The default is the environment variable E(OCI_ARTIFACT_CACHE_DIR) of the module; without that, nothing is kept.
        An empty text means no cache, whatever the environment says.
      - It may be shared with users that are not trusted. Only the user that runs the module and root may write to the
        directories above it; otherwise it is not used, and a warning says why.
      - Check mode reads from it, and writes nothing to it. It is an OCI image layout, which other tools can read; see
        M(cloudnative.artifacts.oci_artifact_cache) to look at it and to prune it.
    type: path
"""
