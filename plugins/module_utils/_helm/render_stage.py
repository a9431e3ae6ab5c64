# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A post-renderer of Helm that hands manifests to this process and prints what comes back.

Helm wants a program. This one is a few lines of Python that speak to a socket in a private directory: manifests, which
may hold Secrets, are never on disk, nothing has to be imported a second time, and an error arrives here as what it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType

from .._errors import HelmFailed, OciError
from .._unexpected import as_error
from .post_renderer import PostRenderer

# Seconds that the program may take to hand over what it has read already; then it is gone.
_TIMEOUT = 60.0
_READ_SIZE = 1 << 16
#: Bytes of manifests that are taken.
MAX_MANIFESTS = 64 << 20
# bytes of a path of a socket, on all systems
_LONGEST_PATH = 100
# Helm 4 refuses a post-renderer that prints nothing at all.
_NOTHING = b"# nothing is left to be deployed\n"
_DONE, _FAILED = b"+", b"-"


class RenderStage:
    """Answers the post-renderer of one run of Helm, in a thread, for as long as it is entered.

    ``failure`` is what the rendering raised, if it did.
    """

    def __init__(self, scratch: str, render: Callable[[bytes], bytes]) -> None:
        """:param scratch: a private directory, which the caller removes."""
        self.failure: OciError | None = None
        self._render = render
        self._folder = tempfile.mkdtemp(prefix="render-", dir=scratch)
        self._program = os.path.join(self._folder, "render.py")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="post-renderer", daemon=True)

    def behind(self, first: PostRenderer | None) -> PostRenderer:
        """Return the program for Helm.

        :param first: a program that changes the manifests before.
        :raises MissingDependency: when that program is not there.
        """
        words = [first.path, *first.arguments] if first is not None else []
        return PostRenderer(sys.executable or "python3", ["-I", "-S", self._program, str(MAX_MANIFESTS), *words])

    def __enter__(self) -> RenderStage:
        with open(self._program, "x", encoding="utf-8") as stream:
            stream.write(_PROGRAM)
        self._bind()
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            # wakes the thread, which closing alone does not
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _bind(self) -> None:
        path = os.path.join(self._folder, "socket")
        try:
            if len(os.fsencode(path)) <= _LONGEST_PATH:
                self._listener.bind(path)
                return
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                self._listener.bind(f"/proc/self/fd/{folder}/socket")
            finally:
                os.close(folder)
        except OSError as exc:
            raise HelmFailed(
                f"Rendered manifests cannot be handed over in {self._folder}: {exc.strerror or exc}.",
                "Set TMPDIR to a directory with a short name, on a file system that has sockets.",
            ) from None

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(_TIMEOUT)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        parts, size = [], 0
        while True:
            part = connection.recv(_READ_SIZE)
            if not part:
                break
            size += len(part)
            if size > MAX_MANIFESTS + len(_DONE):
                self.failure = HelmFailed(f"The rendered manifests have more than {MAX_MANIFESTS} bytes.")
                return
            parts.append(part)
        data = b"".join(parts)
        if not data.endswith(_DONE):
            # it was ended in the middle
            return
        try:
            answer = _DONE + (self._render(data[:-1]) or _NOTHING)
        except Exception as exc:  # any error: this is a thread of its own
            self.failure, answer = as_error(exc, "Changing rendered manifests"), _FAILED
        connection.sendall(answer)


_PROGRAM = '''\
"""Hands what Helm has rendered to the module that runs Helm, and prints what it returns."""
import os, select, signal, socket, subprocess, sys

MOST = int(sys.argv[1])


def run_first(words):
    """Return what the user's program makes of the manifests. When Helm is killed, so is the whole group of Helm."""
    helm, size, parts = os.getppid(), 0, []
    process = subprocess.Popen(words, stdin=sys.stdin.buffer, stdout=subprocess.PIPE, bufsize=0)
    while size <= MOST:
        if select.select([process.stdout], [], [], 1.0)[0]:
            part = process.stdout.read(65536)
            if not part:
                break
            size += len(part)
            parts.append(part)
        elif os.getppid() != helm:
            os.killpg(0, signal.SIGKILL)
    else:
        process.kill()
        sys.exit("%s printed more than %d bytes" % (words[0], MOST))
    if process.wait():
        sys.exit("%s: exit code %d" % (words[0], process.returncode))
    return b"".join(parts)


manifests = run_first(sys.argv[2:]) if len(sys.argv) > 2 else sys.stdin.buffer.read()
os.chdir(os.path.dirname(os.path.abspath(__file__)))
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.connect("socket")
    connection.sendall(manifests + b"+")
    connection.shutdown(socket.SHUT_WR)
    with connection.makefile("rb") as stream:
        answer = stream.read()
if answer[:1] != b"+":
    sys.exit("the manifests could not be changed")
sys.stdout.buffer.write(answer[1:])
'''
