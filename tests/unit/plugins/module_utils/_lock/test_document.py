# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of lock files: what is written is read again, unchanged lines stay, and what makes no sense is refused."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock import document
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.document import LockFile
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.entry import (
    Entry,
    Request,
    canonical,
    request_of,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.refusals import LockInvalid

A, B = (f"sha256:{letter * 64}" for letter in "ab")
URL = "oci://registry.example.com/platform/config"
TIME = "2026-11-29T10:00:00Z"
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True, alphabet=st.characters(codec="ascii"))
URLS = st.sampled_from([URL, "oci://localhost:5000/a", "oci://docker.io/library/nginx", "oci-layout:/srv/a # b'\"é"])
# anything that a certificate or a regular expression may hold
TEXTS = st.text(max_size=30)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    url, version = draw(URLS), draw(TAGS)
    digest = "sha256:" + draw(st.sampled_from("abcdef012")) * 64
    filter_tags = canonical({"pattern": draw(TEXTS), "policy": {"numerical": {"order": "asc"}}})
    request = draw(
        st.one_of(
            st.just(Request(url, version)),
            st.builds(Request, st.just(url), st.just(""), st.sampled_from(["1.x", ">=1.10 <2"]), TEXTS, st.just("")),
            st.just(Request(url, "", "", "", filter_tags)),
        )
    )
    return Entry(request, version, digest, draw(TEXTS), draw(st.sampled_from(["", TIME])))


def text_of(found: list[Entry], before: str = "") -> str:
    return LockFile(before, "oci.lock.yml").with_entries(found) or before


def read(text: str) -> dict[Request, Entry]:
    return LockFile(text, "oci.lock.yml").entries


@given(st.lists(entries(), max_size=5), st.lists(entries(), max_size=5))
def test_what_is_written_is_read_again(first: list[Entry], second: list[Entry]) -> None:
    wanted: dict[Request, Entry] = {}
    for entry in [*first, *second]:
        known = wanted.get(entry.request)
        if known is None or not known.says_the_same(entry):
            wanted[entry.request] = entry
    text = text_of(second, text_of(first))
    assert read(text) == wanted
    assert list(read(text)) == sorted(wanted)
    # the same again changes nothing, in whatever order; and no order of writing makes another file
    assert LockFile(text, "").with_entries(reversed(list(wanted.values()))) is None
    assert text_of(list(wanted.values())) == text
    # any YAML reader, and any editor's lines, agree
    if wanted:
        assert len(yaml.safe_load(text)["artifacts"]) == len(wanted)


@given(st.lists(entries(), min_size=1, max_size=4, unique_by=lambda entry: entry.request))
def test_comments_and_other_entries_stay(found: list[Entry]) -> None:
    text = text_of(found)
    lines, numbers = [], itertools.count()
    for line in text.splitlines():
        if line.startswith("  - "):
            lines += ["", f"  # about {next(numbers)}"]
        lines.append(line)
    commented = "\n".join([*lines, "# the end"]) + "\n"
    assert read(commented) == read(text)
    new = Entry(found[0].request, found[0].version, f"sha256:{'f' * 64}", "somebody", TIME)
    after = text_of([new], commented)
    assert read(after) == {**read(text), new.request: new}
    comments = [line for line in commented.splitlines() if line.startswith(("  # about", "# the end"))]
    assert [line for line in after.splitlines() if line in comments] == comments
    # nothing but the lines of this entry
    assert {line for line in commented.splitlines() if line not in after.splitlines()} <= set(
        text_of([found[0]]).splitlines()
    )


def test_the_file() -> None:
    found = [
        Entry(Request(URL, "", "1.x"), "1.10", A, "key 12", TIME),
        Entry(Request("oci://registry.example.com/charts/podinfo", "6.7.1"), "6.7.1", B, "", TIME),
    ]
    assert text_of(found).splitlines()[4:] == [
        "lock_version: 1",
        "artifacts:",
        '  - url: "oci://registry.example.com/charts/podinfo"',
        '    version: "6.7.1"',
        f'    digest: "{B}"',
        f'    locked_at: "{TIME}"',
        '  - url: "oci://registry.example.com/platform/config"',
        '    version: "1.10"',
        f'    digest: "{A}"',
        '    semver: "1.x"',
        '    signer: "key 12"',
        f'    locked_at: "{TIME}"',
    ]


def test_a_file_in_another_layout_is_read_and_written_anew() -> None:
    for text in (
        f"# ours\nlock_version: 1\nartifacts: [{{url: '{URL}', version: 1.10, digest: {A}}}]\n",
        f"# ours\nlock_version: '1'\nartifacts:\n- {{url: {URL}, version: 1.10, digest: {A}}}\n",
        f"# ours\n---\nartifacts:\n-\n  url: {URL}\n  version: 1.10\n  digest: {A}\nlock_version: 1\n",
        f'{{"lock_version": 1, "artifacts": [{{"url": "{URL}", "version": "1.10", "digest": "{A}"}}]}}',
    ):
        assert read(text) == {Request(URL, "1.10"): Entry(Request(URL, "1.10"), "1.10", A)}
        after = text_of([Entry(Request(URL, "2"), "2", B)], text)
        assert {entry.digest for entry in read(after).values()} == {A, B}
        assert ("# ours" in after) == ("# ours" in text)


