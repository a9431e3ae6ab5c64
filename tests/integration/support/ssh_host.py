# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second host: a real sshd on the loopback address, whose sessions have a home and an environment of their own."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from support.servers import end_with_parent
from support.tools import Tools

START_TIMEOUT = 20.0
NAME = "second-host"

# As root, sshd wants a directory and a user that only an installed one has: it gets both in mounts of its own.
_AS_ROOT = """
mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd
if ! getent passwd sshd >/dev/null; then
    { cat /etc/passwd; echo 'sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin'; } >"$1"
    mount --bind "$1" /etc/passwd
fi
shift
exec "$@"
"""


@dataclass(frozen=True)
class SshHost:
    """A running sshd, and the inventory that has it as `NAME`."""

    port: int
    home: Path  # of the user there, in place of the real one
    inventory: Path


@contextmanager
def ssh_host(tools: Tools, folder: Path, python: str) -> Iterator[SshHost]:
    """`python` is the interpreter for modules there."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    host_key, user_key = (_make_key(folder / name) for name in ("host_key", "user_key"))
    session = folder / "session"
    session.write_text(
        "#!/bin/sh\n"
        f'cd {shlex.quote(str(home))} && exec env -i HOME="$PWD" PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 '
        'sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    session.chmod(0o700)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {user_key}.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"ForceCommand {session}\nPrintMotd no\nMaxStartups 100\n"
    )
    command = [tools["sshd"], "-D", "-e", "-f", str(configuration)]
    if os.geteuid() == 0:
        command = [
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            _AS_ROOT,
            "sh",
            f"{folder}/passwd",
            *command,
        ]
    with open(folder / "sshd.log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, preexec_fn=end_with_parent
        )
    try:
        _await_port(process, port, folder / "sshd.log")
        yield SshHost(port, home, _write_inventory(folder, port, host_key, user_key, python))
    finally:
        process.terminate()
        process.wait()


def _make_key(path: Path) -> Path:
    key = ed25519.Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_name(f"{path.name}.pub").write_bytes(public + b"\n")
    return path


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace")
                raise RuntimeError(f"sshd did not start (exit code {process.poll()}):\n{words}") from None
            time.sleep(0.05)


def _write_inventory(folder: Path, port: int, host_key: Path, user_key: Path, python: str) -> Path:
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {host_key.with_name('host_key.pub').read_text()}")
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": getpass.getuser(),
        "ansible_connection": "ssh",
        "ansible_ssh_executable": shutil.which("ssh") or "ssh",
        "ansible_ssh_private_key_file": user_key,
        # no connection is kept: nothing is left when the run ends
        "ansible_ssh_args": f"-F none -o ControlMaster=no -o ControlPath=none -o UserKnownHostsFile={known}",
        # one connection for a task; one that sets it to false has its module in a file there, which takes six
        "ansible_pipelining": "true",
        "ansible_ssh_transfer_method": "piped",
        # Ansible takes the home for these from the user database
        "ansible_remote_tmp": folder / "home/.ansible/tmp",
        "ansible_async_dir": folder / "home/.ansible_async",
        "ansible_python_interpreter": python,
    }
    inventory = folder / "second-host.ini"
    inventory.write_text(
        f"{NAME} {' '.join(f'{name}={shlex.quote(str(value))}' for name, value in variables.items())}\n"
    )
    return inventory
