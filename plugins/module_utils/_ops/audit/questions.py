# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions of an audit to registries, each asked once for all hosts.

Hosts say which repositories they are. What is asked is therefore bounded by ``registries``, and a registry that a host
names gets no credentials that are not its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Callable, Generic, NamedTuple, TypeVar

from ..._errors import InvalidOption, InvalidPolicy, MissingDependency, NotFound, OciError, VerificationFailed
from ..._oci.options import GENERIC, AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.tag_ranking import parse_tag
from ..._policy.refusals import PolicyInvalid
from ..._trust.policy import VerifyPolicy
from ..info.info import InfoOptions, info
from ..resolve import ReferenceOptions
from ..verify import Verification, VerifyOptions
from .gathered import MAX_TEXT, Said, signer_names

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from ..task import Task

MISSING, EXPIRED, INVALID, DENIED, UNKNOWN = "missing", "expired", "invalid", "denied", "unknown"
SELECTION = ("semver", "semver_filter", "filter_tags")
_Found = TypeVar("_Found")
_EXPIRED = ("expired-certificate", "expired-signature")


class Answer(NamedTuple):
    """What a registry said: a text (a digest, a tag), or why there is none. ``is_gone`` when what was asked for is not
    there."""

    text: str = ""
    problem: str = ""
    is_gone: bool = False


class Signature(NamedTuple):
    """What the signatures of a digest say today. ``problem`` is empty when they satisfy the policy, and None when no
    policy asks for any; else one of the words above, with a message."""

    signers: Sequence[str] = ()
    problem: str | None = None
    message: str = ""


@dataclass(frozen=True)
class QuestionOptions:
    """How registries are asked. ``registries`` are patterns of those that may be, as registry or registry/path; without
    any all may, if no login is named that would be sent to each."""

    registries: Sequence[str] = ()
    policy: Policy | None = None
    verify: VerifyPolicy | None = None
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    ask: bool = True

    def check(self) -> None:
        """:raises InvalidOption: when a login would be sent to whatever registry a host names, or a pattern matches
        none."""
        for each in self.registries:
            if not each or "://" in each:
                raise InvalidOption(
                    f"'registries' has {each[:200]!r}, which no registry is called.",
                    "Write registry.example.com or registry.example.com/platform, without a scheme.",
                )
        if self.ask and not self.registries and (self.auth.username or self.auth.provider != GENERIC):
            raise InvalidOption(
                "A login is given for all registries, and hosts say which registries there are.",
                "Name those that may be asked in 'registries', or leave the login to the docker configuration.",
            )


