# Copyright: (c) 2026, the cloudnative.artifacts authors
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

    PULL = r"""
options:
  artifacts:
    description:
      - Several artifacts to pull in this one task, in place of O(ref) or O(url) and O(dest). Connections, tokens and
        the cache are shared, and O(parallel) of them are pulled at the same time. Results are in the order of the list.
      - Each entry has the options of one artifact. What it does not say, the task does, but for which artifact is meant
        and where it goes. As soon as an entry has one of the options that say who logs in (O(username), O(password),
        O(auth_file), O(auth_config), O(provider), O(provider_registry)), all of them are its own.
      - All entries are checked before anything is asked. Then one that fails keeps no other from being pulled; the task
        fails in the end, and RV(results) says what became of each.
      - A directory that is unpacked into is for one entry alone, with all that is below. Entries that are copied may
        lie side by side, as files of different names, or several in one directory. Where two bring a file of one name
        there, the first in the list gets it, and the other fails.
      - What several entries ask for alike is resolved once, and fetched once even without a cache.
    type: list
    elements: dict
    suboptions:
      ref:
        description:
          - As O(ref), of this artifact.
        type: str
      url:
        description:
          - As O(url), of this artifact.
        type: str
      tag:
        description:
          - As O(tag), of this artifact.
        type: str
      digest:
        description:
          - As O(digest), of this artifact.
        type: str
      semver:
        description:
          - As O(semver), of this artifact.
        type: str
      semver_filter:
        description:
          - As O(semver_filter), of this artifact.
        type: str
      filter_tags:
        description:
          - As O(filter_tags), of this artifact.
        type: dict
      pin:
        description:
          - As O(pin), of this artifact.
        type: str
      username:
        description:
          - As O(username), for this artifact. The default is what the task says.
        type: str
      password:
        description:
          - As O(password), for this artifact. The default is what the task says.
        type: str
      auth_file:
        description:
          - As O(auth_file), for this artifact. The default is what the task says.
        type: path
      auth_config:
        description:
          - As O(auth_config), for this artifact. The default is what the task says.
        type: raw
      provider:
        description:
          - As O(provider), for this artifact. The default is what the task says.
        type: str
        choices: [generic, aws, azure, gcp]
      provider_registry:
        description:
          - As O(provider_registry), for this artifact. The default is what the task says.
        type: str
      insecure:
        description:
          - As O(insecure), for this artifact. The default is what the task says.
        type: bool
      validate_certs:
        description:
          - As O(validate_certs), for this artifact. The default is what the task says.
        type: bool
      ca_cert:
        description:
          - As O(ca_cert), for this artifact. The default is what the task says.
        type: str
      client_cert:
        description:
          - As O(client_cert), for this artifact. The default is what the task says.
        type: str
      client_key:
        description:
          - As O(client_key), for this artifact. The default is what the task says.
        type: str
      client_key_password:
        description:
          - As O(client_key_password), for this artifact. The default is what the task says.
        type: str
      proxy:
        description:
          - As O(proxy), for this artifact. The default is what the task says.
        type: str
      no_proxy:
        description:
          - As O(no_proxy), for this artifact. The default is what the task says.
        type: list
        elements: str
      mirrors:
        description:
          - As O(mirrors), for this artifact. The default is what the task says.
        type: dict
      timeout:
        description:
          - As O(timeout), for this artifact. The default is what the task says.
        type: str
      retries:
        description:
          - As O(retries), for this artifact. The default is what the task says.
        type: int
      verify:
        description:
          - As O(verify), for this artifact. The default is what the task says.
        type: dict
      dest:
        description:
          - As O(dest), of this artifact.
        type: path
      layer_selector:
        description:
          - As O(layer_selector), for this artifact. The default is what the task says.
        type: dict
      layers:
        description:
          - As O(layers), for this artifact. The default is what the task says.
        type: str
        choices: [first, all]
      platform:
        description:
          - As O(platform), for this artifact. The default is what the task says.
        type: str
      ignore:
        description:
          - As O(ignore), for this artifact. The default is what the task says.
        type: raw
      suspend:
        description:
          - As O(suspend), for this artifact. The default is what the task says.
        type: bool
      force:
        description:
          - As O(force), for this artifact. The default is what the task says.
        type: bool
      check_content:
        description:
          - As O(check_content), for this artifact. The default is what the task says.
        type: bool
      owner:
        description:
          - As O(owner), for this artifact. The default is what the task says.
        type: str
      group:
        description:
          - As O(group), for this artifact. The default is what the task says.
        type: str
      mode:
        description:
          - As O(mode), for this artifact. The default is what the task says.
        type: raw
      max_size:
        description:
          - As O(max_size), for this artifact. The default is what the task says.
        type: str
      max_files:
        description:
          - As O(max_files), for this artifact. The default is what the task says.
        type: int
      on_registry_error:
        description:
          - As O(on_registry_error), for this artifact. The default is what the task says.
        type: dict
"""

    VERIFICATION = r"""
options:
  artifacts:
    description:
      - Several artifacts to verify in this one task, in place of O(ref) or O(url). Connections, tokens, keys and the
        cache are shared, O(parallel) of them are verified at the same time, and results are in the order of this list.
      - Each entry has the options of one artifact. What it does not say, the task does, but for which artifact is
        meant. As soon as an entry has one of the options that say who logs in (O(username), O(password), O(auth_file),
        O(auth_config), O(provider), O(provider_registry)), all of them are its own; and as soon as it has one of those
        that make the policy (from O(signature_provider) to O(trust_store)), the whole policy is.
      - All entries are checked before anything is asked. Then one that fails keeps no other from being verified; the
        task fails in the end, and RV(results) says what became of each.
    type: list
    elements: dict
    suboptions:
      ref:
        description:
          - As O(ref), of this artifact.
        type: str
      url:
        description:
          - As O(url), of this artifact.
        type: str
      tag:
        description:
          - As O(tag), of this artifact.
        type: str
      digest:
        description:
          - As O(digest), of this artifact.
        type: str
      semver:
        description:
          - As O(semver), of this artifact.
        type: str
      semver_filter:
        description:
          - As O(semver_filter), of this artifact.
        type: str
      filter_tags:
        description:
          - As O(filter_tags), of this artifact.
        type: dict
      pin:
        description:
          - As O(pin), of this artifact.
        type: str
      signature_provider:
        description:
          - As O(signature_provider), for this artifact. The default is what the task says.
        type: str
        choices: [cosign, notation]
      public_keys:
        description:
          - As O(public_keys), for this artifact. The default is what the task says.
        type: list
        elements: str
      identities:
        description:
          - As O(identities), for this artifact. The default is what the task says.
        type: list
        elements: dict
      any_identity:
        description:
          - As O(any_identity), for this artifact. The default is what the task says.
        type: bool
      trusted_root:
        description:
          - As O(trusted_root), for this artifact. The default is what the task says.
        type: str
      min_signers:
        description:
          - As O(min_signers), for this artifact. The default is what the task says.
        type: int
      max_signatures:
        description:
          - As O(max_signatures), for this artifact. The default is what the task says.
        type: int
      predicate_types:
        description:
          - As O(predicate_types), for this artifact. The default is what the task says.
        type: list
        elements: str
      curve_hash:
        description:
          - As O(curve_hash), for this artifact. The default is what the task says.
        type: bool
      attestations:
        description:
          - As O(attestations), for this artifact. The default is what the task says.
        type: list
        elements: dict
      trust_policy:
        description:
          - As O(trust_policy), for this artifact. The default is what the task says.
        type: raw
      trust_store:
        description:
          - As O(trust_store), for this artifact. The default is what the task says.
        type: raw
      username:
        description:
          - As O(username), for this artifact. The default is what the task says.
        type: str
      password:
        description:
          - As O(password), for this artifact. The default is what the task says.
        type: str
      auth_file:
        description:
          - As O(auth_file), for this artifact. The default is what the task says.
        type: path
      auth_config:
        description:
          - As O(auth_config), for this artifact. The default is what the task says.
        type: raw
      provider:
        description:
          - As O(provider), for this artifact. The default is what the task says.
        type: str
        choices: [generic, aws, azure, gcp]
      provider_registry:
        description:
          - As O(provider_registry), for this artifact. The default is what the task says.
        type: str
      insecure:
        description:
          - As O(insecure), for this artifact. The default is what the task says.
        type: bool
      validate_certs:
        description:
          - As O(validate_certs), for this artifact. The default is what the task says.
        type: bool
      ca_cert:
        description:
          - As O(ca_cert), for this artifact. The default is what the task says.
        type: str
      client_cert:
        description:
          - As O(client_cert), for this artifact. The default is what the task says.
        type: str
      client_key:
        description:
          - As O(client_key), for this artifact. The default is what the task says.
        type: str
      client_key_password:
        description:
          - As O(client_key_password), for this artifact. The default is what the task says.
        type: str
      proxy:
        description:
          - As O(proxy), for this artifact. The default is what the task says.
        type: str
      no_proxy:
        description:
          - As O(no_proxy), for this artifact. The default is what the task says.
        type: list
        elements: str
      mirrors:
        description:
          - As O(mirrors), for this artifact. The default is what the task says.
        type: dict
      timeout:
        description:
          - As O(timeout), for this artifact. The default is what the task says.
        type: str
      retries:
        description:
          - As O(retries), for this artifact. The default is what the task says.
        type: int
"""
