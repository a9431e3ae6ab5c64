# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks for decides which parts of the collection are carried to its host.

Three sets of modules, from small to large: what finds that a pull has nothing to do; what the options of the task can
need; all that the module imports. Options are looked for in the text of all arguments, at any depth: what is found by
mistake is only carried in vain, and what is missing makes the next larger set be carried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carried_sources import closure

PULL = "oci_artifact_pull"


class Part(NamedTuple):
    """What arguments that match ``asked_by`` need. ``doors`` are packages or modules of module_utils that are imported
    inside of functions and for them alone, before anything is changed; what only these import stays at home with them.
    ``unchanged`` are modules that a pull imports for them even when it has nothing to do."""

    asked_by: str
    doors: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


_OF_POLICIES = ("budget", "key_uris", "policy", "predicate_path")
# what an unchanged pull imports for signatures that are verified already
_OF_VERIFIED = ("_files.bounded", "_ops.verdicts", *(f"_trust.{name}" for name in _OF_POLICIES))
_OF_RULES = (
    "_ansible.policy", "_ops.guard", "_ops.moved_tag", "_policy.parse", "_policy.rules", "_policy.window", "_packages",
    "_files.trusted_file", "_oci.bounded_regex",
)  # fmt: skip
# what hosts remember beside the record, and commands that judge a revision
_OF_HISTORY = (
    "_dest.history", "_dest.kept_blobs", "_ops.command",
    *(f"_ops.pull.{name}" for name in ("checks", "host_options", "keeping", "last_good", "replay", "said", "standing")),
)  # fmt: skip
# a directory for each revision
_OF_RELEASES = (
    "_dest.places", "_dest.releases", "_dest.release_workplace", "_ops.pull.releases", "_ops.rollback.releases",
)  # fmt: skip
_OF_VIA = ("_ops.pull.delivery", "_ops.pull.delivered", "_ops.pull.delivered_blobs", "_ansible.via")
_REQUEST_OF_VIA = r'"via": "{"request": '
# so that the first run of a host can say what it lacks
_TO_ASK = ("_dest.incoming", "_dest.stand_in", "_archive.decompress", "_oci.platforms")
PARTS = (
    Part(r'"verif(?:y|ied)"', ("_trust",), _OF_VERIFIED),
    # not that of filter_tags; a policy that is a file may ask for signatures; of a delivery, it is a list of rules
    Part(
        r'"policy": (?!\{"(?:semver|numerical|alphabetical)"|null)|"rules": \[',
        (
            "_policy", "_files.trusted_file", "_ansible.policy", "_ops.guard", "_ops.releases.guard",
            "_ops.manifests.guard", "_ops.render.guard", "_ops.tag.conditions", "_trust",
        ),
        (*_OF_RULES, *_OF_VERIFIED),
    ),
    Part(r'"window": (?!null)', ("_policy", "_ops.pull.said")),
    # what a move of a tag demands itself is a rule as that of a policy; ages that retention cannot read are recorded
    Part(r'"require"', ("_policy", "_ops.guard", "_ops.tag.conditions")),
    Part(r'"age"', ("_policy",)),
    Part(r'"keep_deployed"', ("_ops.deployments",)),
    Part(r'"decryption": (?!null)', ("_ansible.sops", "_manifests.sops", "_ops.manifests.decryption")),
    Part(r'"sign', ("_trust",)),
    Part(r'"(?:aws|azure|gcp)"', ("_cloud",), ("_cloud.providers", "_cloud.aws", "_cloud.azure", "_cloud.gcp")),
    Part(r'"mirrors"', ("_mirrors",), ("_mirrors.rules", "_mirrors.repository")),
    Part(
        r'"(?:cache_dir|artifacts|sources)"', ("_cache.artifact_cache", "_cache.layout", "_ops.capabilities"),
        ("_cache.artifact_cache",),
    ),
    Part(
        r"oci-layout:", ("_layout.repository", "_layout.tags", "_files.trusted_file"),
        ("_layout.repository", "_layout.unlisted"),
    ),
    Part(r"oci-archive:", ("_layout.archive", "_layout.archive_writer"), ("_layout.archive", "_layout.unlisted")),
    Part(r'"(?:semver|semver_filter|filter_tags)"', (), ("_oci.selection", "_registry.pages")),
    Part(r'"tag_moved"', (), ("_ops.moved_tag",)),
    Part(
        r'"on_registry_error"', ("_ops.pull.last_good", "_ops.pull.keep"),
        ("_ops.pull.last_good", "_ops.pull.keep", "_oci.times"),
    ),
    Part(
        r'"(?:on_registry_error|requested_at|interval)"', ("_ops.pull.answered", "_ops.pull.last_good"),
        ("_ops.pull.answered",),
    ),
    Part(r'"interval"', ("_ops.pull.host_options",), ("_ops.pull.host_options",)),
    Part(
        r'"(?:keep|validate|health|requested_at)"', _OF_HISTORY,
        ("_ops.pull.host_options", "_ops.pull.standing", "_dest.history"),
    ),
    Part(
        r'"layout": "releases"', (*_OF_HISTORY, *_OF_RELEASES),
        ("_ops.pull.host_options", "_dest.history", "_dest.places", "_dest.releases"),
    ),
    # in place of a registry
    Part(r'"via"', _OF_VIA, ("_ansible.via", "_ops.pull.delivery", "_ops.pull.delivered", *_TO_ASK)),
    # what a relay is asked for, which keeps layers as a cache does
    Part(_REQUEST_OF_VIA, ("_ops.pull.provide", "_cache.artifact_cache", "_cache.layout")),
    Part(r'"check_content"', (), ("_files.bounded",)),
    Part(r'"platform"', (), ("_oci.platforms",)),
    Part(
        r'"(?:username|password|auth_file|auth_config|client_\w+|proxy)"|://[^/"]*@', (),
        ("_ansible.hiding", "_secrets.masking", "_files.bounded"),
    ),
    Part(r'"ca_cert"', (), ("_files.bounded",)),
)  # fmt: skip
# modules that are about what others ask for
_DOORS_OF_MODULES = {
    "oci_artifact_verify": ("_trust",),
    "oci_artifact_sign": ("_trust",),
    "oci_artifact_cache": ("_cache.artifact_cache", "_cache.layout", "_layout.repository", "_files.trusted_file"),
    "oci_artifact_info": ("_dest.history", *_OF_RELEASES),
    "oci_artifact_facts": ("_dest.history", *_OF_RELEASES),
    "oci_artifact_audit": (
        "_policy",
        "_files.trusted_file",
        "_ansible.policy",
        "_ops.guard",
        "_ops.deployments",
        "_trust",
        "_dest.history",
    ),
    "oci_artifact_rollback": (*_OF_HISTORY, *_OF_RELEASES),
    "oci_artifact_prune": ("_files.trusted_file",),
}
_DOORS = {door for part in PARTS for door in part.doors}