class _Once(Generic[_Found]):
    """Remembers what was found, by key. Threads that look for the same wait for the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._found: dict[tuple[str, ...], _Found] = {}

    def find(self, key: tuple[str, ...], look: Callable[[], _Found]) -> _Found:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                self._found[key] = look()
            return self._found[key]


class Questions:
    """Asks each question once, and remembers the answers."""

    def __init__(self, options: QuestionOptions, task: Task) -> None:
        options.check()
        self._options = options
        self._task = task
        self._answers: _Once[Answer] = _Once()
        self._signatures: _Once[Signature] = _Once()

    def may_ask(self, url: str) -> bool:
        """Return whether the registry of a repository may be asked; places on a host's disk are never looked for."""
        if not self._options.ask or not url.startswith("oci://"):
            return False
        name = url[len("oci://") :]
        patterns = [each.rstrip("/") for each in self._options.registries]
        return not patterns or any(fnmatchcase(name, each) or name.startswith(f"{each}/") for each in patterns)

    def digest_of(self, url: str, identifier: str) -> Answer:
        """What a tag names, or whether a digest is there."""
        option = "digest" if ":" in identifier else "tag"
        return self._asked(("digest", url, identifier), lambda: self._resolve({"url": url, option: identifier})[1])

    def selected(self, said: Said) -> Answer:
        """The tag that the selection of a destination chooses today."""
        # of the repository that was placed, whatever else the host says it has asked for
        options = {name: said.asked[name] for name in SELECTION if said.asked.get(name)}
        key = ("selected", said.url, *(f"{name}={value}" for name, value in sorted(options.items())))
        return self._asked(key, lambda: self._resolve({"url": said.url, **options})[0])

    def newest(self, url: str) -> Answer:
        """The highest version among the tags of a repository, without pre-releases; empty when there is none."""

        def ask() -> str:
            tags = self._info({"url": url, "semver": "*"}, ("tags",), 1)["tags"]
            return str(tags[0]) if tags else ""

        return self._asked(("newest", url), ask)

    def signature(self, url: str, tag: str, digest: str) -> Signature:
        """What the signatures of a digest say today.

        :raises InvalidPolicy: when the policy of the task cannot be used; PolicyInvalid when one of a rule cannot.
        :raises MissingDependency: when a package is missing that verifies signatures.
        """
        return self._signatures.find((url, tag, digest), lambda: self._verify(url, tag, digest))

    def _verify(self, url: str, tag: str, digest: str) -> Signature:
        options = self._options
        if options.verify is None and options.policy is None:
            return Signature()
        reference = ReferenceOptions(ref=f"{url[len('oci://') :]}{f':{tag}' if tag else ''}@{digest}")
        try:
            if options.verify is None and not self._has_rule(reference):
                return Signature()
            made = VerifyOptions(
                reference,
                options.verify or VerifyPolicy(),
                options.auth,
                options.connection,
                options.cache,
                options.policy,
            )
            found = Verification(made, self._task).run()["verification"]
        except VerificationFailed as exc:
            refused = (exc.details.get("verification") or {}).get("refused") or []
            codes = {str(each.get("code")) for each in refused}
            kind = EXPIRED if codes.intersection(_EXPIRED) else INVALID if refused else MISSING
            return Signature((), kind, str(exc)[:MAX_TEXT])
        except (InvalidPolicy, PolicyInvalid, MissingDependency):
            # of the task, and no finding about a host
            raise
        except OciError as exc:
            is_denied = exc.reason in ("TagDenied", "DigestDenied")
            return Signature((), DENIED if is_denied else UNKNOWN, str(exc)[:MAX_TEXT])
        return Signature(signer_names(found["signers"]), "" if found["verified"] else INVALID)

    def _has_rule(self, reference: ReferenceOptions) -> bool:
        """Return whether the policy asks for signatures of an artifact, after asking whether it denies it."""
        if self._options.policy is None:
            return False
        from ..guard import guarded_target

        _target, guard = guarded_target(reference, self._options.policy)
        return guard is not None and bool(guard.policies)

    def _resolve(self, options: Mapping[str, Any]) -> tuple[str, str]:
        artifact = self._info(options, (), None)["artifact"]
        return str(artifact["tag"]), str(artifact["digest"])

    def _info(self, options: Mapping[str, Any], gather: Sequence[str], limit: int | None) -> dict[str, Any]:
        return info(
            InfoOptions(
                reference=ReferenceOptions(**options),
                gather=gather,
                limit=limit,
                auth=self._options.auth,
                connection=self._options.connection,
                cache=self._options.cache,
            ),
            self._task.clients,
        )

    def _asked(self, key: tuple[str, ...], ask: Callable[[], str]) -> Answer:
        def answer() -> Answer:
            try:
                return Answer(ask())
            except OciError as exc:
                return Answer("", str(exc)[:MAX_TEXT], isinstance(exc, NotFound))

        return self._answers.find(key, answer)


def is_version(tag: str) -> bool:
    """Return whether a tag is a version of three parts."""
    return parse_tag(tag) is not None


def is_newer(tag: str, than: str) -> bool:
    """Return whether one version is above another."""
    one, other = parse_tag(tag), parse_tag(than)
    return one is not None and other is not None and one[0] > other[0]
