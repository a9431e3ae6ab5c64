# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for the secrets of a test run in all that it leaves behind: output, files, command lines of processes.

A test makes a secret with :func:`new_secret`, or names one that is what it is with :func:`register` or
:func:`register_key`; what it runs through the fixtures is looked at without a further word. Not looked at are

- files that this process wrote (playbooks, credentials to be found): the input of tests. What the code under test wrote
  in this process is looked at;
- command lines that this process started: a test may well say a secret there;
- places where a secret belongs, which a test names with :func:`belongs`: the file of a login that is kept, say.

Secrets are found as they are, in a URL's or JSON's spelling, and in base64, also as a part of longer text.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mmap
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

# In every secret that is made here, and nowhere else: with it, all of them are found at once. A run within a run has
# another one.
MARK = os.environ.get("SECRET_SEARCH_MARK", "qT7mZw3kXv9cR5")
SAMPLE_EVERY = 0.02
# how often a process that was just found is looked at again: it may be between fork and exec
LOOKS = 5
# after how many samples all processes are listed
LIST_EVERY = 50
CONTEXT = 60
MAX_FINDINGS = 50

_PRODUCT = "/cloudnative/artifacts/plugins/"
_TESTS = "/tests/"


def forms(value: str) -> set[bytes]:
    """How a secret may look where it should not be."""
    raw = value.encode()
    found = {raw, quote(value, safe="").encode(), quote(value).encode(), json.dumps(value)[1:-1].encode()}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        # without the characters that share bits with what stands before and behind
        inner = encoded[(before * 4 + 2) // 3 : (before + len(raw)) * 8 // 6]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= 8}


class SecretSearch:
    """What is known of one run. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms = dict.fromkeys(forms(MARK), "a secret of a test")
        self._outputs: list[tuple[str, str]] = []
        self._belonging: set[str] = set()
        self._inputs: set[str] = set()
        self._own_commands: set[str] = set()
        self._folders: list[Path] = []
        self._sampler: _Sampler | None = None

    # What tests say

    def register(self, value: str, name: str) -> str:
        """Look for this value too; ``name`` stands for it in messages."""
        if MARK not in value:
            if len(value) < 8:
                raise ValueError(f"{name} is too short to be told from other text")
            with self._lock:
                self._forms.update({form: name for form in forms(value) if form not in self._forms})
        return value

    def register_key(self, path: Path) -> None:
        """Look for a private key in PEM: its last full line, as it is. The first ones other keys may have, too."""
        lines = [line for line in path.read_text().splitlines() if not line.startswith("-----")]
        longest = max(len(line) for line in lines)
        with self._lock:
            self._forms[[line for line in lines if len(line) == longest][-1].encode()] = f"the key {path.name}"

    def belongs(self, path: str | Path) -> None:
        """A file or folder where a secret is kept on purpose."""
        with self._lock:
            self._belonging.add(os.path.abspath(path))

    def capture(self, name: str, text: str) -> None:
        """Output to look at."""
        if text:
            with self._lock:
                self._outputs.append((name, text))

    # The run

    @contextlib.contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        """Watch this process, and what it starts, while the block runs.

        ``folder`` is where everything is left. Temporary files of every process that is started get a place of their
        own, which all users may use, as they may the usual one.
        """
        temporary = tempfile.mkdtemp(prefix="secret-search-")
        os.chmod(temporary, 0o1777)
        self._folders = [folder, Path(temporary)]
        before, tempfile.tempdir = (os.environ.get("TMPDIR"), tempfile.tempdir), None
        os.environ["TMPDIR"] = temporary
        _watch(self)
        self._sampler = _Sampler(folder) if sys.platform == "linux" else None
        try:
            if self._sampler:
                self._sampler.start()
            yield
        finally:
            if self._sampler:
                self._sampler.stop()
            _watch(None)
            tempfile.tempdir = before[1]
            os.environ.pop("TMPDIR")
            if before[0] is not None:
                os.environ["TMPDIR"] = before[0]

    def findings(self) -> list[str]:
        """Where secrets were found: what, where and what stands around it, without the secret."""
        found: list[str] = []
        for name, text in self._outputs:
            found += self._look(f"the output of {name}", _encoded(text))
        for command in sorted(self._sampler.commands) if self._sampler else ():
            if not any(command.endswith(own) for own in self._own_commands):
                found += self._look("the command line of a process", _encoded(command.replace("\0", " ")))
        for folder in self._folders:
            for path in _files(folder):
                if not self._is_exempt(path):
                    found += self._look_into(path)
        return found[:MAX_FINDINGS]

    def forget(self) -> None:
        """Remove the place of temporary files."""
        for folder in self._folders[1:]:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def looked_at(self) -> dict[str, int]:
        """How much was there to look at, so that nobody takes silence for a search."""
        commands = len(self._sampler.commands) if self._sampler else 0
        return {"outputs": len(self._outputs), "commands": commands, "forms": len(self._forms)}

    # Helpers

    def wrote(self, path: str) -> None:
        with self._lock:
            self._inputs.add(os.path.abspath(path))

    def moved(self, source: str, target: str) -> None:
        with self._lock:
            if os.path.abspath(source) in self._inputs:
                self._inputs.add(os.path.abspath(target))

    def started(self, command: str) -> None:
        with self._lock:
            self._own_commands.add(command)

    def _is_exempt(self, path: str) -> bool:
        if path in self._inputs:
            return True
        return any(path == place or path.startswith(place + os.sep) for place in self._belonging)

    def _look_into(self, path: str) -> list[str]:
        try:
            with open(path, "rb") as stream:
                if os.fstat(stream.fileno()).st_size < 1024 * 1024:
                    return self._look(path, stream.read())
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    return self._look(path, content)
        except FileNotFoundError:
            return []
        except OSError as exc:
            return [f"{path} cannot be searched: {exc.strerror}"]

    def _look(self, where: str, content: bytes | mmap.mmap) -> list[str]:
        found = []
        for form, name in self._forms.items():
            at = content.find(form)
            if at >= 0:
                before = content[max(0, at - CONTEXT) : at]
                found.append(f"{name} in {where}, behind {self._masked(before)!r}")
        return found

    def _masked(self, text: bytes) -> str:
        for form in self._forms:
            text = text.replace(form, b"***")
        return text.decode("utf-8", "replace")


class _Sampler(threading.Thread):
    """Notes the command lines of the processes that descend from this one, or that work in its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True, name="process sampler")
        self.commands: set[str] = set()
        self._folder = str(folder)
        self._end = threading.Event()
        self._ours = {os.getpid()}
        self._known: set[int] = set()
        # those that were just found, and how often they were looked at
        self._fresh: dict[int, int] = {}
        self._samples = 0
        self._last = 0

    def run(self) -> None:
        while not self._end.wait(SAMPLE_EVERY):
            self.sample()

    def stop(self) -> None:
        self._end.set()
        self.join()

    def sample(self) -> None:
        """Look at what is new, and from time to time at those of ours that last."""
        last = _last_process()
        # a list of all processes costs twenty times as much as the numbers that were given since the last look
        if self._samples % LIST_EVERY == 0 or not 0 < self._last <= last:
            present = {int(name) for name in os.listdir("/proc") if name.isdigit()}
            new = present - self._known
            self._ours &= present
            for pid in sorted(self._ours):
                self._look_at(pid)
            self._known = present
        else:
            new = set(range(self._last + 1, last + 1))
        self._last = last
        self._samples += 1
        self._fresh.update(dict.fromkeys(new, 0))
        for pid, looks in sorted(self._fresh.items()):
            self._look_at(pid)
            self._fresh[pid] = looks + 1
            if looks + 1 == LOOKS:
                del self._fresh[pid]

    def _look_at(self, pid: int) -> None:
        try:
            status = _read(f"/proc/{pid}/stat")
            command = _read(f"/proc/{pid}/cmdline").rstrip(b"\0").decode(errors="replace")
        except OSError:
            return
        # behind the name, which may hold anything: state, parent
        parent = int(status.rpartition(b")")[2].split()[1])
        if parent in self._ours or self._folder in command:
            self._ours.add(pid)
        if pid in self._ours and pid != os.getpid() and command:
            self.commands.add(command)


