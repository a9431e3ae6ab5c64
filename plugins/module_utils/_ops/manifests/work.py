# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work on one set of manifests: decide, look, apply, wait, prune, note."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..._errors import Forbidden, NotFound, ObjectNotFound, OciError, ReconciliationFailed
from ..._kube.lease import LeaseLock
from ..._kube.rest import MANAGER, KubeRest
from ..._manifests.applyset import MANAGER as SET_MANAGER
from ..._manifests.applyset import MAX_RECORD, RECORD, Contents, Parent, contents_of, parse_found
from ..._manifests.build import build_objects
from ..._manifests.content import read_layers
from ..._manifests.kinds import Kinds
from ..._manifests.objects import ManifestObject
from .apply import Applier, is_ending
from .prune import KEPT, PRUNED, Leftover, find_leftovers, give_up, prune
from .spec import DRIFTED, IGNORE, REMOVED, SUCCEEDED, WARN, Outcome
from .spec import UNCHANGED as AS_BEFORE
from .variables import Variables, joined, read_variables

if TYPE_CHECKING:
    from ..._manifests.sops import SopsCall
    from ..._policy.rules import Policy

LEASE_PREFIX = "cloudnative.artifacts.manifests."
# Objects in the result; there may be thousands.
MAX_LISTED = 1000
MAX_WORDS = 1000


