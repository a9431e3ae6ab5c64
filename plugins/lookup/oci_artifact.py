# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: oci_artifact
short_description: Look up the digest, the metadata or the verified content of OCI artifacts on the controller
version_added: 0.1.0
description:
  - Returns what each reference stands for, as O(want) says. It is the digest, the revision, the annotations, or a path
    on the controller with the verified content, for modules that send files to hosts on which no module of this
    collection runs, such as Windows hosts and network devices (M(ansible.builtin.copy), M(ansible.builtin.template),
    C(ansible.windows.win_copy), C(ansible.netcommon.net_put)).
  - In one run of C(ansible-playbook) a reference is resolved, verified and fetched once, whatever the number of hosts,
    forks, loops and templates that look it up. Pulls with
    O(cloudnative.artifacts.oci_artifact_pull#module:resolve_once) or
    O(cloudnative.artifacts.oci_artifact_pull#module:via) use the same digest.
  - Options are those of the modules of the action group C(cloudnative.artifacts.oci). A lookup does not see
    C(module_defaults). Options that several have in common can be kept in one variable, see the examples.
  - Content lies in the temporary directory of the run, which only the user of the run can read, and Ansible removes in
    the end. With O(cache_dir) later runs need not fetch it again. It is fetched in check mode, too.
author:
  - the cloudnative.artifacts authors (@cloudnative)
extends_documentation_fragment:
  - cloudnative.artifacts.selection
  - cloudnative.artifacts.verify.option
  - cloudnative.artifacts.auth
  - cloudnative.artifacts.connection
  - cloudnative.artifacts.cache
  - cloudnative.artifacts.policy
options:
  _terms:
    description:
      - References of artifacts, C([oci://]host[:port]/repository[:tag][@digest]), or C(oci-layout:PATH[:tag][@digest])
        and C(oci-archive:PATH[:tag][@digest]) for image layouts on the controller.
    type: list
    elements: str
    required: true
  want:
    description:
      - What is returned for each reference.
      - V(digest) is the digest of the manifest (or index), V(revision) is V(tag@digest), as other tasks take it as
        O(cloudnative.artifacts.oci_artifact_pull#module:pin). Both take one HEAD request.
      - V(metadata) are the annotations of the manifest, as a mapping.
      - V(path) is the directory with the unpacked content, or with O(layer_selector.operation=copy) the file. With
        O(file), it is that file in the directory.
      - Where O(verify) or O(policy) is given, nothing is returned of what does not satisfy it.
    type: str
    choices: [digest, revision, metadata, path]
    default: digest
  file:
    description:
      - A file or directory in the content, as in V(conf/app.conf.j2), the path of which is returned. It has to be
        there, and may not lead out of the content. Only with O(want=path).
    type: str
  tag:
    description:
      - The tag to take, for references that have none.
    type: str
  layer_selector:
    description:
      - As O(cloudnative.artifacts.oci_artifact_pull#module:layer_selector).
    type: dict
    suboptions:
      media_type:
        description:
          - Take only layers with exactly this media type.
        type: str
      operation:
        description:
          - V(extract) unpacks a layer that is a tar archive, V(copy) keeps its bytes as they are.
        type: str
        choices: [extract, copy]
        default: extract
  layers:
    description:
      - As O(cloudnative.artifacts.oci_artifact_pull#module:layers).
    type: str
    choices: [auto, first, all]
    default: auto
  platform:
    description:
      - The platform to take from an image index, as in V(linux/arm64). The default is that of the controller.
    type: str
  ignore:
    description:
      - As O(cloudnative.artifacts.oci_artifact_pull#module:ignore).
    type: raw
  max_size:
    description:
      - The most that the artifact may unpack to, in bytes or with a unit (powers of 1024), as in V(500MiB).
    type: str
    default: 8GiB
  max_files:
    description:
      - The most entries (files, directories, links) that the artifact may have.
    type: int
    default: 200000
seealso:
  - module: cloudnative.artifacts.oci_artifact_pull
  - ref: ansible_collections.cloudnative.artifacts.docsite.guide_fleets
    description: Many hosts, hosts that reach no registry, Windows and network devices.
"""

EXAMPLES = r"""
- name: Show what the stable tag names
  ansible.builtin.debug:
    msg: "{{ lookup('cloudnative.artifacts.oci_artifact', 'registry.example.com/platform/config:stable') }}"

- name: Fill in a template of the newest 1.x release, if the release key signed it
  ansible.builtin.template:
    src: "{{ lookup('cloudnative.artifacts.oci_artifact', 'registry.example.com/platform/config', semver='1.x',
      want='path', file='base/app.yaml', verify={'public_keys': ['/etc/keys/release.pub']}) }}"
    dest: /etc/app.yaml
    mode: "0644"

- name: Send the whole release to hosts on which no module of this collection runs
  ansible.builtin.copy:
    src: "{{ lookup('cloudnative.artifacts.oci_artifact', 'registry.example.com/platform/config:1.4.2', want='path',
      **registry) }}/"
    dest: /etc/platform-copy/
    mode: preserve
  vars:
    registry:  # for all lookups of the play
      username: deploy
      password: "{{ registry_password }}"

- name: Say which commit a release was built from
  ansible.builtin.debug:
    msg: "{{ lookup('cloudnative.artifacts.oci_artifact', 'registry.example.com/platform/config:1.4.2',
      want='metadata')['org.opencontainers.image.revision'] | default('unknown') }}"
