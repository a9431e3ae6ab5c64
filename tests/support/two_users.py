# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one user can prepare or swap in the way of another, and what must come of it: nothing.

The tests run as root. The attacker is :data:`NOBODY`; what it must neither change nor add to is a :class:`Victim`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
# beside it, a second user that is not trusted
SOMEBODY = 65533
# seconds, far from what any race takes
LONGEST_RACE = 300.0

LINK_TO_FILE, LINK_TO_DIRECTORY, DANGLING_LINK = "link-to-file", "link-to-directory", "dangling-link"
HARD_LINK, FIFO, DIRECTORY = "hard-link", "fifo", "directory"
# what may stand in the place of a name; see :func:`prepare`
KINDS = (LINK_TO_FILE, LINK_TO_DIRECTORY, DANGLING_LINK, HARD_LINK, FIFO, DIRECTORY)
# those that lead elsewhere
LINKS = (LINK_TO_FILE, LINK_TO_DIRECTORY, DANGLING_LINK)
_SECRET = "only for the eyes of root\n"


def require_two_users() -> None:
    """Skip the test when it does not run as root; where CI or REQUIRE_TOOLS is set, let it fail."""
    if os.geteuid() != 0:
        reason = "needs two users: run the tests as root"
        if os.environ.get("REQUIRE_TOOLS") or os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextlib.contextmanager