# what asks a registry for a tag
_REQUEST = ("_ops.connect", "_ops.clients", "_login.find", "_files.bounded", "_registry.repository")
# what keeps the tokens of a registry out of the result: one without TLS is given no credentials
_TOKENS = ("_ansible.hiding", "_secrets.masking")
_DIGEST = re.compile(r'"(?:ref|url)": "[^"]*@sha\d+:[^"]*"|"(?:digest|pin)": "')


class CarriedSet(NamedTuple):
    """A set of modules: what ``module`` and ``roots`` import at once, and inside of functions what is not behind
    ``closed`` doors; None means that no import inside of a function is followed.

    To say which set it is costs nothing; to list it, the sources are read.
    """

    module: str
    roots: tuple[str, ...] = ()
    closed: tuple[str, ...] | None = ()

    def names(self) -> list[str]:
        roots = [f"modules.{self.module}", *(f"module_utils.{name}" for name in self.roots)]
        if self.closed is None:
            return closure(roots, lambda name: False)
        behind = tuple(f"module_utils.{door}." for door in self.closed)
        return closure(roots, lambda name: not f"{name}.".startswith(behind))


def sets(module: str, arguments: Mapping[str, Any], *, expects_change: bool = False) -> list[CarriedSet]:
    """The sets of modules to be carried one after the other, until one suffices; the last one always does.

    :param module: the name of the module without that of the collection.
    :param expects_change: that the smallest set would not suffice is known.
    """
    # arguments may be JSON texts themselves
    text = json.dumps(arguments, default=lambda value: "").replace("\\", "")
    parts = [part for part in PARTS if re.search(part.asked_by, text)]
    asked = _DOORS.difference(_DOORS_OF_MODULES.get(module, ()), *(part.doors for part in parts))
    found = [CarriedSet(module, (), tuple(sorted(asked))), CarriedSet(module)]
    # what is handed over with its content is placed in the first step, and a relay fetches in it
    is_large = arguments.get("force") or arguments.get("artifacts") or '"is_fetched": true' in text
    is_large = is_large or re.search(_REQUEST_OF_VIA, text)
    if module == PULL and not (expects_change or is_large):
        found.insert(0, CarriedSet(module, _unchanged(arguments, parts, text), None))
    return found


def _unchanged(arguments: Mapping[str, Any], parts: list[Part], text: str) -> tuple[str, ...]:
    names = {name for part in parts for name in part.unchanged}
    if not _DIGEST.search(text) or arguments.get("tag_moved"):
        names.update(_REQUEST if arguments.get("insecure") else (*_REQUEST, *_TOKENS))
    return tuple(sorted(names))
