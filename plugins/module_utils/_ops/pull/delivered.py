# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pull on a host that asks no registry: another machine resolved, verified and fetched the artifact (``via``).

The blobs that were handed over are read as those of an image layout are, each checked against its descriptor, and
everything else is an ordinary pull: what is in place is not touched, and what is placed is placed as a whole.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..._errors import DigestMismatch, MissingDependency, OciError
from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..resolve import Target
from ..task import Task
from .context import PullContext, make_context
from .delivery import DELIVERED, WANTS, Archive, Delivery, Parcel
from .options import PullOptions

if TYPE_CHECKING:
    from ..._dest.incoming import Incoming
    from ..._oci.repository import Repository
    from ..._trust.policy import VerifyPolicy
    from ..resolve import Resolved
    from ..verdicts import Finding


class DeliveryFailed(OciError):
    """Why the machine that a delivery comes from could not make it, with the reason that it had there."""

    def __init__(self, failure: Mapping[str, Any]) -> None:
        details = {name: value for name, value in failure.items() if name not in ("failed", "msg", "changed")}
        super().__init__(str(failure.get("msg", "")), details=details)
        self.reason = str(failure.get("reason", OciError.reason))
        self.retryable = bool(failure.get("retryable"))


class DeliveredTask(Task):
    """The state of a task whose artifacts are handed over: no client, and no cache.

    It opens and verifies one artifact, the first one of the parcel; :meth:`of` returns the same for another one.
    """

    def __init__(self, parcel: Parcel) -> None:
        super().__init__(CacheOptions())
        self._parcel = parcel
        self._delivery = parcel.items[0]
        self._incoming: tuple[Incoming, Archive] | None = None
        # the digests whose signatures were verified on this host; shared by what `of` returns
        self._verified: set[str] = set()

    @property
    def verified_here(self) -> bool:
        return bool(self._verified)

    def of(self, number: int) -> DeliveredTask:
        found = copy.copy(self)
        found._delivery = self._parcel.items[number]
        return found

    def open(self, target: Target, auth: AuthOptions, connection: ConnectionOptions) -> Repository:
        from .delivered_blobs import DeliveredBlobs, DeliveredRepository

        if self._delivery.failure:
            raise _failure_of(self._delivery)
        blobs = DeliveredBlobs(self._parcel.items, self._parcel.store, self._incoming)
        return DeliveredRepository(target.reference, self._delivery, blobs)

    def verify(
        self, repository: Repository, resolved: Resolved, policy: VerifyPolicy, fingerprint: str, *, anew: bool = False
    ) -> Finding:
        """Verify again, where this host has what it takes; otherwise what the other machine found counts."""
        from ..verdicts import Finding

        delivery = self._delivery
        handed = Finding(delivery.verdict, list(delivery.verdict_warnings), is_remembered=True)
        if not delivery.verify or not can_verify():
            return handed
        from ..._trust.policy import parse_policy
        from ..._trust.verifier import PolicyVerifier

        try:
            for option in delivery.verify:
                PolicyVerifier(parse_policy(option)).verify(repository, resolved.digest, resolved.descriptor)
        except MissingDependency:
            # of a format that takes another package
            return handed
        self._verified.add(resolved.digest)
        return handed

    def receive(self, incoming: Incoming, archive: Archive) -> None:
        """Have the blobs of an archive read from the files that were sent."""
        self._incoming = incoming, archive


class _Look(NamedTuple):
    """What a first look at the destinations tells: which of them need content."""

    contexts: list[PullContext]
    needing: list[int]


def pull_delivered(
    parcel: Parcel,
    items: Sequence[PullOptions],
    go_on: Callable[[DeliveredTask, bool], dict[str, Any]],
    *,
    check_mode: bool = False,
    want_diff: bool = False,
) -> dict[str, Any]:
    """Pull what was handed over; return the module's result, or under :data:`~.delivery.WANTS` what is lacking.

    :param items: the options of each artifact, with its revision as ``pin``.
    :param go_on: the pull itself, in a task that has the deliveries; it is told whether a diff is wanted.
    :raises OciError: for every failure; ``dest`` is then unchanged.
    """
    task = DeliveredTask(parcel)
    look = _look(task, items, check_mode=check_mode, want_diff=want_diff)
    wanted = [parcel.items[number] for number in look.needing]
    if check_mode and _missing(look, parcel):
        comparison = _comparison(look) if want_diff else None
        if comparison is not None:
            return {"changed": False, WANTS: {"compare": comparison}}
        # nothing large is sent for the sake of a diff: which revisions differ is known without it
        want_diff = False
    reads_content = not check_mode or want_diff
    for delivery in wanted:
        if not delivery.failure and not delivery.wants_platform:
            _check_needs(delivery)
    missing = _missing(look, parcel) if reads_content else {}
    receiving = None
    lacking = [each for each in wanted if not each.failure and (each.wants_platform or not each.is_fetched)]
    if missing or any(each.wants_platform or reads_content for each in lacking):
        answer = _ask(parcel, look, missing, bool(lacking))
        if answer is not None:
            return answer
        receiving = _incoming(look), Archive(sorted(missing.items()))
        task.receive(*receiving)
    try:
        result = go_on(task, want_diff)
    except DigestMismatch as exc:
        if receiving is not None:
            receiving[0].clear()
            exc.hint = "What was sent was removed: run the task again, and it is sent anew."
        raise
    if receiving is not None:
        receiving[0].clear()
    for answer, delivery in zip(result.get("results") or [result], parcel.items):
        if delivery.confirmed_at and not answer.get("failed"):
            answer["confirmed_at"] = delivery.confirmed_at
    result[DELIVERED] = {"place": parcel.place, "verified_here": task.verified_here}
    return result


