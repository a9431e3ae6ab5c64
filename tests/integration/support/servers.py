# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real registries on the loopback address, each a child process with its own storage and access log."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from secret_search import MARK
from support.certificates import ServerCertificate
from token_server import TokenServer

START_TIMEOUT = 120.0
# A server writes a log line just after it answered. The log is complete when it has the line of a request that was made
# to find that out, so that the server had its turn on a busy machine, and has been quiet for so many seconds.
LOG_QUIET = 0.06
_MARKER = "/v2/?log-is-complete="

# The hash is bcrypt's, at its lowest cost. Long and odd, since Ansible blanks a password in every result it appears in;
# with the mark that a search for secrets goes by.
USERNAME = "tester"
PASSWORD = f"N0t:a/Real+{MARK}=of~any%20one"
PASSWORD_HASH = "$2a$04$S9/aT5HT0NJ7hzzgAIkI1O.ufAWGQgGDPuuoBWuS63e4yAyR6LIyO"

# `127.0.0.1 - user [21/Nov/2026:02:19:00 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "agent"`, Apache's combined format
_COMBINED = re.compile(r'^\S+ - .*? \[[^\]]+\] "(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[\d.]+" (?P<status>\d{3}) ')
_SHORT = re.compile(r"^(?P<method>[A-Z]+) (?P<target>/\S*) (?P<status>\d{3})$")
_LISTENING = re.compile(r"listening on (?:\[[\d:]+\]|[\d.]+):(?P<port>\d+)")


class Request(NamedTuple):
    """One line of an access log. The path includes the query, as it came over the wire."""

    method: str
    path: str
    status: int


@dataclass
class RegistryServer:
    """A running registry."""

    port: int
    access_log: Path
    scheme: str = "http"
    username: str | None = None
    password: str | None = None
    ca_cert: Path | None = None
    address: str = "127.0.0.1"

    @property
    def host(self) -> str:
        """What goes in front of the repository in a reference."""
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def mark(self) -> int:
        """The position in the access log after everything that has happened so far."""
        return len(self._all_requests())

    def requests(self, since: int = 0) -> list[Request]:
        """The requests the server says it answered, in order, from a mark on."""
        return self._all_requests()[since:]

    def _all_requests(self) -> list[Request]:
        marker = f"{_MARKER}{secrets.token_hex(8)}".encode()
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._ask(marker.decode())
            deadline = time.monotonic() + START_TIMEOUT
            while marker not in self.access_log.read_bytes():
                assert time.monotonic() < deadline, "the server does not write its log"
                time.sleep(0.005)
        size, quiet_since = -1, time.monotonic()
        while time.monotonic() - quiet_since < LOG_QUIET:
            now = self.access_log.stat().st_size
            if now != size:
                size, quiet_since = now, time.monotonic()
            time.sleep(0.01)
        found = _parse(self.access_log.read_text(errors="replace"))
        return [each for each in found if not each.path.startswith(_MARKER)]

    def _ask(self, path: str) -> None:
        """Make a request of which only the line in the log matters.

        :raises OSError: when there is no server any more, or it wants a certificate.
        """
        connection = http.client.HTTPConnection(self.address, self.port, timeout=START_TIMEOUT)
        if self.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.ca_cert))
            connection = http.client.HTTPSConnection(self.address, self.port, timeout=START_TIMEOUT, context=context)
        with contextlib.closing(connection):
            connection.request("GET", path)
            connection.getresponse().read()


def _parse(log: str) -> Iterator[Request]:
    for line in log.splitlines():
        match = _COMBINED.match(line) or _SHORT.match(line)
        if match:
            yield Request(match["method"], match["target"], int(match["status"]))


def _clean_environment() -> dict[str, str]:
    """REGISTRY_* variables would override the configuration; OTEL_* makes Distribution look for a collector."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "OTEL_"))}
    return {**kept, "OTEL_TRACES_EXPORTER": "none"}


_HELD: list[socket.socket] = []


def hold_port(address: str = "127.0.0.1") -> int:
    """A port that is free, and that no other process is given as long as this one lives.

    Who sets SO_REUSEADDR, as servers do, may listen on it, also several times: until then, in between and afterwards
    connections are refused, where else the server of another test might answer.
    """
    held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((address.strip("[]"), 0))
    _HELD.append(held)
    return int(held.getsockname()[1])


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """A test run that is killed runs no teardown: on Linux the kernel ends its servers."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _running(command: list[str | Path], folder: Path) -> Iterator[tuple[int, Path]]:
    """Run a server; yield the port that it says it listens on, and the file of its standard output."""
    out_path, err_path = folder / "stdout.log", folder / "stderr.log"
    with open(out_path, "wb") as out, open(err_path, "wb") as err:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env=_clean_environment(),
            preexec_fn=end_with_parent,
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while True:
                logs = out_path.read_text(errors="replace") + err_path.read_text(errors="replace")
                match = _LISTENING.search(logs)
                if match:
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start (exit code {process.poll()}):\n{logs[-4000:]}")
                time.sleep(0.03)
            yield int(match["port"]), out_path
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def distribution(
    binary: Path,
    folder: Path,
    *,
    certificate: ServerCertificate | None = None,
    htpasswd: bool = False,
    tokens: TokenServer | None = None,
    auth: Mapping[str, object] | None = None,
    client_ca: Path | None = None,
    mirrored: RegistryServer | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
    notify: str = "",
) -> Iterator[RegistryServer]:
    """CNCF Distribution with deletes enabled.

    ``auth`` is a part of its configuration; ``htpasswd`` makes one, and ``tokens``, the server whose tokens it takes,
    another. With ``client_ca`` it wants a client certificate of that authority; with ``mirrored`` it is a pull-through
    cache of that registry, whose credentials it has. ``port`` is for one that was stopped and comes back: nobody else
    gets it in between. ``notify`` is the URL that it sends notifications to, again and again until they are taken.
    """
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
    }
    http: dict[str, object] = {"addr": f"{address}:{port or hold_port(address)}", "secret": "of no use to anyone"}
    config["http"] = http
    if certificate:
        tls: dict[str, object] = {"certificate": str(certificate.cert), "key": str(certificate.key)}
        http["tls"] = {**tls, "clientcas": [str(client_ca)]} if client_ca else tls
    if mirrored:
        config["proxy"] = {"remoteurl": mirrored.url, "username": mirrored.username, "password": mirrored.password}
    if htpasswd:
        (folder / "htpasswd").write_text(f"{USERNAME}:{PASSWORD_HASH}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    if tokens:
        config["auth"] = tokens.registry_auth(folder)
    if auth:
        config["auth"] = auth
    if notify:
        endpoint = {"name": "events", "url": notify, "timeout": "5s", "threshold": 3, "backoff": "500ms"}
        config["notifications"] = {"endpoints": [endpoint]}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with _running([binary, "serve", folder / "config.yml"], folder) as (chosen, log):
        yield RegistryServer(
            port=chosen,
            access_log=log,
            scheme="https" if certificate else "http",
            username=USERNAME if htpasswd else None,
            password=PASSWORD if htpasswd else None,
            ca_cert=certificate.ca_cert if certificate else None,
            address=address,
        )


@contextmanager
def oci11(binary: Path, folder: Path) -> Iterator[RegistryServer]:
    """A registry with the referrers API of OCI 1.1, which Distribution does not have."""
    with _running([binary, "--addr", f"127.0.0.1:{hold_port()}"], folder) as (port, log):
        yield RegistryServer(port=port, access_log=log)