class ManifestsWork:
    """Makes the cluster have one set of manifests; ``outcome`` says what was done, also after an error."""

    def __init__(
        self,
        api: KubeRest,
        outcome: Outcome,
        *,
        lock_timeout: float,
        check_mode: bool,
        want_diff: bool,
        policy: Policy | None = None,
        sops: SopsCall | None = None,
    ) -> None:
        self._api = api
        self._outcome = outcome
        self._spec = outcome.spec
        self._lock_timeout = lock_timeout
        self._check_mode = check_mode
        self._want_diff = want_diff
        self._policy = policy
        self._sops = sops
        self._parent = Parent()
        self._variables = Variables()
        self._fingerprint = ""

    def observe(self) -> bool:
        """Read the parent of the set and what variables are from, in one request each; return True when there is
        nothing to do.

        :raises ManifestsConflict: when the parent belongs to somebody else.
        :raises ManifestsInvalid: when variables are not to be had.
        """
        spec = self._spec
        self._parent = parse_found(spec.parent, self._api.find(spec.parent.path))
        self._outcome.history = self._parent.history
        if not spec.is_present:
            is_done = not self._parent.exists
        else:
            self._variables = read_variables(self._api, spec.substitute_from)
            self._fingerprint = spec.fingerprint(self._variables.versions)
            is_done = self._is_current and spec.options["drift"] == IGNORE
        if is_done:
            self._outcome.reason = AS_BEFORE
            self._outcome.count = int(self._parent.record.get("count") or 0)
        return is_done

    @property
    def _is_current(self) -> bool:
        """True when this artifact was applied with these options and variables, and the run ended well."""
        record = self._parent.record
        return record.get("ready") is True and record.get("fingerprint") == self._fingerprint

    def carry_out(self) -> None:
        """Apply or remove the set.

        :raises OciError: when that failed; the outcome has what was done until then.
        """
        if self._check_mode or self._only_warns:
            self._run()
            return
        with self._locked():
            # another run may have worked until now
            if not self.observe():
                self._run()

    @property
    def _only_warns(self) -> bool:
        return self._spec.is_present and self._spec.options["drift"] == WARN and self._is_current

    def _run(self) -> None:
        spec = self._spec
        if self._policy is not None and spec.is_present and not self._only_warns:
            from .guard import check_set

            is_repair = self._parent.record.get("fingerprint") == self._fingerprint
            check_set(self._policy, spec, self._parent.history, is_repair=is_repair)
        items = self._build() if spec.is_present else []
        kinds = Kinds(self._api, items)
        if not spec.is_present:
            self._remove(kinds)
            return
        only_warns = self._only_warns
        applier = Applier(self._api, kinds, spec, self._variables.mask, check_mode=self._check_mode or only_warns)
        applier.look(items)
        wanted = contents_of((each.item.version, each.item.kind, each.place.namespace) for each in applier.members)
        if only_warns:
            self._warn(applier)
            return
        if self._check_mode:
            self._apply(applier, kinds, wanted)
            return
        self._note_contents(self._parent.contents | wanted)
        try:
            left = self._apply(applier, kinds, wanted)
        except OciError as exc:
            self._note_record(False, exc.reason, str(exc))
            raise
        self._note_contents(wanted | left)
        self._note_record(True, SUCCEEDED, "")

    def _build(self) -> list[ManifestObject]:
        artifact = self._spec.artifact
        if artifact is None:
            return []
        what, options = f"{artifact.url} {artifact.revision}", dict(self._spec.options)
        if options["substitute"] is not None or self._spec.substitute_from:
            options["substitute"] = joined(self._variables, options["substitute"])
        decrypt = None
        if options["decryption"] and self._sops is not None:
            from .decryption import Decryption

            decrypt = Decryption(self._api, self._spec.key.namespace, options["decryption"], self._sops)
        return build_objects(read_layers(list(artifact.layers), what), options, what, decrypt)

    def _apply(self, applier: Applier, kinds: Kinds, wanted: Contents) -> Contents:
        """Apply, wait and prune; return where members are that stay although they are not among the manifests."""
        outcome, options = self._outcome, self._spec.options
        try:
            applier.apply()
        finally:
            self._report(applier)
        if options["wait"] and not self._check_mode:
            from .wait import await_ready

            await_ready(self._api, self._spec, applier.members)
        outcome.reason = SUCCEEDED
        contents = self._parent.contents | wanted
        if not options["prune"]:
            return contents
        kept = set()
        for member in applier.members:
            (kind,) = contents_of([(member.item.version, member.item.kind, "")]).kinds
            kept.add((kind, member.place.namespace, member.place.name))
        return self._prune(find_leftovers(self._api, kinds, self._spec, self._parent.contents, kept))

    def _report(self, applier: Applier) -> None:
        outcome = self._outcome
        outcome.count = len(applier.members)
        changed = applier.changed()
        outcome.changed = outcome.changed or bool(changed)
        outcome.objects += [member.as_result() for member in changed[:MAX_LISTED]]
        if self._want_diff and changed:
            before, after = applier.diff()
            self._show(before, after)

    def _prune(self, leftovers: Sequence[Leftover]) -> Contents:
        outcome, texts = self._outcome, []
        stays = [(each.kind, each.place.namespace) for each in leftovers if each.is_protected]
        try:
            for found, text in prune(
                self._api,
                self._spec,
                leftovers,
                self._variables.mask,
                check_mode=self._check_mode,
                want_diff=self._want_diff,
            ):
                outcome.changed = outcome.changed or found["action"] == PRUNED
                # that something stays decides what becomes of the parent
                if found["action"] == KEPT or len(outcome.objects) < MAX_LISTED:
                    outcome.objects.append(found)
                texts.append(text)
        finally:
            if any(texts):
                self._show("".join(texts), "")
        kinds = frozenset(kind for kind, _namespace in stays)
        return Contents(kinds, frozenset(namespace for _kind, namespace in stays if namespace))

    def _remove(self, kinds: Kinds) -> None:
        """Remove all members of the set, and its parent unless members stay."""
        outcome = self._outcome
        left = Contents()
        if self._spec.options["prune"]:
            left = self._prune(find_leftovers(self._api, kinds, self._spec, self._parent.contents, ()))
        elif not self._check_mode:
            give_up(self._api, self._spec, find_leftovers(self._api, kinds, self._spec, self._parent.contents, ()))
        outcome.reason = REMOVED
        if any(each["action"] == KEPT for each in outcome.objects):
            outcome.warnings.append(
                f"The {self._spec.parent} stays, because protected objects of the manifests {self._spec.key} do."
            )
            if not self._check_mode:
                self._note_contents(left)
            return
        outcome.changed = True
        if not self._check_mode:
            self._api.delete(self._spec.parent.path)

    def _warn(self, applier: Applier) -> None:
        outcome = self._outcome
        applier.apply()
        outcome.count = len(applier.members)
        changed = applier.changed()
        outcome.objects = [member.as_result() for member in changed[:MAX_LISTED]]
        outcome.reason = DRIFTED if changed else AS_BEFORE
        if changed:
            names = ", ".join(f"{member.place} ({member.action})" for member in changed[:10])
            outcome.warnings.append(f"The manifests {self._spec.key} have drifted: {names}.")

    # -- the parent

    def _note_contents(self, contents: Contents) -> None:
        self._api.apply(self._spec.parent.path, self._spec.parent.document(contents), SET_MANAGER, force=True)

    def _note_record(self, is_ready: bool, reason: str, message: str) -> None:
        artifact, limit = self._spec.artifact, int(self._spec.options["history_max"])
        history = list(self._parent.history)
        if is_ready and artifact is not None:
            now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            own = {"revision": artifact.revision, "digest": artifact.digest, "url": artifact.url, "applied": now}
            said = {"version": artifact.version, "created": artifact.created}
            own.update((name, text) for name, text in said.items() if text)
            if not history or history[0].get("digest") != artifact.digest:
                history.insert(0, own)
        history = history[:limit]
        record = {
            "ready": is_ready,
            "reason": reason,
            # messages of the API may be long, and are for the task's result
            "message": message[:MAX_WORDS],
            "revision": artifact.revision if artifact else "",
            "fingerprint": self._fingerprint,
            "count": self._outcome.count,
            "history": history,
        }
        text = json.dumps(record, sort_keys=True)
        while len(text) > MAX_RECORD and history:
            history.pop()
            text = json.dumps(record, sort_keys=True)
        self._api.merge(self._spec.parent.path, {"metadata": {"annotations": {RECORD: text}}}, MANAGER)
        self._outcome.history = history

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        spec = self._spec
        lock = LeaseLock(self._api, spec.key.namespace, f"{LEASE_PREFIX}{spec.key.name}", f"the manifests {spec.key}")
        try:
            lock.acquire(self._lock_timeout)
        except Forbidden as exc:
            if is_ending(exc):
                raise ReconciliationFailed(
                    f"The namespace {spec.key.namespace} of the ApplySet is being deleted.",
                    "Run the task again later.",
                    retryable=True,
                ) from None
            self._outcome.warnings.append(
                f"The manifests {spec.key} were not locked against other runs: Leases may not be used in the namespace."
            )
            yield
            return
        except NotFound as exc:
            raise ObjectNotFound(
                f"The namespace {spec.key.namespace} of the ApplySet does not exist.",
                "Create it, or name another one in 'namespace'; that of the objects is 'target_namespace'.",
            ) from exc
        try:
            yield
        finally:
            lock.release()

    def _show(self, before: str, after: str) -> None:
        name = f"manifests {self._spec.key}"
        headers = {"before_header": f"{name} (in the cluster)", "after_header": f"{name} (of the artifact)"}
        self._outcome.diff.append({**headers, "before": before, "after": after})
