# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real systemd that starts what a test gives it, in namespaces of its own: nothing of this machine is changed by it.

/tmp, /run, /var and /etc are private before it starts, /usr is read-only, its units are those of this machine that any
service needs, and its control groups lie below one that is removed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

UNITS = (
    "basic.target final.target local-fs.target multi-user.target network-online.target paths.target shutdown.target "
    "slices.target sockets.target sysinit.target systemd-journald.service systemd-journald.socket timers.target "
    "umount.target"
).split()
WANTS = {
    "multi-user.target": "timers.target",
    "sockets.target": "systemd-journald.socket",
    "sysinit.target": "systemd-journald.service",
}
COPIED = ("alternatives", "group", "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "os-release", "passwd", "ssl")
# hybrid, or the second version of control groups alone
HIERARCHIES = {"/sys/fs/cgroup/systemd": "cgroup -o none,name=systemd", "/sys/fs/cgroup/unified": "cgroup2"}
PLAIN_HIERARCHY = {"/sys/fs/cgroup": "cgroup2"}
DEADLINE = 300.0

# $1 is the folder of the test, $2 the folder with the private directories
BOOT = """\
set -eu
mount --bind /usr /usr
mount -o remount,bind,ro /usr
mount --bind "$2/units" /usr/lib/systemd/system
mount -t tmpfs none /usr/lib/systemd/system-generators
mount --bind "$2/etc" /etc
mount --bind "$2/var" /var
mount -t tmpfs -o mode=755 none /run
mkdir /run/test
mount --bind "$1" /run/test
mount -t tmpfs -o mode=1777 none /tmp
mkdir -p "$1"
mount --bind /run/test "$1"
{cgroups}
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
for private in /tmp /run /var /etc; do mountpoint -q "$private"; done
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    setpriv --bounding-set -sys_boot,-sys_module,-sys_rawio,-sys_time,-syslog \\
    /usr/lib/systemd/systemd --system --log-target=journal --show-status=no --unit=multi-user.target
"""


class BootedSystem:
    """A systemd that is running; ``inside`` has the words with which a command is run beside it."""

    def __init__(self, pid: int, private: Path) -> None:
        self.inside = ["nsenter", "--target", str(pid), "--mount", "--pid", "--cgroup", "--uts", "--ipc"]
        self.units = private / "etc/systemd/system"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.inside, *words], check=False, capture_output=True, text=True, timeout=DEADLINE)


@contextlib.contextmanager
def booted_system(folder: Path) -> Iterator[BootedSystem]:
    """Start systemd; ``folder`` has the same path in it."""
    if os.geteuid() != 0:
        pytest.skip("only root may start systemd")
    if not os.access("/usr/lib/systemd/systemd", os.X_OK):
        pytest.skip("this machine has no systemd")
    # beside the folder, which it is bound to
    private = folder.parent / f"{folder.name}-system"
    _make_private(private)
    hierarchies = HIERARCHIES if os.path.isdir("/sys/fs/cgroup/systemd") else PLAIN_HIERARCHY
    groups = [Path(hierarchy) / f"{folder.name}-{os.getpid()}" for hierarchy in hierarchies]
    for group in groups:
        group.mkdir()
    try:
        with _started(folder, private, hierarchies, groups) as pid:
            system = BootedSystem(pid, private)
            wait_for(lambda: system.run("systemctl", "is-active", "multi-user.target").stdout == "active\n")
            yield system
    finally:
        for group in groups:
            _remove_group(group)


def _make_private(private: Path) -> None:
    for name in ("etc/systemd/system", "var/lib", "var/log", "units"):
        (private / name).mkdir(parents=True)
    present = [f"/etc/{name}" for name in COPIED if os.path.lexists(f"/etc/{name}")]
    subprocess.run(["cp", "-a", *present, str(private / "etc")], check=True)
    (private / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    for unit in UNITS:
        shutil.copy(f"/usr/lib/systemd/system/{unit}", private / "units")
    for unit, wanted in WANTS.items():
        (private / f"units/{unit}.wants").mkdir()
        (private / f"units/{unit}.wants/{wanted}").symlink_to(f"../{wanted}")


@contextlib.contextmanager
def _started(folder: Path, private: Path, hierarchies: dict[str, str], groups: Sequence[Path]) -> Iterator[int]:
    """Yields the process ID of systemd, as it is seen from outside."""
    cgroups = ""
    if len(hierarchies) > 1:
        cgroups = "mount -t tmpfs none /sys/fs/cgroup\n" + "".join(f"mkdir {path}\n" for path in hierarchies)
    cgroups += "".join(f"mount -t {kind} none {path}\n" for path, kind in hierarchies.items())
    enter = "".join(f"echo $$ > '{group}/cgroup.procs'\n" for group in groups)
    kinds = "--mount --pid --fork --kill-child --cgroup --ipc --uts --propagation private --mount-proc"
    script = f'{enter}exec unshare {kinds} sh -c "$0" boot "$1" "$2"'
    words = ["sh", "-euc", script, BOOT.format(cgroups=cgroups), str(folder), str(private)]
    with open(private / "boot.log", "wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:

        def is_systemd() -> bool:
            assert process.poll() is None, (private / "boot.log").read_text()
            return any(Path(f"/proc/{pid}/comm").read_text() == "systemd\n" for pid in _children(process.pid))

        wait_for(is_systemd)
        yield _children(process.pid)[0]
    finally:
        # the kernel ends all that is in the namespace with its first process
        for pid in _children(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _remove_group(group: Path) -> None:
    def is_removed() -> bool:
        for path, _folders, _files in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        return not group.exists()

    wait_for(is_removed)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)
