# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the program ``helm``, 3.10 or newer and 4: the flags of each version, calls, and error messages.

helm gets charts as files and values on standard input. It never connects to a registry, and no secret is in its
arguments or on disk.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from .._errors import HelmFailed, MissingDependency
from .._files.bounded import expanded
from .._files.parent_death import die_with_parent
from .._files.run_program import OutputTooLong, run_program
from .flags import DeployFlags, UninstallFlags
from .post_renderer import flags_for
from .process_limits import MAX_RENDERED, RENDER_SECONDS, be_limited

if TYPE_CHECKING:
    from .render_stage import RenderStage

OLDEST = (3, 10)
# characters of Helm's output that are shown, and that are read; more are read so that secrets are hidden before cutting
MAX_WORDS, MAX_READ = 2000, 64 * 1024
# bytes that a dry run may print, and that are taken of what Helm says
MAX_PRINTED = 64 << 20
VERSION_TIMEOUT = 60.0
# Helm's timeout is for each thing that it waits for: hooks, resources, deletions. A run ends after as many, and the
# seconds for what else it does, such as a post-renderer.
_WAITS, _REST = 12, 60.0
# the name of the release for which charts are rendered: the one that Helm itself takes
RENDERED_RELEASE = "release-name"

# how Helm 4 waits (pkg/kube/client.go)
WATCHER, HOOK_ONLY = "watcher", "hookOnly"

_VERSION = re.compile(r"v(\d+)\.(\d+)")
# variables that would make Helm use another cluster or storage than the options
_DROPPED = re.compile(r"HELM_(KUBE|NAMESPACE|DRIVER|DEBUG)|KUBECONFIG")


@dataclass(frozen=True)
class HelmAccess:
    """Helm's connection to the cluster: environment variables, made by :mod:`.access`.

    ``session`` gives them for one run of Helm, in place of ``environment``, and ends with it.
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    session: Callable[[], contextlib.AbstractContextManager[Mapping[str, str]]] | None = field(default=None, repr=False)

    def opened(self) -> contextlib.AbstractContextManager[Mapping[str, str]]:
        """Return a context manager that yields the environment variables for one run of Helm."""
        return self.session() if self.session is not None else contextlib.nullcontext(self.environment)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call of Helm. ``words`` is its error message, at most 64 KiB; it may quote values."""

    ok: bool
    words: str = field(default="", repr=False)
    output: bytes = field(default=b"", repr=False)


