# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cut network: a network namespace in which some servers of this host can be reached, and nothing else.

A child process makes the namespace, listens there on the ports of the servers, and hands the open sockets over. What
connects to them is passed on from out here, so that a server has the same address on both sides. Commands get in by
``nsenter``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def cut_off(ports: Sequence[int]) -> Iterator[list[str]]:
    """Make the namespace; yield the words that a command is to begin with to run in it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, __file__, str(theirs.fileno()), json.dumps(list(ports))]
    with ours, subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]) as child:
        theirs.close()
        listeners: list[socket.socket] = []
        try:
            said, descriptors, _flags, _address = socket.recv_fds(ours, 16, len(ports))
            listeners += [socket.socket(fileno=descriptor) for descriptor in descriptors]
            if said != b"ready" or len(listeners) != len(ports):
                raise RuntimeError("the namespace was not made")
            for listener, port in zip(listeners, ports):
                threading.Thread(target=_serve, args=(listener, port), daemon=True).start()
            options = ["--net"] if os.geteuid() == 0 else ["--user", "--net", "--preserve-credentials"]
            yield ["nsenter", f"--target={child.pid}", *options, "--"]
        finally:
            for listener in listeners:
                # this ends the thread that waits for a connection; close alone does not
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            child.terminate()


def _serve(listener: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            inner, _address = listener.accept()
            outer = socket.create_connection((LOOPBACK, port))
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _be_the_namespace(channel: socket.socket, ports: Sequence[int]) -> None:
    # started as a program, in this folder
    from isolated import leave_the_network  # type: ignore[import-not-found]

    leave_the_network()
    listeners = [socket.create_server((LOOPBACK, port)) for port in ports]
    socket.send_fds(channel, [b"ready"], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()
    channel.close()
    # until whoever started this ends it, or is gone
    sys.stdin.read()


if __name__ == "__main__":
    _be_the_namespace(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]))
