# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A link on which every request takes a while: what a client sends arrives so many seconds later.

    python slow_link.py PORT SECONDS

Forwards connections on a free port of 127.0.0.1 to PORT. Answers are passed on at once.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

SIZE = 256 * 1024


def forward(source: socket.socket, target: socket.socket, delay: float) -> None:
    buffer = bytearray(SIZE)
    view = memoryview(buffer)
    with contextlib.suppress(OSError):
        while True:
            count = source.recv_into(buffer)
            if not count:
                break
            if delay:
                time.sleep(delay)
            target.sendall(view[:count])
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def main() -> None:
    port, delay = int(sys.argv[1]), float(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        client, _address = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=forward, args=(client, server, delay), daemon=True).start()
        threading.Thread(target=forward, args=(server, client, 0.0), daemon=True).start()


if __name__ == "__main__":
    main()
