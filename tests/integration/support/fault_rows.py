# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go wrong between a task and its registry: the rows of the table of faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fault_proxy import HTML, Answer, Fault, FaultProxy, Seen

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of

TWICE = 2
# seconds; short where a row waits for it, and else never reached
PATIENT, IMPATIENT = 60.0, 1.5
DATE, TWO_SECONDS_LATER = "Sat, 21 Nov 2026 02:00:00 GMT", "Sat, 21 Nov 2026 02:00:02 GMT"
LIE = digest_of(b"another manifest")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSAL = b'{"errors":[{"code":"UNAVAILABLE","message":"not now"}]}'


@dataclass(frozen=True)
class Strike:
    """Where a fault strikes an operation: requests of one kind, and a position in the body that they carry or bring."""

    method: str
    pattern: str
    at: int


@dataclass
class Scene:
    """What a row sets up: the proxy that the task is told, another host, and what happens when the task pauses."""

    proxy: FaultProxy
    other: FaultProxy
    on_pause: Callable[[int], None] = field(default=lambda _count: None)


Install = Callable[[Scene, Strike], None]


@dataclass(frozen=True)
class Row:
    name: str
    install: Install
    timeout: float = PATIENT


def _spoil(
    fault: Callable[[int], Fault], times: int | None, then: Fault | None = None, tokens: bool = False
) -> Install:
    """Spoil the first so many requests (None: all) where the fault strikes, and then all others in another way."""

    def install(scene: Scene, strike: Strike) -> None:
        if tokens:
            scene.proxy.require_tokens()
        spoiled = fault(strike.at)
        if times is None:
            scene.proxy.always(strike.method, strike.pattern, spoiled)
        else:
            scene.proxy.script(strike.method, strike.pattern, *[spoiled] * times)
        if then is not None:
            scene.proxy.always(strike.method, strike.pattern, then)

    return install


def _both(name: str, fault: Callable[[int], Fault], timeout: float = PATIENT, times: int = TWICE) -> list[Row]:
    how = {1: "once", TWICE: "twice"}[times]
    return [
        Row(f"{name}, {how}", _spoil(fault, times), timeout),
        Row(f"{name}, always", _spoil(fault, None), timeout),
    ]


