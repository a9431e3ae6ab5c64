# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolution of the user's reference and selection to a repository, a tag and a digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._errors import InvalidOption, NoMatch
from .._oci import media
from .._oci.digest import parse_digest
from .._oci.reference import DEFAULT_TAG, Reference, check_tag, parse_reference, parse_url

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import Repository
    from .._oci.selection import TagSelector


# values of "tag_moved"
IGNORE, WARN, FAIL = "ignore", "warn", "fail"


class ReferenceOptions(NamedTuple):
    """The options that identify an artifact; see the documentation fragments ``reference`` and ``selection``. ``pin``
    is a revision (``tag@digest`` or a digest) that the other options were resolved to before."""

    ref: str = ""
    url: str = ""
    tag: str = ""
    digest: str = ""
    semver: str = ""
    semver_filter: str = ""
    filter_tags: Mapping[str, Any] | None = None
    pin: str = ""
    tag_moved: str = IGNORE


class Target(NamedTuple):
    """A checked request: a repository with a digest, a tag, or a selection among its tags.

    ``selector`` chooses the tag; ``ranking`` orders the tags of a listing, even if a digest or a tag is given.
    ``pin`` is the revision when it was resolved before. A reference with a tag and a digest is pinned to the digest;
    ``tag_moved`` says whether it matters that the tag still names it; ``tag_moved_rule`` names the rule of a policy
    that wants it so, see :func:`~.._policy.refusals.by_rule`.
    """

    reference: Reference
    selector: TagSelector | None = None
    ranking: TagSelector | None = None
    is_explicit: bool = True
    warnings: Sequence[str] = ()
    pin: Resolved | None = None
    tag_moved: str = IGNORE
    tag_moved_rule: Mapping[str, str] | None = None

    @property
    def known(self) -> Resolved | None:
        """The revision, when it is known without a request; otherwise None."""
        reference = self.reference
        return Resolved(reference.digest, reference.tag, None) if reference.digest else self.pin

    @property
    def asks_for_tag(self) -> bool:
        """True when the registry is to be asked for the tag of a pinned reference."""
        return self.tag_moved != IGNORE and bool(self.reference.tag and self.reference.digest)

    def confirmed_tag(self, resolved: Resolved) -> str:
        """Return the tag that resolved to the digest; empty when only the reference says that it belongs to it."""
        return "" if self.reference.digest else resolved.tag

    @property
    def wanted(self) -> str:
        """The reference and selection as text, to compare the requests of two tasks; independent of the revision."""
        return f"{self.reference}\n{self.selector.selection if self.selector else ''}"

    @property
    def is_any_of_layout(self) -> bool:
        """True for a layout without tag, digest or selection: ``latest``, or its only manifest if it has no tags."""
        return self.reference.is_layout and not self.is_explicit and not self.reference.digest and not self.selector


def asked_for(options: ReferenceOptions) -> dict[str, Any]:
    """Return the options that name an artifact whatever it is resolved to, by name, without those that are empty."""
    return {name: value for name, value in options._asdict().items() if value and name not in ("pin", "tag_moved")}


class Resolved(NamedTuple):
    """A resolved digest. ``revision`` is ``tag@digest``, or the digest alone when the request was for a digest without
    a tag."""

    digest: str
    tag: str
    descriptor: Descriptor | None

    @property
    def revision(self) -> str:
        return f"{self.tag}@{self.digest}" if self.tag else self.digest


