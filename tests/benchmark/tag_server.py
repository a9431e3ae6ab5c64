# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that has one repository with very many tags, and gives them out a thousand at a time.

    python tag_server.py COUNT

Tags are versions in a fixed, random order, as registries list them that do not sort. Nothing but their list is served.
"""

from __future__ import annotations

import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PER_PAGE = 1000
REPOSITORY = "many/tags"


def all_tags(count: int) -> list[str]:
    versions = [f"{number // 4000}.{number // 50 % 80}.{number % 50}" for number in range(count)]
    versions = [f"{version}-rc.1" if number % 7 == 0 else version for number, version in enumerate(versions)]
    random.Random(1).shuffle(versions)
    return versions


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # an answer goes out as one piece: two small ones would wait for each other on the way
    wbufsize = 64 * 1024
    pages: dict[str, tuple[bytes, str]] = {}

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/v2/":
            self._answer(b"{}", "")
            return
        last = parse_qs(parts.query).get("last", [""])[0]
        page = self.pages.get(last) if parts.path == f"/v2/{REPOSITORY}/tags/list" else None
        if page is None:
            self.send_error(404)
            return
        self._answer(*page)

    def _answer(self, body: bytes, link: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if link:
            self.send_header("Link", link)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the list is what is measured."""


def main() -> None:
    tags = all_tags(int(sys.argv[1]))
    last = ""
    for start in range(0, len(tags), PER_PAGE):
        page = tags[start : start + PER_PAGE]
        is_final = start + PER_PAGE >= len(tags)
        link = "" if is_final else f'</v2/{REPOSITORY}/tags/list?n={PER_PAGE}&last={page[-1]}>; rel="next"'
        Handler.pages[last] = (json.dumps({"name": REPOSITORY, "tags": page}).encode(), link)
        last = page[-1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
