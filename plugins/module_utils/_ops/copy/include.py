# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied beside a Helm chart: the charts that it depends on, and the images of its manifests.

Each is an artifact of its own: it is resolved once, and copied by its digest, with its signatures, to the place that
``to`` names for it. The signatures that ``verify`` demands are those of the chart; for what others publish there are
the rules of a policy.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from ..._errors import (
    BuildError,
    ChartError,
    InvalidContent,
    InvalidOption,
    InvalidReference,
    InvalidSelection,
    OciError,
)
from ..._files.bounded import MAX_CHART
from ..._helm.needs import Dependency, Needs, read_needs, rendered_images
from ..._http.url import redacted_url
from ..._oci import media
from ..._oci.manifest import Manifest
from ..._oci.reference import SCHEME, Reference, is_tag
from ..._oci.repository import Repository, from_each_place, read_blob
from ..clients import Clients
from ..connect import open_repository
from ..layer_selector import Limits
from ..layers import check_sizes, find_chart, layers_of_type
from ..resolve import ReferenceOptions, Resolved, Target, parse_target, resolve
from .options import Access, access_elsewhere
from .place import target_of

DEPENDENCIES, IMAGES = "dependencies", "images"
# The most artifacts that are copied beside one chart, and how deep charts may depend on each other.
MAX_INCLUDED = 500
MAX_DEPTH = 8
# characters of Helm's words
_MAX_WORDS = 2000
_FULL_VERSION_PARTS = 3