def public_place() -> Iterator[Path]:
    """A directory of root (0755) that every user reaches, unlike pytest's tmp_path; removed in the end."""
    require_two_users()
    path = Path(tempfile.mkdtemp(prefix="two-users-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def place_without_rights() -> Iterator[Path]:
    """Yield a directory that a user without rights reaches; it is removed in the end."""
    path = Path(tempfile.mkdtemp(prefix="without-rights-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for folder, _folders, _files in os.walk(path):
            os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Make root an ordinary user for a while, which may not read everything; others stay who they are."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class Victim:
    """A directory of root (0700) with files of several modes, which nobody but root may change.

    ``path`` is made. It can be reached through a link, as every name can; what is in it has to stay as it is.
    """

    FILES = {"secret": 0o600, "read-only": 0o400, "public": 0o644, "program": 0o755, "below/deep": 0o600}

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        for name, mode in self.FILES.items():
            file = path / name
            file.parent.mkdir(mode=0o750, exist_ok=True)
            file.write_text(f"{name}: {_SECRET}")
            file.chmod(mode)
        path.chmod(0o700)
        self._before = self._snapshot()

    def add(self, name: str, content: bytes, mode: int = 0o600) -> Path:
        """One more file, with its directories, such as one of a name that the code under test looks for."""
        file = self.path / name
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
        self._before = self._snapshot()
        return file

    def changes(self) -> list[str]:
        """What is another than at first, was added or is gone: content, mode, owner, time of change, target."""
        before, now = self._before, self._snapshot()
        names = sorted(before.keys() | now.keys())
        return [f"{name}: {before.get(name)} -> {now.get(name)}" for name in names if before.get(name) != now.get(name)]

    def _snapshot(self) -> dict[str, tuple[Any, ...]]:
        found = {}
        for path in (self.path, *sorted(self.path.rglob("*"))):
            status = os.lstat(path)
            content: Any = None
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            facts = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, content)
            found[str(path.relative_to(self.path))] = facts
        return found


def prepare(path: Path, kind: str, victim: Victim, *, uid: int = NOBODY) -> None:
    """Have another user's entry of a kind stand at ``path``, whose parents are made (also that user's).

    A hard link is one that a kernel makes that does not protect them (fs.protected_hardlinks), or that was made before.
    """
    make_directories(path.parent, uid)
    remove(path)
    if kind == HARD_LINK:
        os.link(victim.path / "secret", path)
        return
    if kind == FIFO:
        os.mkfifo(path, 0o666)
        path.chmod(0o666)
    elif kind == DIRECTORY:
        path.mkdir()
        path.chmod(0o777)
        (path / "entry").write_text("somebody's")
        os.chown(path / "entry", uid, uid)
    else:
        below = {LINK_TO_FILE: "secret", LINK_TO_DIRECTORY: "", DANGLING_LINK: "new"}[kind]
        path.symlink_to(victim.path / below)
    os.lchown(path, uid, uid)


def make_directories(path: Path, uid: int, mode: int = 0o755) -> None:
    """Make a directory, and those above it that are missing, for a user.

    :raises OSError: when somebody puts a link in the place of the new directory, which is not followed.
    """
    if not os.path.lexists(path):
        make_directories(path.parent, uid, mode)
        path.mkdir()
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(handle, mode)
            os.fchown(handle, uid, uid)
        finally:
            os.close(handle)


def give(path: Path, uid: int = NOBODY) -> None:
    """Let a file or directory with all below it belong to a user."""
    for each in (path, *path.rglob("*")):
        os.lchown(each, uid, uid)


def remove(path: Path) -> None:
    """Remove what stands at a path, if anything does; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def as_user(uid: int, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as another user, to its end, in at most a minute; it has no other groups."""
    return subprocess.run(
        list(argv),
        check=False,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        **{"timeout": 60, **options},
    )


def in_user(uid: int, code: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run Python code as another user, with this Python: it starts as root, as it may lie where only root may look.

    ``arguments`` are in ``sys.argv[1:]``. Modules that the code needs are to be imported by it before ``become()``.
    """
    return subprocess.run(
        [sys.executable, "-c", _BECOME.format(uid=uid) + code, *arguments],
        check=False,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


_BECOME = """
import os
def become():
    os.setgroups([]); os.setgid({uid}); os.setuid({uid})
"""


class Racer:
    """While it is entered, a process of another user swaps what stands at ``path`` for a link to ``target`` and back.

    The last component of ``path`` may be a pattern, such as ``*.tmp``, for names that are not known before: each one
    that comes up is swapped. The two are exchanged in one system call (renameat2), so the name is never missing, and
    what the other process looks at is at random the one or the other. The directories of ``path`` and ``spare`` have to
    be writable for the user and on one file system; ``spare`` is where the other one of the two lies meanwhile.

    ``swaps`` is how many there were, once it is left. What stood there at first stands there again then.
    """

    def __init__(self, path: Path, target: Path, spare: Path, *, uid: int = NOBODY) -> None:
        self._arguments = [str(path.parent), path.name, str(target), str(spare)]
        self._uid = uid
        self.swaps = 0

    def rounds(self, least: int, is_enough: Callable[[], bool] = lambda: True, *, swaps: int = 0) -> Iterator[int]:
        """Number the rounds of what races with it: ``least`` of them, and on until there were more than ``swaps`` and
        it is enough. How a busy machine divides its time between the two does not matter then."""
        deadline = time.monotonic() + LONGEST_RACE
        for number in itertools.count():
            if number >= least:
                so_far = int.from_bytes(self._counter[:8], "little")
                if (so_far > swaps and is_enough()) or time.monotonic() > deadline:
                    return
            yield number

    def __enter__(self) -> Racer:
        shared = os.memfd_create("swaps")
        try:
            os.ftruncate(shared, 8)
            self._counter = mmap.mmap(shared, 8)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BECOME.format(uid=self._uid) + _RACE, *self._arguments, str(shared)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd="/",
                pass_fds=[shared],
            )
        finally:
            os.close(shared)
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        if first != "ready\n":
            raise AssertionError(f"the racer did not start: {first}{self._process.communicate()[1]}")
        return self

    def __exit__(self, *_unused: object) -> None:
        # a handler in Python runs between two swaps
        self._process.send_signal(signal.SIGTERM)
        output, errors = self._process.communicate(timeout=60)
        if self._process.returncode:
            raise AssertionError(f"the racer failed: {errors}")
        self.swaps = int(output)
        self._counter.close()


# exchanges as fast as it can, with a pause of random length every now and then, which lets other processes run
_RACE = """
import ctypes, fnmatch, mmap, random, signal, sys, time
directory, pattern, target, spare, shared = sys.argv[1:]
counter = mmap.mmap(int(shared), 8)
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
become()
is_pattern = any(sign in pattern for sign in "*?[")
swaps, made, out = 0, 0, {}

def exchange(one, other):
    done = libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    return done == 0

def fresh_link():
    global made
    made += 1
    aside = os.path.join(spare, f".aside-{os.getpid()}-{made}")
    os.symlink(target, aside)
    return aside

def names():
    if not is_pattern:
        return [pattern]
    try:
        return [name for name in fnmatch.filter(os.listdir(directory), pattern) if not name.startswith(".aside-")]
    except OSError:
        return []

print("ready", flush=True)
while not ends:
    for name in names():
        path = os.path.join(directory, name)
        if name not in out:
            out[name] = fresh_link()
        if exchange(path, out[name]):
            swaps += 1
            counter[:8] = swaps.to_bytes(8, "little")
        elif is_pattern:
            # what stood there is gone, and its name does not come back
            try:
                os.unlink(out.pop(name))
            except OSError:
                pass
        elif not os.path.islink(out[name]):
            # the link was taken away from where it stood
            out[name] = fresh_link()
    if random.random() < 0.05:
        time.sleep(random.random() * 0.002)
for name, aside in out.items():
    if not os.path.islink(aside):
        exchange(os.path.join(directory, name), aside)
print(swaps)
"""