"""

RETURN = r"""
_raw:
  description:
    - One value for each reference. It is a text, or with O(want=metadata) a mapping.
  type: list
  elements: raw
  sample:
    - sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

import os
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, LayerError, OciError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.core_errors import plugin_errors
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.run_artifacts import (
    CHECKED,
    CONTENT,
    IDENTITY,
    run_artifact,
)

PATH = "path"
METADATA = "metadata"
_DEGREES = {"digest": IDENTITY, "revision": IDENTITY, METADATA: CHECKED, PATH: CONTENT}
# options of the lookup itself; all others are those of oci_artifact_pull
_OWN = ("want", "file")
_SHOWN = 5


class LookupModule(LookupBase):
    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        with plugin_errors():
            self._check(terms, kwargs)
            options = {name: value for name, value in kwargs.items() if name not in _OWN and value is not None}
            return [self._look_up(str(term), options) for term in terms]

    def _check(self, terms: Any, given: Mapping[str, Any]) -> None:
        """Refuse what no option takes: Ansible passes over options of a lookup that it does not know."""
        unknown = sorted(set(given) - set(self._options))
        if unknown:
            known = ", ".join(sorted(name for name in self._options if not name.startswith("_")))
            raise InvalidOption(f"The lookup has no option {unknown[0][:100]!r}.", f"It has {known}.")
        if not terms:
            raise InvalidOption(
                "The lookup was given no reference.",
                f"Write lookup('{self.ansible_name}', 'registry.example.com/platform/config:1.4.2').",
            )
        if self.get_option("file") is not None and self.get_option("want") != PATH:
            raise InvalidOption(f"'file' has no meaning with want={self.get_option('want')!r}.", "Say want='path'.")

    def _look_up(self, reference: str, options: Mapping[str, Any]) -> Any:
        want = self.get_option("want")
        folder = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # set at run time
        directory = self._loader.get_basedir() if self._loader is not None else os.getcwd()
        result = run_artifact({**options, "ref": reference}, _DEGREES[want], folder, directory)
        if result.get("failed"):
            # it has its hint in it
            raise AnsibleLookupError(f"{result.get('msg')} (reason: {result.get('reason', OciError.reason)})")
        for warning in result.get("warnings") or ():
            Display().warning(str(warning))
        artifact = result["artifact"]
        if want != PATH:
            return artifact.get(want) or ({} if want == METADATA else "")
        file = self.get_option("file")
        return artifact[PATH] if file is None else _path_in(artifact[PATH], file, reference)


def _path_in(content: str, file: str, reference: str) -> str:
    """The path of a file in the content of an artifact.

    :raises LayerError: when it is not there, or leads out of the content.
    """
    path = os.path.join(content, file)
    top = os.path.realpath(content)
    if os.path.commonpath([top, os.path.realpath(path)]) != top:
        raise LayerError(f"The file {file[:200]!r} of {reference} leads out of the artifact's content.")
    if os.path.exists(path):
        return path
    found = sorted(os.listdir(content)) if os.path.isdir(content) else []
    named = [name for name in found if not name.startswith(".oci-artifact")]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    listed = f"At its top it has {', '.join(named[:_SHOWN])}{more}." if named else "Its content is one file."
    raise LayerError(f"There is no file {file[:200]!r} in {reference}.", listed)
