# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves and removes the tags of one repository of a registry.

Registries have no lock, and the distribution specification has no conditional request (its pull request 251 is open).
So a tag is looked at right before it is written, and once more after it. Where the registry gives an ETag with it, the
write carries it as ``If-Match`` (RFC 9110, section 13.1.1), and ``If-None-Match: *`` for a new tag: a registry that
honours them closes the gap between the look and the write, and others pass them over.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .._errors import PushFailed, RegistryError
from .._http.answer import check_status
from .._http.body import discard
from .._oci.digest import is_digest
from .._oci.manifest import Manifest
from .._oci.preliminary import answer_or_none, find_tag
from .._oci.reference import check_tag
from .._oci.tag_store import DeletionRefused, moved_meanwhile
from .client import RegistryClient, push_scope
from .repository import ACCEPT, RegistryRepository
from .urls import RepositoryUrls

# what registries answer that have no such request, or have it switched off
_NO_SUCH_REQUEST = (400, 405, 406, 415, 501)


@dataclass(frozen=True)
class _Held:
    """What a tag names, and the registry's word for this state; both empty where there is none."""

    digest: str = ""
    etag: str = ""

    @property
    def condition(self) -> dict[str, str]:
        """The headers of a write that is only to take place in this state. A weak ETag never matches."""
        if not self.digest:
            return {"If-None-Match": "*"}
        return {"If-Match": self.etag} if self.etag.startswith('"') else {}


class RegistryTags:
    """Implements :class:`~._oci.tag_store.TagStore` for a registry."""

    def __init__(self, repository: RegistryRepository, client: RegistryClient) -> None:
        self._repository = repository
        self._client = client
        self._urls = RepositoryUrls(client.api, repository.reference.repository)
        self._push = push_scope(repository.reference.repository)
        # distribution, docs/content/spec/auth/scope.md: deleting is a right of its own
        self._delete_scope = f"repository:{repository.reference.repository}:delete,pull"

    def move(self, manifest: Manifest, tag: str, before: str) -> None:
        digest = manifest.descriptor.digest
        held = self._held(tag, before, self._push)
        condition = held.condition
        try:
            self._repository.put_manifest(manifest, tag, condition)
        except PushFailed:
            if not condition:
                raise
            # an answer that was lost, somebody who was faster, or an ETag that a gateway has made up
            found = self._look(tag, self._push).digest
            if found not in (digest, before):
                raise moved_meanwhile(self._repository.named(tag), found, before) from None
            if found != digest:
                self._repository.put_manifest(manifest, tag)
        found = self._look(tag, self._push).digest
        if found != digest:
            raise moved_meanwhile(self._repository.named(tag), found, digest)

    def remove_tag(self, tag: str, before: str) -> None:
        held = self._held(tag, before, self._delete_scope)
        if not held.digest:
            return
        condition = held.condition
        if not self._delete(tag, condition) and condition:
            found = self._look(tag, self._delete_scope).digest
            if found not in ("", before):
                raise moved_meanwhile(self._repository.named(tag), found, before)
            if found:
                self._delete(tag, {})
        found = self._look(tag, self._delete_scope).digest
        if found == before:
            raise DeletionRefused(
                f"The registry says that it has removed the tag {self._repository.named(tag)}, but it is still there.",
                "Look at the rules of the registry about immutable tags.",
            )
        if found:
            raise moved_meanwhile(self._repository.named(tag), found, "")

    def named_otherwise(self) -> set[str]:
        return set()

    def remove_manifests(self, digests: Collection[str]) -> None:
        for digest in digests:
            self._delete(digest, {})

    def finish_removal(self) -> None:
        """Do nothing: each request removes one thing as a whole."""

    def _held(self, tag: str, before: str, scope: str) -> _Held:
        held = self._look(tag, scope)
        if held.digest != before:
            raise moved_meanwhile(self._repository.named(tag), held.digest, before)
        return held

    def _look(self, tag: str, scope: str) -> _Held:
        """Ask for a tag; by another way, without an ETag, where HEAD does not settle it."""
        known = answer_or_none(lambda: self._head(tag, scope))
        if known is not None:
            return known
        found = find_tag(self._repository, tag)
        return _Held(found.digest) if found else _Held()

    def _head(self, tag: str, scope: str) -> _Held | None:
        url = self._urls.manifest(check_tag(tag))
        with self._client.request("HEAD", url, scope=scope, headers={"Accept": ACCEPT}) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
            is_known = response.status_code == 200 and is_digest(digest)
            return _Held(digest, response.headers.get("ETag", "")) if is_known else None

    def _delete(self, identifier: str, condition: dict[str, str]) -> bool:
        """Delete a tag or a manifest; False when the condition did not hold. What is not there is deleted."""
        name = self._repository.named(identifier)
        response = self._client.request(
            "DELETE", self._urls.manifest(identifier), scope=self._delete_scope, headers={"Accept": ACCEPT, **condition}
        )
        status: int = response.status_code
        if status in (404, 412):
            discard(response, self._client.connection.timeout)
            return status == 404
        what = "manifest" if is_digest(identifier) else "tag"
        try:
            check_status(response, f"Removing the {what} {name}")
        except RegistryError as exc:
            if status not in _NO_SUCH_REQUEST:
                raise
            raise DeletionRefused(exc.message, _hint(what)) from None
        discard(response, self._client.connection.timeout)
        return True


def _hint(what: str) -> str:
    if what == "tag":
        return (
            "This registry removes no tag by itself. To delete what it names would take its other tags with it, which "
            "is not done: remove it with the registry's own means."
        )
    return (
        "Allow deleting in the registry's configuration (Distribution: storage.delete.enabled), or use its own means."
    )
