# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of references."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidReference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import (
    Reference,
    check_tag,
    is_tag,
    parse_reference,
    parse_registry,
    parse_url,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4
PART = r"[a-z0-9]{1,8}(?:(?:[.]|_|__|-{1,3})[a-z0-9]{1,8}){0,2}"
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]{1,10}(?:-[a-z0-9]{1,5})?(?:\.[a-z0-9]{1,10}){1,3}(?::[1-9][0-9]{0,3})?", fullmatch=True),
    st.sampled_from(["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "[fe80::1]", "reg:443"]),
).filter(lambda host: "docker.io" not in host)
REPOSITORIES = st.from_regex(rf"{PART}(?:/{PART}){{0,3}}", fullmatch=True)
TAGS = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True))
DIGESTS = st.sampled_from(["", DIGEST, "sha512:" + "0123456789abcdef" * 8])


@given(HOSTS, REPOSITORIES, TAGS, DIGESTS, st.sampled_from(["", "oci://"]))
def test_references_come_back(host: str, repository: str, tag: str, digest: str, scheme: str) -> None:
    text = f"{host}/{repository}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    found = parse_reference(scheme + text)
    assert found == Reference(host, repository, "", tag, digest)
    assert str(found) == text
    assert found.identifier == (digest or tag)
    assert parse_url(found.url) == found.at()


PATHS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters=":@"), min_size=1, max_size=20
)


@given(PATHS, TAGS, DIGESTS, st.sampled_from(["oci-layout:", "oci-archive:"]))
def test_layouts_come_back(path: str, tag: str, digest: str, scheme: str) -> None:
    text = scheme + path + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    found = parse_reference(text)
    assert found == Reference("", "", path, tag, digest, scheme == "oci-archive:")
    assert str(found) == text
    assert found.is_layout
    assert parse_url(found.url) == found.at()


@pytest.mark.parametrize(
    ("text", "path", "tag"),
    [
        ("oci-layout:/a:b/c", "/a:b/c", ""),
        ("oci-layout:/a:b/c:1", "/a:b/c", "1"),
        ("oci-layout:/a@b/c:1", "/a@b/c", "1"),
        ("oci-layout:/a@b/c", "/a@b/c", ""),
        ("oci-layout:../rel", "../rel", ""),
        ("oci-layout:with space", "with space", ""),
        ("oci-archive:/a:b/c.tar:1", "/a:b/c.tar", "1"),
    ],
)
def test_paths_with_colons_and_at_signs(text: str, path: str, tag: str) -> None:
    found = parse_reference(text)
    assert (found.layout, found.tag) == (path, tag)
    assert parse_reference(f"{text}@{DIGEST}").digest == DIGEST


ALPHABET = st.sampled_from(
    list("aA0.:/@-_[]?#%\\ \n\t\0\x7f\u0661\u00e4\ud800") + ["..", "//", "oci://", "docker.io", DIGEST]
)


@given(st.one_of(st.text(max_size=60), st.lists(ALPHABET, max_size=12).map("".join)))
@example("a.b/../c")
@example("[::1%eth0]/a")
@example("a.b:99999/c")
@example("a.b:0/c")
@example("a.b/c:" + "x" * 129)
@example("a.b/" + "x" * 256)
@example("a" * 64 + ".b/c")
@example("[::::]/a")
@example("a.b/c\n")
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except InvalidReference as exc:
        assert len(str(exc)) < 2000
        return
    if found.is_layout:
        assert not re.search(r"[\x00-\x1f\x7f]", found.layout)
        return
    whole = str(found)
    assert re.fullmatch(r"[a-zA-Z0-9.:\[\]/_@-]+", whole)
    assert ".." not in found.registry + found.repository
    assert parse_reference(whole) == found


@pytest.mark.parametrize(
    "text",
    [
        "a" * 64 + ".b/c", ".".join("a" * 200) + "/c", "[::::]/a",
        "", "a", "a/b", "/a/b", "a.b", "a.b/", "a.b/c:", "a.b/c@", "a.b/c@sha256:xyz", "a.b/c@md5:" + "0" * 32,
        "a.b//c", "a.b/c:v1:v2", "a.b/C", "a.b/c d", " a.b/c", "a.b/c\n", "a.b/../c", "a.b/c:../v1", "a.b/c?x=1",
        "a.b/c#frag", "a.b/c%2f..", "a.b/c:-x", "a.b/c:.x", "-a.b/c", "a-.b/c", "a..b/c", "a.b:x/c", "a.b:/c",
        "a.b/c@" + DIGEST.upper(), "oci-layout:", "oci-layout::tag", "oci-layout:/a:b:", "oci-layout:/x@y",
        "oci-layout:/a\tb", "oci-layout:/a\x1b[31mb", "oci-archive:", "oci-archive::1", "oci-archive:/a\nb",
        "oci-archive:/x@y",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "user:s3cret@ghcr.io/a/b",
        "oci://user:s3cret@ghcr.io/a/b",
        "https://user:s3cret@ghcr.io/a/b",
        "oci://https://user:s3cret@ghcr.io/a/b",
    ],
)
def test_a_password_in_a_reference_is_not_repeated(text: str) -> None:
    for parse in (parse_reference, parse_url):
        with pytest.raises(InvalidReference) as failure:
            parse(text)
        if parse is parse_reference or text.startswith("oci://"):
            assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"])
def test_docker_hub_is_normalised(host: str) -> None:
    assert str(parse_reference(f"{host}/alpine:3")) == "docker.io/library/alpine:3"
    assert str(parse_reference(f"{host}/org/app")) == "docker.io/org/app"


def test_hosts_are_normalised() -> None:
    assert parse_reference("GHCR.io:0443/a").registry == "ghcr.io:443"
    assert parse_reference("[FE80::1]:5000/a").registry == "[fe80::1]:5000"


@pytest.mark.parametrize(
    "text", ["a.b/c:1", "a.b", "c/d", "oci://a.b/c:1", f"oci://a.b/c@{DIGEST}", "https://a.b/c", "oci-layout:/x:1"]
)
def test_a_url_has_no_tag_and_no_other_scheme(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_url(text)


@pytest.mark.parametrize("place", ["a.b/c", "localhost:5000/org/app", "docker.io/alpine"])
def test_a_url_is_the_same_without_its_scheme(place: str) -> None:
    assert parse_url(place) == parse_url(f"oci://{place}") == parse_reference(place)


@pytest.mark.parametrize("tag", ["", "a" * 129, "1.0+build", ".", "a b", "a\n", "\u0661"])
def test_what_is_no_tag(tag: str) -> None:
    assert not is_tag(tag)
    with pytest.raises(InvalidReference):
        check_tag(tag)


def test_tags() -> None:
    assert check_tag("_1.0-x") == "_1.0-x"
    assert not is_tag(None)


@pytest.mark.parametrize(
    ("text", "registry", "path"),
    [
        ("ghcr.io", "ghcr.io", ""),
        ("oci://ghcr.io/", "ghcr.io", ""),
        ("localhost:5000/org/charts/", "localhost:5000", "org/charts"),
        ("index.docker.io", "docker.io", ""),
        ("docker.io/org", "docker.io", "org"),
    ],
)
def test_registries(text: str, registry: str, path: str) -> None:
    found = parse_registry(text)
    assert (found.registry, found.repository, found.identifier) == (registry, path, "")


@pytest.mark.parametrize(
    "text", ["", "/", "org", "ghcr.io/org:1", "ghcr.io/Org", "oci-layout:/x", "oci-archive:/x", "https://ghcr.io"]
)
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_registry(text)