def _answer(status: int, body: bytes = REFUSAL, content_type: str = "application/json", **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(answer=Answer(status, {"Content-Type": content_type, **named}, body))


def _answers(*statuses: int) -> list[Row]:
    return [
        Row(f"status {status}, twice", _spoil(lambda _at, status=status: _answer(status), TWICE))  # type: ignore[misc]
        for status in statuses
    ]


def _refuse(lasting: bool) -> Install:
    def install(scene: Scene, strike: Strike) -> None:
        scene.proxy.refuse()

        def accept(count: int) -> None:
            if count == TWICE and not lasting:
                scene.proxy.accept()

        scene.on_pause = accept

    return install


def _redirect(to_itself: bool) -> Install:
    def install(scene: Scene, strike: Strike) -> None:
        scene.proxy.require_tokens()
        # another name of this host, so that it is another host to the task
        place = "" if to_itself else f"http://localhost:{scene.other.port}"

        def away(seen: Seen) -> Answer:
            return Answer(307, {"Location": place + seen.target})

        scene.proxy.always(strike.method, strike.pattern, Fault(answer=away))

    return install


def _no_range(seen: Seen) -> Answer | None:
    return Answer(416) if seen.range else None


def _no_open_range(seen: Seen) -> Answer | None:
    return Answer(416) if re.search(r"\d-\Z", seen.range) else None


def _tokens(fault: Fault, times: int | None) -> Install:
    def install(scene: Scene, _strike: Strike) -> None:
        scene.proxy.require_tokens()
        if times is None:
            scene.proxy.always("", "^/token", fault)
        else:
            scene.proxy.script("", "^/token", *[fault] * times)

    return install


def _html(status: int) -> Fault:
    return _answer(status, HTML, "text/html; charset=utf-8")


def rows() -> Sequence[Row]:
    return [
        Row("connection refused, twice", _refuse(lasting=False)),
        Row("connection refused, always", _refuse(lasting=True)),
        *_both("closed without an answer", lambda _at: Fault(is_silent=True)),
        *_both("reset at byte N", lambda at: Fault(reset_at=at)),
        *_both("closed at byte N", lambda at: Fault(close_at=at)),
        *_both("stall at byte N", lambda at: Fault(stall_at=at), IMPATIENT),
        *_both("slow drip (20 bytes/s)", lambda _at: Fault(drip=(1, 0.05)), IMPATIENT),
        *_both("slow drip in the head (a byte each 0.3 s)", lambda _at: Fault(drip_head=(1, 0.3)), IMPATIENT),
        Row("interim answers (100) without end", _spoil(lambda _at: Fault(interim=CONTINUE), None), IMPATIENT),
        Row(
            "chunked, with a trailer without end",
            _spoil(lambda _at: Fault(is_chunked=True, trailer=b"A: b\r\n" * 50), None),
            IMPATIENT,
        ),
        *_both("wrong bytes", lambda at: Fault(garble_at=at), times=1),
        *_both("length says more", lambda _at: Fault(claim=10), times=1),
        *_both("length says less", lambda _at: Fault(claim=-10), times=1),
        Row("chunked, always", _spoil(lambda _at: Fault(is_chunked=True), None)),
        *_both("HTML page, status 200", lambda _at: _html(200), times=1),
        *_both("HTML page, status 502", lambda _at: _html(502)),
        Row("HTML page, status 404, always", _spoil(lambda _at: _html(404), None)),
        Row("lying Docker-Content-Digest, always", _spoil(lambda _at: Fault(digest=LIE), None)),
        *_answers(500, 502, 503, 504),
        Row("status 503, always", _spoil(lambda _at: _answer(503), None)),
        Row("status 503, Retry-After: 2, twice", _spoil(lambda _at: _answer(503, Retry_After="2"), TWICE)),
        Row("status 429, Retry-After: 2, twice", _spoil(lambda _at: _answer(429, Retry_After="2"), TWICE)),
        Row(
            "status 429, Retry-After: a moment 2 s away, twice",
            _spoil(lambda _at: _answer(429, Retry_After=TWO_SECONDS_LATER, Date=DATE), TWICE),
        ),
        Row("status 429, Retry-After: 3600", _spoil(lambda _at: _answer(429, Retry_After="3600"), None)),
        Row("status 429, always", _spoil(lambda _at: _answer(429), None)),
        Row("status 401 in the middle, once", _spoil(lambda _at: Fault(refuses_token=True), 1, tokens=True)),
        Row("status 401 in the middle, always", _spoil(lambda _at: Fault(refuses_token=True), None, tokens=True)),
        Row("redirect to another host", _redirect(to_itself=False)),
        Row("redirect loop", _redirect(to_itself=True)),
        Row(
            "reset at byte N, Range is ignored",
            _spoil(lambda at: Fault(reset_at=at), 1, then=Fault(ignores_range=True)),
        ),
        Row(
            "reset at byte N, open ranges get 416",
            _spoil(lambda at: Fault(reset_at=at), 1, then=Fault(answer=_no_open_range)),
        ),
        Row(
            "reset at byte N, all ranges get 416",
            _spoil(lambda at: Fault(reset_at=at), 1, then=Fault(answer=_no_range)),
        ),
        Row("token server: status 503, twice", _tokens(_answer(503), TWICE)),
        Row("token server: status 503, always", _tokens(_answer(503), None)),
        Row("token server: status 429, Retry-After: 2, twice", _tokens(_answer(429, Retry_After="2"), TWICE)),
        Row("token server: closed without an answer, always", _tokens(Fault(close_at=0), None)),
        Row("token server: slow drip in the head, always", _tokens(Fault(drip_head=(1, 0.3)), None), IMPATIENT),
        Row("token server: HTML page, status 200", _tokens(_html(200), None)),
        Row("token server: status 401", _tokens(_answer(401), None)),
    ]