class Included:
    """The artifacts that are copied beside one.

    :param source: the repository of the artifact.
    :param include: what is copied, DEPENDENCIES or IMAGES or both.
    :param to: as in the options of the copy.
    :param access: the credentials and the connection for the registry of the artifact.
    :param copy: copies one artifact, by reference and access to its registry; returns the result of the module for it.
    :raises InvalidOption: when ``include`` names something else.
    """

    def __init__(
        self,
        source: Repository,
        include: Sequence[str],
        to: str,
        access: Access,
        copy: Callable[[ReferenceOptions, Access], dict[str, Any]],
        helm: str = "helm",
    ) -> None:
        unknown = set(include) - {DEPENDENCIES, IMAGES}
        if unknown:
            raise InvalidOption(f"'include' has {sorted(unknown)[0]!r}: wanted {DEPENDENCIES} and {IMAGES}.")
        self._source = source
        self._include = include
        self._to = to
        self._access = access
        self._copy = copy
        self._helm = helm
        self._found: list[dict[str, Any]] = []
        self._not_included: list[dict[str, str]] = []
        self._warnings: list[str] = []
        # where each artifact goes; what goes there
        self._taken: dict[str, str] = {}
        # charts, by repository and digest
        self._known: set[tuple[str, str]] = set()

    def run(self, resolved: Resolved) -> dict[str, Any]:
        """Copy what the artifact needs, if it is a chart; return ``included``, ``not_included`` and ``warnings``.

        :raises ChartError: when the chart cannot be read or rendered, or needs more than the limits allow.
        :raises OciError: for what the copy of one of the artifacts raises; its message names what needs it.
        """
        source = self._source
        manifest = find_chart(source, source.fetch_manifest(resolved.digest))
        if manifest is not None:
            what = str(source.reference.at(tag=resolved.tag, digest=resolved.digest))
            self._check_tag()
            self._claim(source.reference, resolved.tag)
            self._known.add((source.reference.name, resolved.digest))
            with tempfile.TemporaryDirectory(prefix="oci-artifact-") as scratch:
                data = _chart_bytes(source, manifest, what)
                needs = _read(data, what)
                if IMAGES in self._include:
                    # all of them are known, and their places free, before the first is copied
                    for target in self._image_targets(self._images(data, needs, what, scratch)):
                        self._copy_one(target, IMAGES, what)
                if DEPENDENCIES in self._include:
                    self._copy_dependencies(needs, what)
        return {"included": self._found, "not_included": self._not_included, "warnings": self._warnings}

    # -- images

    def _images(self, data: bytes, needs: Needs, what: str, scratch: str) -> list[str]:
        from ..._helm.helm_binary import Helm, HelmAccess

        found = list(needs.images)
        if needs.is_library:
            return found
        path = os.path.join(scratch, "chart.tgz")
        with open(path, "xb") as stream:
            stream.write(data)
        outcome = Helm(self._helm, HelmAccess(), scratch).template(path)
        if outcome.ok:
            return list(dict.fromkeys([*rendered_images(outcome.output.decode("utf-8", "replace"), what), *found]))
        problem = f"{what} cannot be rendered with its own values: {outcome.words[:_MAX_WORDS]}"
        if not found:
            raise ChartError(problem, "Leave 'images' out of 'include', and name its images in tasks of their own.")
        self._warnings.append(f"{problem}. Of its images, those are copied that its annotations list.")
        return found

    def _image_targets(self, images: Sequence[str]) -> list[Target]:
        found: dict[str, Target] = {}
        for image in images:
            try:
                target = parse_target(ReferenceOptions(ref=_with_host(image)))
            except InvalidReference as exc:
                self._leave_out(IMAGES, image, "", exc.message)
                continue
            if str(target.reference) not in found:
                found[str(target.reference)] = target
                self._claim(target.reference, target.reference.tag)
        return list(found.values())

    # -- dependencies

    def _copy_dependencies(self, needs: Needs, what: str) -> None:
        pending = deque((each, what, 1) for each in needs.dependencies)
        asked: set[str] = set()
        while pending:
            dependency, parent, depth = pending.popleft()
            if depth > MAX_DEPTH:
                raise ChartError(f"The dependencies of {what} are nested more than {MAX_DEPTH} deep.")
            target = self._dependency_target(dependency, parent)
            if target is None or target.wanted in asked:
                continue
            asked.add(target.wanted)
            with self._explained(target.reference, parent), self._opened(target) as repository:
                pinned = resolve(repository, target)
                if (target.reference.name, pinned.digest) in self._known:
                    continue
                self._known.add((target.reference.name, pinned.digest))
                place = target.reference.at(tag=pinned.tag, digest=pinned.digest)
                self._claim(place, place.tag)
                # before anything of it is used
                self._copy_one(parse_target(ReferenceOptions(ref=str(place))), DEPENDENCIES, parent)
                manifest = find_chart(repository, repository.fetch_manifest(pinned.digest))
                if manifest is None:
                    raise ChartError(f"{place} is not a Helm chart.", "See what was published there.")
                below = _read(_chart_bytes(repository, manifest, str(place)), str(place))
            pending += [(each, str(place), depth + 1) for each in below.dependencies]

    def _dependency_target(self, dependency: Dependency, parent: str) -> Target | None:
        """Return what a dependency refers to; None, with a note, for one that is not in an OCI registry.

        :raises ChartError: when it refers to nothing that there can be.
        """
        name, repository, version = dependency.name, dependency.repository, dependency.version
        if not repository.startswith(SCHEME):
            reason = "its repository is not an OCI registry" if repository else "it has no repository"
            self._leave_out(DEPENDENCIES, name, repository, f"{reason}; {parent} may hold it itself")
            return None
        url = f"{repository.rstrip('/')}/{name}"
        tag = version.replace("+", "_")
        numbers = version.partition("+")[0].partition("-")[0].removeprefix("v").split(".")
        is_exact = is_tag(tag) and len(numbers) == _FULL_VERSION_PARTS and all(map(str.isdigit, numbers))
        wanted = ReferenceOptions(url=url, tag=tag) if is_exact else ReferenceOptions(url=url, semver=version or "*")
        try:
            return parse_target(wanted, media.HELM_LAYER)
        except (InvalidReference, InvalidSelection) as exc:
            raise ChartError(f"{parent} depends on {name[:100]!r}, which cannot be found: {exc.message}") from None

    @contextlib.contextmanager
    def _opened(self, target: Target) -> Iterator[Repository]:
        auth, connection = self._access_to(target.reference)
        clients = Clients()
        try:
            yield open_repository(target.reference, auth, connection, clients=clients)
        finally:
            clients.close()

    # -- what all have in common

    def _copy_one(self, target: Target, kind: str, parent: str) -> None:
        if len(self._found) >= MAX_INCLUDED:
            raise ChartError(f"{parent} needs more than the {MAX_INCLUDED} artifacts that are copied beside a chart.")
        reference = target.reference
        with self._explained(reference, parent):
            done = self._copy(ReferenceOptions(ref=str(reference)), self._access_to(reference))
        self._warnings += done["warnings"]
        self._found.append(
            {
                "kind": {IMAGES: "image", DEPENDENCIES: "dependency"}[kind],
                **done["artifact"],
                "to": done["to"],
                "changed": done["changed"],
                "copied": len(done["copied"]),
                "present": done["present"],
            }
        )

    def _access_to(self, reference: Reference) -> Access:
        """Return credentials and connection for another artifact: what was given for the registry of the chart goes to
        no other one."""
        is_same = reference.registry == self._source.reference.registry
        return self._access if is_same else access_elsewhere(self._access)

    def _check_tag(self) -> None:
        """:raises InvalidOption: when all artifacts would get one tag."""
        tag = target_of(self._to, self._source.reference, "").tag
        if tag:
            raise InvalidOption(
                f"'to' names the tag {tag}, which all that 'include' copies would get.",
                "Leave it out: each artifact keeps its own tag.",
            )

    def _claim(self, reference: Reference, tag: str) -> None:
        """Take the tag that an artifact gets.

        :raises InvalidOption: when another one gets it.
        """
        place = target_of(self._to, reference, tag)
        owner = self._taken.setdefault(str(place), reference.name)
        if place.tag and owner != reference.name:
            raise InvalidOption(
                f"{owner} and {reference.name} would both be copied to {place}.",
                "Name both apart in 'to', as in oci://mirror.example.com/{registry}/{repository} or "
                "oci-archive:/media/{name}.tar.",
            )

    def _leave_out(self, kind: str, name: str, repository: str, why: str) -> None:
        noun = {IMAGES: "image", DEPENDENCIES: "dependency"}[kind]
        shown, place = name[:300], redacted_url(repository) if repository else ""
        found = {"kind": noun, "name": shown, "repository": place, "why": why}
        if found in self._not_included:
            return
        self._not_included.append(found)
        self._warnings.append(f"The {noun} {shown}{f' of {place}' if place else ''} is not copied: {why}.")

    @contextlib.contextmanager
    def _explained(self, reference: Reference, parent: str) -> Iterator[None]:
        try:
            yield
        except OciError as exc:
            needed = f"{parent} needs {reference}: "
            if not exc.message.startswith(parent):
                exc.message = needed + exc.message
            raise


def _with_host(image: str) -> str:
    """Return the name of an image as Kubernetes reads it: without a host, it is one of Docker Hub."""
    host, slash, _path = image.partition("/")
    is_host = slash and ("." in host or ":" in host or host == "localhost")
    return image if is_host else f"docker.io/{image}"


def _chart_bytes(repository: Repository, manifest: Manifest, what: str) -> bytes:
    """Return the packaged chart, checked.

    :raises ChartError: when there is none, or it is larger than Helm accepts.
    """
    try:
        layers = layers_of_type(manifest, media.HELM_LAYER, what)[:1]
        check_sizes(layers, Limits(MAX_CHART, 1), what)
        layer = layers[0]
    except (OciError, IndexError) as exc:
        raise ChartError(f"{what} is not a Helm chart: {exc}", "See what was published there.") from None
    return from_each_place(repository, layer, lambda: b"".join(read_blob(repository, layer)))


def _read(data: bytes, what: str) -> Needs:
    try:
        return read_needs(io.BytesIO(data), what)
    except (BuildError, InvalidContent) as exc:
        raise ChartError(exc.message, exc.hint or "See what was published there.") from None