def can_verify() -> bool:
    """True when this host has the package that every verification of signatures takes."""
    from ..._packages import find

    return find("cryptography") is not None


def _look(task: DeliveredTask, items: Sequence[PullOptions], *, check_mode: bool, want_diff: bool) -> _Look:
    contexts, needing = [], []
    for number, options in enumerate(items):
        pull = make_context(options, task.of(number), check_mode=check_mode, want_diff=want_diff)
        contexts.append(pull)
        if not options.suspend and _needs_content(pull):
            needing.append(number)
    return _Look(contexts, needing)


def _needs_content(pull: PullContext) -> bool:
    """False when the pull will find the revision in place, or pass it over because the record says so."""
    known, state = pull.target.known, pull.load_state()
    if state.standing.get("suspended"):
        return False
    if known is None:
        return True
    if state.standing.get("held"):
        from ..._dest.history import hold_on

        if hold_on(state.standing, known.digest) is not None:
            return False
    try:
        return not pull.is_in_place(state, known)
    except OciError:
        # which the pull meets again, and says of this artifact alone
        return False


def _check_needs(delivery: Delivery) -> None:
    """Check, before anything is sent, that this host can read the layers.

    :raises MissingDependency: when a package for their compression is not installed.
    """
    if "zstd" in delivery.needs:
        from ..._archive.decompress import check_zstd

        check_zstd()


def _missing(look: _Look, parcel: Parcel) -> dict[str, int]:
    """The sizes of the layers, by digest, that are neither in the parcel nor in a directory that can be read here, nor
    kept beside the record."""
    if parcel.store:
        return {}
    here = {digest for number in look.needing for digest in parcel.items[number].inline}
    found: dict[str, int] = {}
    for number in look.needing:
        delivery = parcel.items[number]
        if not delivery.failure:
            kept = _kept(look.contexts[number], [digest for digest in delivery.blobs if digest not in here])
            found.update(
                {digest: size for digest, size in delivery.blobs.items() if digest not in here and digest not in kept}
            )
    return found


def _kept(pull: PullContext, digests: Sequence[str]) -> set[str]:
    """Those of these layers that the pull will read from what is kept of earlier revisions; each was hashed."""
    if not pull.options.keep or pull.check_mode:
        return set()
    from ..._dest.history import kept_blobs
    from ..._dest.kept_blobs import KeptBlobs

    listed = kept_blobs(pull.load_state().standing)
    with pull.destination.opened() as held:
        if held.control < 0:
            return set()
        blobs = KeptBlobs(held.control)
        return {digest for digest in digests if digest in listed and blobs.has(digest)}


def _incoming(look: _Look) -> Incoming:
    """Where files are sent to: beside the record of the first artifact that needs content."""
    from ..._dest.incoming import Incoming

    return Incoming(look.contexts[look.needing[0]].destination)


def _ask(parcel: Parcel, look: _Look, missing: Mapping[str, int], is_lacking: bool) -> dict[str, Any] | None:
    """The answer that says what is lacking; None when all of it has been sent.

    :param is_lacking: that nothing can be placed yet, whatever was sent.
    """
    archive = Archive(sorted(missing.items()))
    answer: dict[str, Any] = {"needing": look.needing, "missing": archive.order, "can_read": _readable()}
    if any(parcel.items[number].wants_platform for number in look.needing):
        from ..._oci import platforms

        answer["platform"] = platforms.host()
    if not missing:
        return {"changed": False, WANTS: answer}
    incoming, parts = _incoming(look), archive.parts
    if not parcel.is_sent or parcel.arrived:
        incoming.make(parts)
    if parcel.arrived:
        name = next(name for name, (offset, _size) in parts.items() if offset == parcel.offset)
        incoming.take(parcel.arrived, name, parts[name][1])
    sizes = incoming.sizes()
    answer["folder"] = incoming.path
    answer["have"] = [offset for name, (offset, size) in parts.items() if sizes.get(name) == size]
    is_complete = len(answer["have"]) == len(parts)
    return None if is_complete and not is_lacking else {"changed": False, WANTS: answer}


def _comparison(look: _Look) -> dict[str, Any] | None:
    """What the other machine compares the content with; None for several artifacts, and for what is too large."""
    if len(look.contexts) != 1:
        return None
    from ..._dest.stand_in import describe

    pull = look.contexts[0]
    state = pull.load_state()
    drift = pull.destination.find_drift(state, pull.options.check_content)
    return describe(pull.destination, pull.name, state, drift)


def _readable() -> list[str]:
    """What this host can decompress beside what every Python can."""
    with contextlib.suppress(MissingDependency):
        from ..._archive.decompress import check_zstd

        check_zstd()
        return ["zstd"]
    return []


def _failure_of(delivery: Delivery) -> OciError:
    failed = DeliveryFailed(delivery.failure)
    if not delivery.is_outage:
        return failed
    from ..._errors import ConnectionFailed

    # what a pull may keep its content over
    outage = ConnectionFailed(failed.message)
    outage.reason, outage.details = failed.reason, failed.details
    return outage