@dataclass
class _Rendering:
    """The arguments and the environment of a run of Helm for what decides what a chart renders to."""

    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stage: RenderStage | None = None

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return the outcome of the run: a failure where rendered manifests could not be changed."""
        if self.stage is None or self.stage.failure is None:
            return outcome
        return Outcome(False, str(self.stage.failure).rstrip("."))


class Helm:
    """One ``helm`` program, for one cluster. Safe to share between threads."""

    def __init__(self, path: str, access: HelmAccess, scratch: str) -> None:
        """Find the program and read its version.

        :param path: a path, or a name in PATH.
        :param scratch: a private directory, which the caller removes.
        :raises MissingDependency: when the program does not exist, or is too old.
        """
        found = shutil.which(expanded(path))
        if found is None:
            raise MissingDependency(
                f"The program {path!r} is not on this host.", "Install Helm there, or say in 'helm' where it is."
            )
        self.path = found
        self._scratch = scratch
        self._environment = {name: value for name, value in os.environ.items() if not _DROPPED.match(name)}
        self._environment.update(HELM_DRIVER="secret")
        self._access = access
        # shared by the twins of this object
        self._counter = [0]
        self._commands: list[str] | None = None
        self._is_rehearsal = False
        self.version = self._read_version()

    @property
    def runs(self) -> int:
        """The number of processes that were started."""
        return self._counter[0]

    def through(self, access: HelmAccess) -> Helm:
        """Return this program with another connection to the cluster."""
        twin = copy.copy(self)
        twin._access = access
        return twin

    def noting(self, commands: list[str], *, rehearse: bool = False) -> Helm:
        """Return this program as one that appends each command that it runs to ``commands``.

        :param rehearse: run nothing: every command succeeds.
        """
        twin = copy.copy(self)
        twin._commands, twin._is_rehearsal = commands, rehearse
        return twin

    def has(self, major: int, minor: int) -> bool:
        """Return True for Helm ``major.minor`` or newer."""
        return self.version >= (major, minor)

    @property
    def labels_releases(self) -> bool:
        """Return True when Helm can set labels while it deploys a release."""
        return self.has(3, 13)

    def install(self, name: str, namespace: str, chart: str, values: bytes, flags: DeployFlags, **more: Any) -> Outcome:
        """Run ``helm install``.

        :param more: as for :meth:`upgrade`; with ``replace``, the name of an uninstalled release may be used again;
            ``create_namespace`` creates the namespace after the chart is rendered.
        """
        own = ["--replace"] if more.pop("replace", False) else []
        if more.pop("create_namespace", False):
            own.append("--create-namespace")
        return self._deploy("install", name, namespace, chart, values, flags, own, **more)

    def upgrade(self, name: str, namespace: str, chart: str, values: bytes, flags: DeployFlags, **more: Any) -> Outcome:
        """Run ``helm upgrade`` to exactly these values.

        :param more: ``description`` and ``labels`` are recorded with the revision; with ``dry_run`` Helm only renders
            and checks, and the output is the release as JSON.
        """
        own = ["--reset-values", f"--history-max={flags.history_max}"]
        if flags.cleanup_on_fail:
            own.append("--cleanup-on-fail")
        return self._deploy("upgrade", name, namespace, chart, values, flags, own, **more)

    def rollback(self, name: str, namespace: str, revision: int, flags: DeployFlags) -> Outcome:
        """Run ``helm rollback`` to a revision."""
        words = ["rollback", name, str(revision), "--namespace", namespace, f"--history-max={flags.history_max}"]
        words += self._waiting(flags) + self._applying(flags, "rollback")
        if flags.disable_hooks:
            words.append("--no-hooks")
        if flags.cleanup_on_fail:
            words.append("--cleanup-on-fail")
        if self._recreates(flags):
            words.append("--recreate-pods")
        return self._call(words, flags.timeout)

    def uninstall(self, name: str, namespace: str, flags: UninstallFlags) -> Outcome:
        """Run ``helm uninstall``."""
        words = ["uninstall", name, "--namespace", namespace, f"--timeout={_duration(flags.timeout)}"]
        if flags.wait:
            words += self._wait_words(flags.wait_strategy)
        if flags.keep_history:
            words.append("--keep-history")
        if flags.disable_hooks:
            words.append("--no-hooks")
        if flags.propagation and self.has(3, 12):
            words.append(f"--cascade={flags.propagation}")
        return self._call(words, flags.timeout)

    def check_remedies(self, rollback: DeployFlags, uninstall: UninstallFlags) -> None:
        """Check that this version has the options of rollbacks and removals, which a failure would need.

        :raises MissingDependency: when it has not.
        """
        self._waiting(rollback)
        self._applying(rollback, "rollback")
        self._recreates(rollback)
        if uninstall.wait:
            self._wait_words(uninstall.wait_strategy)

    def test(self, name: str, namespace: str, timeout: float, filters: Sequence[str] = ()) -> Outcome:
        """Run ``helm test``; a filter is ``name=NAME``, or ``!name=NAME`` to exclude a test."""
        words = ["test", name, "--namespace", namespace, f"--timeout={_duration(timeout)}"]
        for each in filters:
            words += ["--filter", each]
        return self._call(words, timeout)

    def template(self, chart: str) -> Outcome:
        """Run ``helm template`` on the chart in a directory, with its own values; see :meth:`render`."""
        return self.render(RENDERED_RELEASE, "default", chart)

    def render(
        self,
        name: str,
        namespace: str,
        chart: str,
        values: bytes = b"",
        flags: DeployFlags | None = None,
        own: Sequence[str] = (),
    ) -> Outcome:
        """Run ``helm template`` on a chart, without a cluster; the output is what it renders.

        The output has at most ``MAX_RENDERED`` bytes, and Helm takes at most ``RENDER_SECONDS`` seconds of its
        processor and ``RENDER_MEMORY`` bytes of memory.

        :param own: arguments of ``helm template`` alone.
        """
        words = ["template", name, chart, "--namespace", namespace, *own]
        with contextlib.ExitStack() as stack:
            output, errors = (stack.enter_context(tempfile.TemporaryFile(dir=self._scratch)) for _file in range(2))
            rendering = stack.enter_context(self._rendering(flags))
            words += ["--values", "-", *rendering.words] if flags is not None else []
            outcome = rendering.outcome(
                self._call(words, RENDER_SECONDS / _WAITS, values, rendering.environment, files=(output, errors))
            )
            if os.fstat(output.fileno()).st_size > MAX_RENDERED:
                return Outcome(False, f"it renders more than {MAX_RENDERED} bytes")
            output.seek(0)
            return Outcome(True, output=output.read()) if outcome.ok else outcome

    @contextlib.contextmanager
    def _rendering(self, flags: DeployFlags | None) -> Iterator[_Rendering]:
        """Yield the arguments and the environment for what decides what a chart renders to, with its checks."""
        if flags is None:
            yield _Rendering([])
            return
        switches = (
            ("--no-hooks", flags.disable_hooks, OLDEST),
            ("--skip-schema-validation", flags.skip_schema_validation, (3, 16)),
        )
        words = [word for word, is_set, since in switches if is_set and self._demand(word, since)]
        renderer = flags.post_renderer
        with contextlib.ExitStack() as stack:
            rendering = _Rendering(words)
            if flags.render is not None:
                from .render_stage import RenderStage

                if flags.render_hooks:
                    self._demand("post-rendering of hooks", (4, 0))
                rendering.stage = stack.enter_context(RenderStage(self._scratch, flags.render))
                renderer = rendering.stage.behind(renderer)
            if renderer is not None:
                present = self._environment.get("HELM_PLUGINS", "")
                more, rendering.environment = flags_for(renderer, self._scratch, present, as_plugin=self.has(4, 0))
                rendering.words += more
            yield rendering

    def _deploy(
        self,
        verb: str,
        name: str,
        namespace: str,
        chart: str,
        values: bytes,
        flags: DeployFlags,
        own: Sequence[str],
        *,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        dry_run: str = "",
    ) -> Outcome:
        words = [verb, name, chart, "--namespace", namespace, "--values", "-", "--skip-crds", *own]
        words += self._waiting(flags) + self._applying(flags, verb)
        switches = (
            ("--disable-openapi-validation", flags.disable_openapi_validation, OLDEST),
            ("--take-ownership", flags.take_ownership, (3, 17)),
        )
        words += [word for word, is_set, since in switches if is_set and self._demand(word, since)]
        if description:
            words += ["--description", description]
        if labels and self.labels_releases:
            words += ["--labels", ",".join(f"{key}={value}" for key, value in sorted(labels.items()))]
        if dry_run:
            words += [f"--dry-run={dry_run}" if self.has(3, 13) else "--dry-run", "--output", "json"]
        with self._rendering(flags) as rendering:
            words += rendering.words
            return rendering.outcome(
                self._call(words, flags.timeout, values, rendering.environment, keep_output=bool(dry_run))
            )

    def _waiting(self, flags: DeployFlags) -> list[str]:
        words = [f"--timeout={_duration(flags.timeout)}"]
        if flags.wait:
            words += self._wait_words(flags.wait_strategy)
            if flags.wait_for_jobs and flags.wait_strategy != HOOK_ONLY:
                words.append("--wait-for-jobs")
        return words

    def _wait_words(self, strategy: str) -> list[str]:
        """Return the flags for a way to wait. Helm 3 has one, which Helm 4 calls legacy, and always waits for hooks."""
        if self.has(4, 0):
            return [f"--wait={strategy}" if strategy else "--wait"]
        if strategy == WATCHER:
            self._demand(f"--wait={strategy}", (4, 0))
        return [] if strategy == HOOK_ONLY else ["--wait"]

    def _applying(self, flags: DeployFlags, verb: str) -> list[str]:
        is_4 = self.has(4, 0)
        words = []
        if flags.force:
            words += ["--force-replace", "--server-side=false"] if is_4 else ["--force"]
        elif flags.server_side and self._demand("--server-side", (4, 0)):
            # an install knows only true, its default, and false
            way = "true" if (verb, flags.server_side) == ("install", "auto") else flags.server_side
            words.append(f"--server-side={way}")
        if flags.force_conflicts and self._demand("--force-conflicts", (4, 0)):
            words.append("--force-conflicts")
        return words

    def _recreates(self, flags: DeployFlags) -> bool:
        if flags.recreate and self.has(4, 0):
            raise MissingDependency(
                f"{self.path} is Helm {self.version[0]}.{self.version[1]}, which has no --recreate-pods any more.",
                "Leave 'recreate' out, or restart the Pods otherwise.",
            )
        return flags.recreate

    def _demand(self, word: str, since: tuple[int, int]) -> bool:
        if self.version >= since:
            return True
        raise MissingDependency(
            f"{self.path} is Helm {self.version[0]}.{self.version[1]}, which has no {word}.",
            f"Install Helm {since[0]}.{since[1]} or newer, or leave the option out.",
        )

    def _read_version(self) -> tuple[int, int]:
        outcome = self._call(["version", "--short"], VERSION_TIMEOUT, keep_output=True)
        found = _VERSION.search(outcome.output.decode("utf-8", "replace"))
        if not outcome.ok or found is None:
            raise MissingDependency(
                f"{self.path} does not say which version of Helm it is: "
                f"{outcome.words[:MAX_WORDS] or 'it printed no version'}"
            )
        version = (int(found[1]), int(found[2]))
        if version < OLDEST:
            raise MissingDependency(
                f"{self.path} is Helm {version[0]}.{version[1]}, and {OLDEST[0]}.{OLDEST[1]} is the oldest that is "
                "supported.",
                "Install a newer Helm on this host, or say where one is.",
            )
        return version

    def _call(
        self,
        words: Sequence[str],
        timeout: float,
        text: bytes = b"",
        environment: Mapping[str, str] | None = None,
        *,
        keep_output: bool = False,
        files: tuple[IO[bytes], IO[bytes]] | None = None,
    ) -> Outcome:
        """``files`` are for the output and for errors; what Helm may write and take is limited then."""
        if self._commands is not None:
            self._commands.append(shlex.join([self.path, *words]))
        if self._is_rehearsal:
            return Outcome(True)
        with self._access.opened() as settings:
            every = {**self._environment, **settings, **(environment or {})}
            return self._run(words, timeout, text, every, keep_output, files)

    def _run(
        self,
        words: Sequence[str],
        timeout: float,
        text: bytes,
        environment: Mapping[str, str],
        keep_output: bool,
        files: tuple[IO[bytes], IO[bytes]] | None,
    ) -> Outcome:
        self._counter[0] += 1
        limit = timeout * _WAITS + _REST
        try:
            status, printed, errors = run_program(
                [self.path, *words],
                text,
                timeout=limit,
                most=MAX_PRINTED,
                cut_errors=True,
                stdout=files[0] if files else subprocess.PIPE if keep_output else subprocess.DEVNULL,
                stderr=files[1] if files else subprocess.PIPE,
                env=environment,
                # when this process is killed, the next run detects and repairs the unfinished release
                prepare=be_limited if files else die_with_parent,
            )
        except OSError as exc:
            raise HelmFailed(f"{self.path} cannot be run: {exc.strerror or exc}.") from None
        except subprocess.TimeoutExpired:
            # what Helm started, such as a post-renderer, may be what took so long
            return Outcome(False, f"it did not end within {limit:g} s, and was ended with all that it had started")
        except OutputTooLong:
            return Outcome(False, f"it printed more than {MAX_PRINTED} bytes, and was ended")
        if files:
            files[1].seek(0)
            errors = files[1].read(MAX_READ)
        if status < 0:
            return Outcome(False, f"it was ended by signal {-status}")
        return Outcome(status == 0, _words(errors) if status else "", printed)


def _words(errors: bytes) -> str:
    """Return the text after "Error:" as one line."""
    text = errors.decode("utf-8", "replace")
    _before, found, behind = text.partition("Error: ")
    return " ".join((behind if found else text).split())[:MAX_READ] or "it gave no reason"


def _duration(seconds: float) -> str:
    """Return a duration in the format of Go."""
    return f"{int(seconds * 1000)}ms"
