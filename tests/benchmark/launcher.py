# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small process that runs commands and says what they cost.

    python -I -S launcher.py

Each line of its input is a JSON document with ``argv``, ``environment``, ``folder`` and ``output`` (a file for standard
output and error); each line of its output one with ``wall``, ``user``, ``system`` (seconds), ``memory`` (bytes) and
``code``. It is a process of its own because the kernel counts the memory of whoever starts a command as the command's:
a large one would hide what small tools take.
"""

from __future__ import annotations

import json
import os
import sys
import time


def run(order: dict[str, object]) -> dict[str, float]:
    argv = [str(part) for part in order["argv"]]  # type: ignore[attr-defined]
    environment = dict(order["environment"])  # type: ignore[call-overload]
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.chdir(str(order["folder"]))
            nothing = os.open(os.devnull, os.O_RDONLY)
            output = os.open(str(order["output"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for source, target in ((nothing, 0), (output, 1), (output, 2)):
                os.dup2(source, target)
            os.execve(argv[0], argv, environment)
        finally:
            os._exit(127)
    _child, status, used = os.wait4(child, 0)
    return {
        "wall": time.perf_counter() - started,
        "user": used.ru_utime,
        "system": used.ru_stime,
        "memory": used.ru_maxrss * 1024,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status),
    }


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
