# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of a repository; the client library oras is the judge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oras.container import Container

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.urls import RepositoryUrls, api_url

DIGEST = "sha256:" + "a" * 64
PART = st.from_regex(r"[a-z0-9]{1,5}(?:[._-][a-z0-9]{1,5})?", fullmatch=True)
HOST = st.sampled_from(["registry.example.com", "localhost:5000", "127.0.0.1:80", "[::1]:5000", "ghcr.io"])
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True)


@given(HOST, st.lists(PART, min_size=1, max_size=4).map("/".join), TAG)
def test_the_urls_of_oras(host: str, path: str, tag: str) -> None:
    reference = parse_reference(f"{host}/{path}:{tag}")
    judge = Container(str(reference))
    for is_encrypted, scheme in ((True, "https://"), (False, "http://")):
        urls = RepositoryUrls(api_url(reference.registry, is_encrypted), reference.repository)
        assert urls.manifest(tag) == scheme + judge.manifest_url()
        assert urls.manifest(DIGEST) == scheme + judge.manifest_url(DIGEST)
        assert urls.blob(DIGEST) == scheme + judge.get_blob_url(DIGEST)
        assert urls.uploads() == scheme + judge.upload_blob_url()
        assert urls.tags(100) == scheme + judge.tags_url(N=100)


def test_referrers() -> None:
    urls = RepositoryUrls(api_url("ghcr.io", True), "org/app")
    assert urls.referrers(DIGEST) == f"https://ghcr.io/v2/org/app/referrers/{DIGEST}"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("docker.io/alpine", "https://registry-1.docker.io/v2/library/alpine/manifests/1"),
        ("docker.io/org/app", "https://registry-1.docker.io/v2/org/app/manifests/1"),
        ("ghcr.io/org/app", "https://ghcr.io/v2/org/app/manifests/1"),
    ],
)
def test_docker_hub_has_another_host(name: str, url: str) -> None:
    reference = parse_reference(name)
    assert RepositoryUrls(api_url(reference.registry, True), reference.repository).manifest("1") == url
