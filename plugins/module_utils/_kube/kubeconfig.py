# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of a kubeconfig for the cluster and the user that are meant, out of any number of files.

Source: client-go, ``tools/clientcmd/loader.go``: of two entries with one name, that of the earlier file counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from .._errors import InvalidOption
from .._files.bounded import expanded
from .._packages import find

# bytes; a kubeconfig with the certificates of many clusters
MAX_KUBECONFIG = 4 * 1024 * 1024

# the lists of a kubeconfig, and what each of their entries holds beside its name
_KINDS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_MORE_OF_A_USER = ("as-groups", "as-uid", "as-user-extra")

Kubeconfig = Union[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ClusterEntry:
    """A cluster of a kubeconfig, with absolute paths, and the context that names it."""

    entry: Mapping[str, Any] = field(repr=False)
    context: Mapping[str, Any] = field(repr=False)


def kubeconfig_paths(kubeconfig: Kubeconfig) -> list[str]:
    """Return the paths of a kubeconfig's files, or of those that kubectl looks for; none when it is a mapping.

    Not all of them need to exist.
    """
    if isinstance(kubeconfig, Mapping):
        return []
    named = kubeconfig or os.environ.get("KUBECONFIG") or os.path.join("~", ".kube", "config")
    return [expanded(path) for path in named.split(os.pathsep) if path]


def cluster_entry(kubeconfig: Kubeconfig, context: str) -> ClusterEntry | None:
    """Return the cluster of a context, by default the current one.

    None when there is none, or the kubeconfig is malformed: whoever connects says what is wrong with it.
    """
    try:
        current, found = _merged(kubeconfig, context)
        entry = found["clusters"][str(found["contexts"][current]["cluster"])]
    except (KeyError, ValueError):
        return None
    return ClusterEntry(entry, found["contexts"][current]) if entry else None


def impersonated_user(kubeconfig: Kubeconfig, context: str) -> str:
    """Return the user that a context acts as (``as``), which the client does not heed; empty without one.

    :raises InvalidOption: when it says groups or more of that user, without which the rights would be others; or when
        the kubeconfig cannot be read here, since the client may be able to.
    """
    try:
        current, found = _merged(kubeconfig, context)
    except ValueError:
        raise InvalidOption(
            "Whether the kubeconfig acts as another user cannot be said: a file of it is not YAML, or has more than "
            f"{MAX_KUBECONFIG >> 20} MiB.",
            "Give one that has only what is needed.",
        ) from None
    user = found["users"].get(str(found["contexts"].get(current, {}).get("user")), {})
    more = [name for name in _MORE_OF_A_USER if user.get(name)]
    if more:
        raise InvalidOption(
            f"The kubeconfig acts as another user with '{more[0]}', which is not supported.",
            "Leave it out where 'as' alone has the same rights, or use credentials of that user.",
        )
    return str(user.get("as") or "")


def _merged(kubeconfig: Kubeconfig, context: str) -> tuple[str, dict[str, dict[str, Mapping[str, Any]]]]:
    """Return the name of the context that counts, and clusters, contexts and users by their names.

    An entry that is malformed is as one that says nothing: others have to be found all the same.

    :raises ValueError: as :func:`read_file`.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {kind: {} for kind in _KINDS}
    current = context
    for document, folder in _documents(kubeconfig):
        current = current or str(document.get("current-context") or "")
        for kind, what in _KINDS.items():
            entries = document.get(kind)
            for each in entries if isinstance(entries, (list, tuple)) else ():
                if isinstance(each, Mapping):
                    entry = each.get(what)
                    own = _absolute(entry, folder) if isinstance(entry, Mapping) else {}
                    found[kind].setdefault(str(each.get("name")), own)
    return current, found


def read_file(path: str) -> Any:
    """Return the document in a file.

    :raises OSError: when it cannot be read.
    :raises ValueError: when it is too large or not YAML, or there is nothing to read YAML with.
    """
    with open(path, "rb") as stream:
        raw = stream.read(MAX_KUBECONFIG + 1)
    yaml = find("PyYAML")
    if yaml is None or len(raw) > MAX_KUBECONFIG:
        raise ValueError
    try:
        return yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        raise ValueError from None


def _documents(kubeconfig: Kubeconfig) -> Iterator[tuple[Mapping[str, Any], str]]:
    if isinstance(kubeconfig, Mapping):
        yield kubeconfig, ""
    for path in kubeconfig_paths(kubeconfig):
        try:
            document = read_file(path)
        except OSError:
            continue
        if isinstance(document, Mapping):
            yield document, os.path.abspath(os.path.dirname(path))


def _absolute(entry: Mapping[str, Any], folder: str) -> Mapping[str, Any]:
    path = entry.get("certificate-authority")
    if not path or not folder:
        return entry
    return {**entry, "certificate-authority": os.path.normpath(os.path.join(folder, str(path)))}
