# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a registry: what is repeated, how long is waited, where redirects lead."""

from __future__ import annotations

import contextlib
import email.utils
import io
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    OciError,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import pauses
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http.answer import retry_after
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http.url import join, origin, redacted_url
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
)

MANIFEST = manifest_of()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.add_manifest(MANIFEST.raw, "1")
        yield server


# Retries


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_failures_are_repeated(server: FaultServer, status: int) -> None:
    server.script("GET", "", *[Answer(status)] * 3)
    harness = Harness(server)
    assert harness.repository.fetch_manifest("1").descriptor == MANIFEST.descriptor
    for wait, longest in zip(harness.sleeps, (0.5, 1.0, 2.0)):
        assert longest / 2 <= wait <= longest
    assert len(harness.sleeps) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 405, 418, 501])
def test_lasting_failures_are_not(server: FaultServer, status: int) -> None:
    server.always("GET", "", Answer(status))
    harness = Harness(server)
    with pytest.raises(OciError, match=f"status {status}|There is no"):
        harness.repository.fetch_manifest("1")
    assert (len(server.seen), harness.sleeps) == (1, [])


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_are_counted(server: FaultServer, retries: int) -> None:
    server.always("GET", "", Answer(503))
    with pytest.raises(RegistryError, match="status 503"):
        Harness(server, retries=retries).repository.fetch_manifest("1")
    assert len(server.seen) == retries + 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("seconds", "longest"), [(0, 0.5), (1, 1.5), (20, 25), (60, 75)])
def test_retry_after_is_honoured(server: FaultServer, status: int, seconds: int, longest: float) -> None:
    server.script("GET", "", Answer(status, {"Retry-After": str(seconds)}))
    harness = Harness(server)
    harness.repository.fetch_manifest("1")
    (slept,) = harness.sleeps
    assert seconds <= slept <= longest


def test_retry_after_as_a_date_is_honoured_whatever_the_clock_here_says(server: FaultServer) -> None:
    date, later = "Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:20 GMT"
    server.script("HEAD", "", Answer(429, {"Retry-After": later, "Date": date}))
    harness = Harness(server)
    harness.repository.resolve("1")
    assert 20 <= harness.sleeps[0] <= 25


def test_a_long_retry_after_is_not_waited_for(server: FaultServer) -> None:
    server.script("GET", "", Answer(429, {"Retry-After": "61"}))
    harness = Harness(server)
    with pytest.raises(RegistryError, match="limits the rate of requests: try again in 61 s, or log in"):
        harness.repository.list_tags()
    assert harness.sleeps == []


def test_hosts_that_were_turned_away_together_do_not_come_back_together(server: FaultServer) -> None:
    server.always("HEAD", "", Answer(429, {"Retry-After": "20"}))
    slept: list[float] = []
    for _host in range(20):
        harness = Harness(server, retries=1)
        with pytest.raises(RegistryError):
            harness.repository.resolve("1")
        slept += harness.sleeps
    assert max(slept) - min(slept) > 1
    assert len(set(slept)) == 20


@pytest.mark.parametrize("headers", [{"Retry-After": "45"}, {}])
def test_the_whole_wait_of_one_request_is_bounded(server: FaultServer, headers: dict[str, str]) -> None:
    server.always("GET", "", Answer(503, headers))
    harness = Harness(server, retries=1000)
    with pytest.raises(RegistryError):
        harness.repository.fetch_manifest("1")
    assert pauses.MAX_TOTAL - 60 <= sum(harness.sleeps) <= pauses.MAX_TOTAL + 1e-6


def test_the_whole_wait_of_many_requests_is_bounded(server: FaultServer) -> None:
    server.always("", "", Answer(503, {"Retry-After": "30"}))
    harness = Harness(server, retries=2)
    for _request in range(20):
        with pytest.raises(RegistryError):
            harness.repository.resolve("1")
    assert sum(harness.sleeps) <= pauses.MAX_TOTAL + 1e-6
    assert len(server.seen) < 60


@pytest.mark.parametrize("fault", [Answer(is_silent=True), Answer(stall=600, cut=0, body=b"x")])
def test_no_answer_is_repeated(server: FaultServer, fault: Answer) -> None:
    server.script("GET", "", fault)
    assert Harness(server, timeout=1.0, retries=20).repository.fetch_manifest("1") == MANIFEST


def test_a_registry_that_is_not_there() -> None:
    with FaultServer() as server:
        pass
    harness = Harness(server)
    with pytest.raises(ConnectionFailed, match="Connection refused"):
        harness.repository.resolve("1")
    assert len(harness.sleeps) == 3


