# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the get-pip.py that ansible-test would download from ci-files.testing.ansible.com.

ansible-test takes a file of the right name in its cache as downloaded. This one needs PyPI alone.
"""

from __future__ import annotations

import runpy
import subprocess
import sys

if __name__ == "__main__":
    # ensurepip turns pip's configuration off for its own process, hence the child
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    sys.argv = ["pip", "install", *(a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel"))]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
