# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a verification where there is no network: a namespace with its own loopback, and a registry in it.

Reads {registry, folder, row, collections, interpreter} from standard input, prints the module's result.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def leave_the_network() -> None:
    """Enter a network namespace that has nothing but a loopback interface."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        (found,) = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", found | IFF_UP, b""))


def main() -> None:
    job = json.load(sys.stdin)
    leave_the_network()
    try:
        socket.create_connection(("192.0.2.1", 443), timeout=1).close()
    except OSError as exc:
        print(f"no way out: {exc}")
    else:
        raise SystemExit("this namespace has a network")
    from support import servers, vectors
    from support.ansible_runner import AnsibleRunner

    folder = Path(job["folder"])
    for name in ("server", "home"):
        (folder / name).mkdir()
    ansible = AnsibleRunner(Path(job["collections"]), folder / "home", job["interpreter"])
    with servers.distribution(Path(job["registry"]), folder / "server") as server:
        name = vectors.publish(job["row"], server.host)
        result = ansible.task(
            "cloudnative.artifacts.oci_artifact_verify",
            ref=f"{server.host}/{name}:{job['row']['ref']}",
            insecure=True,
            **vectors.options(job["row"]),
        )
    print(json.dumps(dict(result)))


if __name__ == "__main__":
    main()