def _last_process() -> int:
    """The number that the last process or thread was given; 0 where the system does not tell."""
    return int(_read("/proc/loadavg").split()[-1])


def _read(path: str) -> bytes:
    """The content of a small file of the kernel, as cheaply as it can be had."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, 1 << 16)
        while len(content) % (1 << 12) == 0 and (more := os.read(descriptor, 1 << 21)):
            content += more
        return content
    finally:
        os.close(descriptor)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _files(folder: Path) -> Iterator[str]:
    """Regular files; what a test took its own rights from is opened again, tests are over."""
    for directory, names, files in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path) and not os.access(path, os.R_OK | os.X_OK):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
        for name in files:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and status.st_size:
                    if not os.access(path, os.R_OK):
                        os.chmod(path, 0o600)
                    yield os.path.abspath(path)


# An audit hook stays as long as its process: one for all, which tells whoever watches.

_watcher: SecretSearch | None = None
_is_hooked = False


def _watch(search: SecretSearch | None) -> None:
    global _watcher, _is_hooked
    _watcher = search
    if not _is_hooked:
        _is_hooked = True
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    search = _watcher
    if search is None or event not in ("open", "os.rename", "subprocess.Popen"):
        return
    if event == "open" and not _writes(*arguments[1:3]):
        return
    # what raises here would be raised by the open that is looked at
    with contextlib.suppress(TypeError, ValueError, LookupError):
        if _is_of_the_product(sys._getframe(1)):
            return
        if event == "open":
            search.wrote(os.fsdecode(arguments[0]))
        elif event == "os.rename":
            search.moved(os.fsdecode(arguments[0]), os.fsdecode(arguments[1]))
        else:
            words = [arguments[1]] if isinstance(arguments[1], (str, bytes, os.PathLike)) else arguments[1]
            search.started("\0".join(os.fsdecode(word) for word in words))


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _is_of_the_product(frame: FrameType | None) -> bool:
    """Whether the code under test does this, and not the test: by whose code is nearest."""
    while frame is not None:
        name = frame.f_code.co_filename
        if _PRODUCT in name:
            return True
        if _TESTS in name:
            return False
        frame = frame.f_back
    return False


SEARCH = SecretSearch()


def new_secret(name: str = "") -> str:
    """A value that is nowhere else. Letters and digits, so that no quoting alters it."""
    return f"{name}{MARK}{secrets.token_hex(8)}"


def register(value: str, name: str) -> str:
    """A secret that is what it is; see :meth:`SecretSearch.register`."""
    return SEARCH.register(value, name)


def register_key(path: str | Path) -> None:
    """A private key in PEM; see :meth:`SecretSearch.register_key`."""
    SEARCH.register_key(Path(path))


def belongs(path: str | Path) -> None:
    """A file or folder where a secret is kept on purpose."""
    SEARCH.belongs(path)
