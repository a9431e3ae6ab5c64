# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change the deciding code in many small ways, and see that for each change a unit test fails.

    python3 tests/mutation/run.py [--jobs N] [MODULE ...]

A MODULE is one of scope.py, or a part of its name, such as ``_ops/pull`` or ``_trust``; without one, all are looked at.
Sets up a virtual environment and copies of the collection in .work/. Prints each change that no test notices, unless
equivalent.txt says why none can, and each entry there that fits no change any more; exits with 1 if there is any.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
SUPPORT = CHECKOUT / "tests/support"
sys.path.insert(0, str(SUPPORT))

from pythons import allowed_cores, discover
from venvs import child_environment, make_venv


def main() -> int:
    """Run the worker within its own environment; returns its exit code."""
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    cores = allowed_cores(discover())
    if not cores or cores[-1].python.minor < 12:
        print("tests/mutation/run.py needs a Python from 3.12 on, with venv and ensurepip")
        return 2
    core = cores[-1]
    names = ("tests/support/requirements-tests.txt", "tests/support/requirements-mutation.txt", "requirements.txt")
    folder = CHECKOUT / ".work/venvs" / f"mutation-{core.release}-3.{core.python.minor}"
    files = [CHECKOUT / name for name in names]
    bin_folder = make_venv(folder, core.python, [f"ansible-core~={core.release}.0"], files)
    command = [str(bin_folder / "python"), str(HERE / "session.py"), *sys.argv[1:]]
    code = subprocess.run(command, check=False, env=child_environment(), stdin=subprocess.DEVNULL).returncode
    if code < 0:
        print(f"the mutation run was ended by signal {-code}: what it has not reported was not tried")
    return code if code >= 0 else 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