def parse_target(options: ReferenceOptions, layer_media_type: str = "", *, lists_tags: bool = False) -> Target:
    """Check the reference and compile the selection, before any request is made.

    Precedence is digest, semver or filter_tags, tag, ``latest`` (source-controller, getArtifactRef); an option
    that is overridden is named in a warning. ``layer_media_type`` is that of the selected layer: only for a Helm chart
    ``_`` in a tag is read as ``+``. With ``lists_tags`` the selection orders a list, even if it does not choose a tag.

    :raises InvalidReference: when a part is outside the grammar.
    :raises InvalidSelection: when a range, an expression or a policy cannot be used.
    :raises InvalidOption: when options exclude each other.
    """
    if bool(options.ref) == bool(options.url):
        found = "both are" if options.ref else "neither is"
        raise InvalidOption(f"One of 'ref' and 'url' is wanted, {found} given.")
    reference = parse_reference(options.ref) if options.ref else parse_url(options.url)
    if options.digest:
        parse_digest(options.digest)
    if options.tag:
        check_tag(options.tag)
    if (options.tag and reference.tag) or (options.digest and reference.digest):
        raise InvalidOption(
            f"The reference {reference} already carries a {'tag' if options.tag and reference.tag else 'digest'}.",
            "Give it once.",
        )
    tag, digest = options.tag or reference.tag, options.digest or reference.digest
    ranking = compile_selection(options, layer_media_type)
    selector = ranking if ranking is not None and ranking.selection.has_policy else None
    losers = []
    # a tag and a digest in one reference are a pinned tag: neither is overridden
    is_pinned = bool(reference.tag and reference.digest) or bool(tag and digest and options.tag_moved != IGNORE)
    if tag and not is_pinned and (digest or selector):
        losers.append("tag")
    if (digest or selector is None) and not lists_tags:
        losers += [name for name in ("semver", "semver_filter", "filter_tags") if getattr(options, name)]
    if digest:
        winner = "'digest' takes precedence"
    else:
        winner = "the version range or tag policy takes precedence" if selector else "it filters for 'semver' alone"
    warnings = [f"'{name}' has no effect on {reference.name}: {winner}." for name in losers]
    pin = _parse_pin(options.pin, digest, tag or DEFAULT_TAG, selector) if options.pin else None
    if digest:
        pinned = reference.at(tag=tag if is_pinned else "", digest=digest)
        return Target(pinned, ranking=ranking, warnings=warnings, tag_moved=options.tag_moved)
    if selector:
        return Target(reference.at(), selector, ranking, warnings=warnings, pin=pin)
    is_explicit = bool(tag)
    return Target(
        reference.at(tag=tag or DEFAULT_TAG), ranking=ranking, is_explicit=is_explicit, warnings=warnings, pin=pin
    )


def _parse_pin(text: str, digest: str, tag: str, selector: TagSelector | None) -> Resolved:
    """Parse a revision that the reference was resolved to; refuse one that contradicts the reference."""
    pinned_tag, _at, pinned_digest = text.rpartition("@")
    parse_digest(pinned_digest)
    if pinned_tag:
        check_tag(pinned_tag)
    found = Resolved(pinned_digest, pinned_tag, None)
    if digest:
        is_possible = digest == pinned_digest
    elif not pinned_tag:
        is_possible = True
    elif selector is None:
        is_possible = pinned_tag == tag
    else:
        try:
            is_possible = selector.select([pinned_tag]) == pinned_tag
        except NoMatch:
            is_possible = False
    if not is_possible:
        raise InvalidOption(
            f"The pin {found.revision} is nothing that the reference can stand for.",
            "Give a revision that this very reference was resolved to. If a lock file has it, run with lock: update.",
        )
    return found


def resolve(repository: Repository, target: Target) -> Resolved:
    """Resolve a target to a digest: no request for a digest or a pin, one HEAD for a tag, the list of tags and one HEAD
    for a selection.

    An image layout without tags, as ``crane`` and ``skopeo`` may write it, resolves to its only manifest.

    :raises NoMatch: when no tag satisfies the selection.
    :raises NotFound: when the tag, the repository or the layout is not there.
    """
    if target.known is not None:
        return target.known
    tag = target.reference.tag
    if target.selector is not None:
        tag = target.selector.select(repository.list_tags())
    descriptor = repository.resolve("" if target.is_any_of_layout else tag)
    if target.is_any_of_layout and tag not in repository.list_tags():
        tag = ""
    return Resolved(descriptor.digest, tag, descriptor)


def compile_selection(options: ReferenceOptions, layer_media_type: str = "") -> TagSelector | None:
    """Compile the selection among tags; None without a selection.

    :raises InvalidSelection: when a range, an expression or a policy cannot be used.
    """
    if not (options.semver or options.filter_tags or options.semver_filter):
        return None
    from .._oci.selection import FilterTags, Selection, TagSelector

    selection = Selection(
        semver=options.semver,
        semver_filter=options.semver_filter,
        filter_tags=FilterTags.from_options(options.filter_tags) if options.filter_tags else None,
    )
    return TagSelector(selection, chart_tags=layer_media_type == media.HELM_LAYER)
