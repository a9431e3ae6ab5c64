# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds the programs that libraries start for credentials and wait for without a limit."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any, Union

from .parent_death import die_with_parent
from .run_program import OutputTooLong, run_program

# bytes each of standard output and standard error; credentials are short
MAX_OUTPUT = 1024 * 1024

_mine = threading.local()


class ProgramEnded(BaseException):
    """A program took too long, or wrote too much, and was ended. ``how`` says so, without its arguments.

    No exception of the kind that libraries handle: they would log it and go on without credentials.
    """

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class _Popen:
    """What the libraries use of ``subprocess.Popen``. The program runs in :meth:`communicate`."""

    def __init__(self, words: Sequence[str], **settings: Any) -> None:
        self.args = words
        self.returncode = 0
        self._is_text = bool(settings.get("universal_newlines") or settings.get("text"))
        given = {name: settings[name] for name in ("stdin", "stdout", "stderr") if settings.get(name) is not None}
        self._settings = {**given, "cwd": settings.get("cwd"), "env": settings.get("env")}

    def communicate(self) -> tuple[Any, Any]:
        seconds = float(_mine.seconds)
        try:
            self.returncode, output, errors = run_program(
                self.args, timeout=seconds, most=MAX_OUTPUT, prepare=die_with_parent, **self._settings
            )
        except subprocess.TimeoutExpired:
            raise ProgramEnded(f"the program {self._name} took more than {seconds:g} s, and was ended") from None
        except OutputTooLong:
            raise ProgramEnded(f"the program {self._name} wrote more than {MAX_OUTPUT} bytes, and was ended") from None
        if self._is_text:
            return output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
        return output, errors

    def wait(self) -> int:
        return self.returncode

    @property
    def _name(self) -> str:
        return os.path.basename(str(self.args[0]))


def popen(words: Sequence[str], *more: Any, **settings: Any) -> Union[_Popen, subprocess.Popen[Any]]:  # noqa: UP007
    """Start a program: one with limits inside of :func:`limited_programs`, elsewhere any."""
    if getattr(_mine, "seconds", None) is None:
        return subprocess.Popen(words, *more, **settings)
    return _Popen(words, **settings)


@contextlib.contextmanager
def limited_programs(seconds: float) -> Iterator[None]:
    """While it is entered, what this thread starts by :func:`popen` is ended after so many seconds.

    :raises ProgramEnded: in the call of the library, for such a program.
    """
    before, _mine.seconds = getattr(_mine, "seconds", None), seconds
    try:
        yield
    finally:
        _mine.seconds = before


def limit_library(*modules: Any) -> None:
    """Have modules that import ``subprocess`` start programs by :func:`popen`, for the rest of the process.

    They have no parameter for it. Doing that again changes nothing, and so does it in other threads.
    """
    for module in modules:
        if getattr(module, "subprocess", None) is subprocess:
            module.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": popen})
