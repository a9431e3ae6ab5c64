# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy to an API server out of option, kubeconfig and environment. The cases of NO_PROXY are those of Go's own
test, ``golang.org/x/net/http/httpproxy``."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.proxy import (
    api_proxy,
    pool_manager,
    without_credentials,
)

SERVER = "https://kube.example.com:6443"
PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("server", "option", "of_cluster", "environ", "proxy"),
    [
        (SERVER, "", "", {}, ""),
        (SERVER, "", "", {"HTTPS_PROXY": PROXY}, PROXY),
        (SERVER, "", "", {"https_proxy": PROXY}, PROXY),
        (SERVER, "", "", {"https_proxy": "http://lower", "HTTPS_PROXY": PROXY}, PROXY),
        (SERVER, "", "", {"https_proxy": PROXY, "HTTPS_PROXY": ""}, PROXY),
        (SERVER, "", "", {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY, "all_proxy": PROXY}, ""),
        ("http://kube.example.com", "", "", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://kube.example.com", "", "", {"HTTPS_PROXY": PROXY}, ""),
        (SERVER, "", "", {"HTTPS_PROXY": "proxy:3128"}, PROXY),
        (SERVER, "", "", {"HTTPS_PROXY": "socks5://proxy:1080"}, "socks5h://proxy:1080"),
        (SERVER, "", "http://own", {"HTTPS_PROXY": PROXY}, "http://own"),
        (SERVER, "", "http://own", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "http://own"),
        ("https://127.0.0.1:6443", "", "http://own", {}, "http://own"),
        (SERVER, "http://mine", "http://own", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "http://mine"),
    ],
)
def test_where_a_proxy_comes_from(
    server: str, option: str, of_cluster: str, environ: dict[str, str], proxy: str
) -> None:
    assert api_proxy(server, option, of_cluster, environ) == proxy


@pytest.mark.parametrize(
    ("host", "exceptions", "is_used"),
    [
        # never by way of a proxy
        ("localhost", "", False),
        ("127.0.0.1", "", False),
        ("127.0.0.2", "", False),
        ("[::1]", "", False),
        ("[::2]", "", True),
        ("192.168.1.1", "*", False),
        ("192.168.1.1", "192.168.1.1", False),
        ("192.168.1.2", "192.168.1.1", True),
        ("192.168.1.3", "192.168.0.0/16", False),
        ("10.0.0.2", "10.0.0.0/8", False),
        ("10.0.0.2:6443", "10.0.0.2:6443", False),
        ("10.0.0.2:6444", "10.0.0.2:6443", True),
        ("example.com", "example.com", False),
        ("EXAMPLE.com.", "example.com", False),
        ("www.example.com", "example.com", False),
        ("notexample.com", "example.com", True),
        ("example.com", ".example.com", True),
        ("www.example.com", ".example.com", False),
        ("example.com", "*.example.com", True),
        ("www.example.com", "*.example.com", False),
        ("example.com:80", "example.com:80", False),
        ("example.com:443", "example.com", False),
        ("example.com", " other.com , example.com ", False),
        # Go separates entries by commas alone
        ("example.com", "other.com example.com", True),
    ],
)
def test_what_is_exempt(host: str, exceptions: str, is_used: bool) -> None:
    for names in (("HTTPS_PROXY", "NO_PROXY"), ("https_proxy", "no_proxy")):
        environ = dict(zip(names, (PROXY, exceptions)))
        assert api_proxy(f"https://{host}", "", "", environ) == (PROXY if is_used else "")


def test_what_is_no_proxy() -> None:
    for where in ({"option": "ftp://a:secret@b"}, {"option": "", "of_cluster": "ftp://a:secret@b"}):
        with pytest.raises(InvalidOption) as caught:
            api_proxy(SERVER, **where)
        assert "secret" not in str(caught.value)
    assert without_credentials("http://keeper:secret@proxy:3128") == PROXY


def test_credentials_in_any_script() -> None:
    for user, header in (("u:p%E2%82%AC", "dTpw4oKs"), ("me:s3cret", "bWU6czNjcmV0")):
        headers = pool_manager(f"http://{user}@proxy:3128").proxy_headers
        assert dict(headers) == {"proxy-authorization": f"Basic {header}"}