def test_a_silent_registry_times_out(server: FaultServer) -> None:
    server.always("", "", Answer(200, stall=600, body=b"x", cut=0))

    def say_nothing(seen: object) -> Answer:
        server.wait(600)
        return Answer(is_silent=True)

    server.always("HEAD", "", say_nothing)
    start = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"no answer within 0.2 s"):
        Harness(server, timeout=0.2, retries=1).repository.resolve("1")
    assert time.monotonic() - start < 300


def test_a_body_is_sent_again_from_its_start(server: FaultServer) -> None:
    stream = io.BytesIO(b"0123456789")
    stream.seek(4)
    server.script("PUT", "", Answer(503), Answer(307, {"Location": "/v2/elsewhere"}), Answer(201))
    harness = Harness(server)
    harness.client.request("PUT", server.url + "/v2/x", scope="", body=stream)
    assert [seen.body for seen in server.seen] == [b"456789"] * 3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), ("-1", None), ("\u0663", None), ("1.5", None)],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_retry_after_as_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.5)
    assert retry_after(email.utils.formatdate(1_800_000_030, usegmt=True)) == 29.5
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0


@pytest.mark.parametrize(
    ("date", "seconds"),
    [("Sat, 01 Jan 2000 00:00:00 GMT", 30.0), ("Sat, 01 Jan 2000 00:01:00 GMT", 0.0), ("soon", 0.0), ("", 0.0)],
)
def test_retry_after_is_read_by_the_clock_of_the_answer(date: str, seconds: float) -> None:
    assert retry_after("Sat, 01 Jan 2000 00:00:30 GMT", date) == seconds


@given(
    st.one_of(
        st.text(max_size=50), st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} Jan [0-9]{1,9} [0-9:]{1,9} GMT", fullmatch=True)
    )
)
def test_any_retry_after_is_read(header: str) -> None:
    found = retry_after(header)
    assert found is None or found >= 0


# Redirects


def test_a_redirect_is_followed(server: FaultServer) -> None:
    server.script("GET", "/manifests/2", *[Answer(status, {"Location": "1"}) for status in (301, 302, 303, 307, 308)])
    for _status in range(5):
        assert Harness(server).repository.fetch_manifest("2") == MANIFEST


def test_redirects_end(server: FaultServer) -> None:
    server.always("GET", "", Answer(302, {"Location": "?again"}))
    with pytest.raises(OciError, match="redirected more than 5 times"):
        Harness(server).repository.list_tags()
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://[::1", "ftp://x/y", "http://h:99999/", "javascript:1"]
)
def test_redirects_out_of_the_web(server: FaultServer, location: str) -> None:
    server.script("GET", "", Answer(302, {"Location": location}))
    with pytest.raises(RegistryError, match="is not an http or https URL"):
        Harness(server).repository.list_tags()


@pytest.mark.parametrize(
    "location", ["http://" + "a" * 64 + ".example/", "http://x..y/", "http://\u00fc\u0308.example/", "http://a b/"]
)
def test_redirects_to_hosts_that_cannot_be(server: FaultServer, location: str) -> None:
    server.script("GET", "", Answer(302, {"Location": location.encode().decode("latin-1")}))
    with pytest.raises(OciError):
        Harness(server, retries=0).repository.list_tags()


def test_the_body_of_a_redirect_is_not_read(server: FaultServer) -> None:
    """Whoever read it would wait for ten minutes, and give up before."""
    away = Answer(307, {"Location": "1"}, bytes(4_000_000), has_length=False, drip=(3_000_000, 600.0))
    server.script("GET", "/manifests/2", away)
    assert Harness(server, retries=0).repository.fetch_manifest("2") == MANIFEST


def test_a_post_is_not_turned_into_a_get(server: FaultServer) -> None:
    server.always("POST", "", Answer(302, {"Location": "/v2/elsewhere"}))
    response = Harness(server).client.request("POST", server.url + "/v2/x", scope="")
    assert (response.status_code, len(server.seen)) == (302, 1)


# URLs


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://a", ("http", "a", 80)),
        ("https://A:443/x", ("https", "a", 443)),
        ("https://u:p@a:5000", ("https", "a", 5000)),
        ("http://[::1]:80/", ("http", "::1", 80)),
    ],
)
def test_origin(url: str, parts: tuple[str, str, int]) -> None:
    assert origin(url) == parts


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_location_is_joined_or_refused(url: str, location: str) -> None:
    with contextlib.suppress(RegistryError):
        origin(join("http://127.0.0.1:5000/" + url, location))
    assert redacted_url(location).isprintable()


@pytest.mark.parametrize("url", ["https://user:s3cret@h/p?s3cret#s3cret", "https://h/p?sig=s3cret", "//user:s3cret@h/"])
def test_secrets_in_urls_are_not_shown(url: str) -> None:
    assert "s3cret" not in redacted_url(url)


# What is imported


def test_importing_the_transport_loads_little() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info import info\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import decide\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import push\n"
        "print([name for name in 'requests urllib3 ssl'.split() if name in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
