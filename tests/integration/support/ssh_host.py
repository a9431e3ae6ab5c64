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

START_TIMEOUT = 120.0
NAME = "second-host"

# As root, sshd wants a directory and a user that only an installed one has: it gets both in mounts of its own, with
# further users.
_AS_ROOT = """
mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd
{
    cat /etc/passwd
    getent passwd sshd >/dev/null || echo 'sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin'
    printf '%s' "$2"
} >"$1"
chmod 644 "$1"
mount --bind "$1" /etc/passwd
shift 2
exec "$@"
"""
_FIRST_UID = 64900


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
    session = folder / "session"
    session.write_text(
        "#!/bin/sh\n"
        f'cd {shlex.quote(str(home))} && exec env -i HOME="$PWD" PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 '
        'sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    session.chmod(0o700)
    with _serving(tools, folder, f"ForceCommand {session}\n", "") as port:
        inventory = folder / "second-host.ini"
        # Ansible takes the home for these from the user database
        own = {"ansible_remote_tmp": home / ".ansible/tmp", "ansible_async_dir": home / ".ansible_async"}
        variables = {**_variables(folder, port, python), "ansible_user": getpass.getuser(), **own}
        inventory.write_text(_line(NAME, variables))
        yield SshHost(port, home, inventory)


@contextmanager
def ssh_users(tools: Tools, folder: Path, count: int, python: str) -> Iterator[Path]:
    """A sshd with users of its own (user0, user1, ...), as which root alone can run it; yields an inventory.

    Each user is a host of the group ``users``, and has a home of its name in ``folder``, which all of them reach.
    """
    entries, lines = "", ["[users]\n"]
    for number in range(count):
        name, uid, home = f"user{number}", _FIRST_UID + number, folder / f"user{number}"
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        entries += f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"
        lines.append(f"{name} ansible_user={name}\n")
    with _serving(tools, folder, "", entries) as port:
        variables = {**_variables(folder, port, python), "ansible_remote_tmp": "~/.ansible/tmp"}
        lines += ["[users:vars]\n", *(f"{name}={value}\n" for name, value in variables.items())]
        inventory = folder / "users.ini"
        inventory.write_text("".join(lines))
        yield inventory


@contextmanager
def _serving(tools: Tools, folder: Path, more: str, users: str) -> Iterator[int]:
    """A running sshd with keys in ``folder``; yields its port. ``users`` are lines of /etc/passwd for it alone."""
    with socket.socket() as held:
        # nobody else is given the port while it is held, and sshd, which sets this as well, may listen on it
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        with _listening(tools, folder, more, users, held.getsockname()[1]) as port:
            yield port


@contextmanager
def _listening(tools: Tools, folder: Path, more: str, users: str, port: int) -> Iterator[int]:
    host_key, user_key = (_make_key(folder / name) for name in ("host_key", "user_key"))
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {user_key}.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"{more}PrintMotd no\nMaxStartups 100\n"
    )
    command = [tools["sshd"], "-D", "-e", "-f", str(configuration)]
    if os.geteuid() == 0:
        own = ["unshare", "--mount", "--propagation=private", "sh", "-c", _AS_ROOT, "sh"]
        command = [*own, f"{folder}/passwd", users, *command]
    with open(folder / "sshd.log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, preexec_fn=end_with_parent
        )
    try:
        _await_port(process, port, folder / "sshd.log")
        yield port
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


def _variables(folder: Path, port: int, python: str) -> dict[str, object]:
    """How Ansible reaches the sshd of a folder."""
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_connection": "ssh",
        "ansible_ssh_executable": shutil.which("ssh") or "ssh",
        "ansible_ssh_private_key_file": folder / "user_key",
        # no connection is kept: nothing is left when the run ends
        "ansible_ssh_args": f"-F none -o ControlMaster=no -o ControlPath=none -o UserKnownHostsFile={known}",
        # one connection for a task; one that sets it to false has its module in a file there, which takes six
        "ansible_pipelining": "true",
        "ansible_ssh_transfer_method": "piped",
        "ansible_python_interpreter": python,
    }


def _line(name: str, variables: dict[str, object]) -> str:
    """A host in the format of an inventory."""
    words = " ".join(f"{variable}={shlex.quote(str(value))}" for variable, value in variables.items())
    return f"{name} {words}\n"