def test_what_counts_as_the_same() -> None:
    signed = Entry(Request(URL, "1"), "1", A, "key 12", TIME)
    text = text_of([signed])
    # a task that verifies nothing takes no signer away, and time alone is no change
    for same in (signed._replace(signer=""), signed._replace(locked_at="2027-01-01T00:00:00Z")):
        assert LockFile(text, "").with_entries([same]) is None
    for other in (signed._replace(signer="key 13"), signed._replace(digest=B, signer="")):
        assert read(text_of([other], text)) == {other.request: other}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "has no 'lock_version'"),
        ("services: {}\n", "not a lock file of this collection"),
        ("lock_version: 2\nartifacts: []\n", "has the format '2'"),
        ("lock_version: 1\nartifacts: {}\n", "has no list"),
        ("lock_version: 1\nmore: 1\n", "unknown key 'more'"),
        ("lock_version: 1\nlock_version: 1\n", "has the key 'lock_version' twice in one mapping (line 2)"),
        ("lock_version: 1\nartifacts: [1]\n", "entry 1 (line 2) no mapping"),
        ("a: [", "is not YAML"),
        ("a: &x 1\n", "an anchor, alias or tag"),
        ("a: *x\n", "an anchor, alias or tag"),
        ("a: !!python/object/apply:os.system [id]\n", "an anchor, alias or tag"),
        ("---\na: 1\n---\nb: 1\n", "several YAML documents"),
        ("# nothing\n", "is empty"),
        ("[" * 100 + "]" * 100, "is nested too deep"),
        ("\x00", "is not YAML"),
        ("? [a]\n: 1\n", "a key that is not text"),
    ],
)
def test_what_is_not_a_lock_file(text: str, problem: str) -> None:
    with pytest.raises(LockInvalid) as caught:
        LockFile(text, "oci.lock.yml")
    assert problem in caught.value.message and "oci.lock.yml" in caught.value.message
    assert caught.value.reason == "LockInvalid"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({}, "The reference is empty"),
        ({"url": f"{URL}:1", "digest": A}, "carries a tag or a digest"),
        ({"url": URL, "digest": A[:-1]}, "is not a digest"),
        ({"url": URL, "digest": A.upper()}, "is not a digest"),
        ({"url": URL, "version": "1"}, "is not a digest"),
        ({"url": URL, "version": "a b", "digest": A}, "is not a tag"),
        ({"url": URL, "version": ["1"], "digest": A}, "a 'version' that is not text"),
        ({"url": URL, "version": "1", "digest": A, "sha": "x"}, "unknown key 'sha'"),
        ({"url": URL, "semver": "1.x", "digest": A}, "without the 'version' that was selected"),
        ({"url": URL, "version": "1", "semver_filter": "x", "digest": A}, "a 'semver_filter' without 'semver'"),
        ({"url": URL, "version": "1", "filter_tags": "x", "digest": A}, "'filter_tags' that is not a mapping"),
    ],
)
def test_an_entry_that_makes_no_sense(entry: dict[str, object], problem: str) -> None:
    text = yaml.safe_dump({"lock_version": 1, "artifacts": [{"url": URL, "version": "0", "digest": B}, entry]})
    with pytest.raises(LockInvalid) as caught:
        LockFile(text, "oci.lock.yml")
    assert "in its entry 2 (line " in caught.value.message and problem in caught.value.message


def test_two_entries_for_one_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of([Entry(Request(URL, "1"), "1", A)])
    twice = text + f'  - url: "oci://REGISTRY.example.com/platform/config"\n    version: "1"\n    digest: "{B}"\n'
    with pytest.raises(LockInvalid, match=f"two entries for {URL}:1, the second in line 10"):
        LockFile(twice, "")
    monkeypatch.setattr(document, "MAX_ENTRIES", 1)
    with pytest.raises(LockInvalid, match="more than 1"):
        LockFile(text, "").with_entries([Entry(Request(URL, "2"), "2", A)])
    with pytest.raises(LockInvalid, match="2 entries, more than 1"):
        LockFile(twice.replace('version: "1"\n    digest: "sha256:b', 'version: "2"\n    digest: "sha256:b'), "")


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ({"ref": "registry.example.com/platform/config:1"}, Request(URL, "1")),
        ({"ref": "oci://Registry.example.com/platform/config:1", "tag": None}, Request(URL, "1")),
        ({"url": URL, "tag": "1"}, Request(URL, "1")),
        ({"url": URL}, Request(URL, "latest")),
        ({"ref": "docker.io/nginx"}, Request("oci://docker.io/library/nginx", "latest")),
        ({"url": URL, "tag": "1", "semver": "1.x"}, Request(URL, "", "1.x")),
        ({"url": URL, "tag": "1", "semver_filter": "-rc"}, Request(URL, "1")),
        ({"url": URL, "semver": "1.x", "semver_filter": "-rc"}, Request(URL, "", "1.x", "-rc")),
        (
            {"url": URL, "filter_tags": {"policy": {"numerical": {"order": "asc"}, "semver": None}, "pattern": "a"}},
            Request(URL, filter_tags='{"pattern": "a", "policy": {"numerical": {"order": "asc"}}}'),
        ),
        ({"ref": "oci-layout:/srv/bundle:1"}, Request("oci-layout:/srv/bundle", "1")),
        ({"ref": f"registry.example.com/a:1@{A}"}, None),
        ({"url": URL, "digest": A}, None),
        ({"url": URL, "pin": A}, None),
        ({"url": URL, "ref": "registry.example.com/a"}, None),
        ({}, None),
    ],
)
def test_what_a_task_asks_for(options: dict[str, object], request_: Request | None) -> None:
    assert request_of(options) == request_
