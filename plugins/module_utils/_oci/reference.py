# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of references: ``[oci://]host[:port]/repository[:tag][@digest]``, ``oci-layout:PATH[:tag][@digest]`` and
``oci-archive:PATH[:tag][@digest]``.

Repository and tag follow the distribution specification ("Pulling manifests"), the digest the image
specification. The first part is a host under go-containerregistry's rule (a dot, a port or ``localhost``), but a
name without a host is refused instead of being looked up on Docker Hub.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from .._errors import InvalidReference
from .digest import is_digest, parse_digest

SCHEME = "oci://"
LAYOUT_SCHEME, ARCHIVE_SCHEME = "oci-layout:", "oci-archive:"
PATH_SCHEMES = (LAYOUT_SCHEME, ARCHIVE_SCHEME)
DEFAULT_TAG = "latest"
MAX_LENGTH = 4096
MAX_REPOSITORY_LENGTH = 255
DOCKER_HUB = "docker.io"
DOCKER_HUB_HOSTS = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")

# as text: a pattern is compiled only when a reference has that part
_HOST = (
    r"(?P<name>\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)"
    r"(?::(?P<port>[0-9]{1,5}))?\Z"
)
_REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z"
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
_CONTROL_OR_SPACE = r"[\x00-\x20\x7f]"


class Reference(NamedTuple):
    """The location of an artifact: a repository of a registry, or an OCI image layout, with an optional tag and digest.

    ``registry`` is ``host[:port]`` and empty for a layout; ``layout`` is the path of the directory, or of the tar file
    with ``is_archive``, and empty for a registry.
    """

    registry: str = ""
    repository: str = ""
    layout: str = ""
    tag: str = ""
    digest: str = ""
    is_archive: bool = False

    @property
    def is_layout(self) -> bool:
        return bool(self.layout)

    @property
    def name(self) -> str:
        """The location without tag and digest, as people write it: ``ghcr.io/org/app`` or ``oci-layout:/srv/oci``."""
        return PATH_SCHEMES[self.is_archive] + self.layout if self.layout else f"{self.registry}/{self.repository}"

    @property
    def url(self) -> str:
        """The location without tag and digest, as Flux writes it: ``oci://ghcr.io/org/app``."""
        return self.name if self.layout else SCHEME + self.name

    @property
    def identifier(self) -> str:
        """The digest when there is one, otherwise the tag (may be empty): the identifier in requests."""
        return self.digest or self.tag

    def at(self, *, tag: str = "", digest: str = "") -> Reference:
        """The same location with another tag and digest."""
        return self._replace(tag=tag, digest=digest)

    def __str__(self) -> str:
        text = self.name
        if self.tag:
            text += ":" + self.tag
        if self.digest:
            text += "@" + self.digest
        return text


@cache
def _tag_grammar() -> re.Pattern[str]:
    return re.compile(_TAG)


def is_tag(text: object) -> bool:
    """True for text that the distribution specification allows as a tag (1 to 128 characters)."""
    return isinstance(text, str) and _tag_grammar().match(text) is not None


def check_tag(text: str) -> str:
    """Return the tag unchanged.

    :raises InvalidReference: when it is outside the grammar.
    """
    if not is_tag(text):
        raise InvalidReference(
            f"{text[:200]!r} is not a tag: wanted 1 to 128 letters, digits, '.', '_' and '-', "
            "not starting with '.' or '-'.",
            "A Helm version such as 1.2.3+build is tagged 1.2.3_build." if "+" in text else "",
        )
    return text


def parse_reference(text: str) -> Reference:
    """Parse the complete short form, as in ``contoso.azurecr.io/marketing/campaign1/chart:1.1``.

    :raises InvalidReference: when any part is outside the grammar.
    """
    _check_text(text)
    if text.startswith(PATH_SCHEMES):
        return _parse_layout(text)
    rest = text[len(SCHEME) :] if text.startswith(SCHEME) else text
    scheme, separator, _place = rest.partition("://")
    if separator:
        # no more of the text is repeated: it may be a URL with a password
        raise InvalidReference(
            f"The reference has an unknown scheme: {scheme[:50]!r}.",
            "Write it as oci://host/repository:tag or without a scheme; plain HTTP is chosen with 'insecure'.",
        )
    if "@" in rest.partition("/")[0]:
        # the text is not repeated: what stands before the host is a user name and often a password
        raise InvalidReference(
            "The reference carries something before its host, as in user@host.",
            "Credentials are given in 'username' and 'password' or in a docker config, never in the reference.",
        )
    rest, at, digest = rest.partition("@")
    if at:
        _check_digest(digest, text)
    host, slash, path = rest.partition("/")
    if not slash or not path:
        raise InvalidReference(f"The reference {text[:300]!r} names no repository.", "Write it as host/repository:tag.")
    path, colon, tag = path.partition(":")
    if colon:
        _check_part(_TAG, tag, "tag", text)
    registry = _parse_host(host, text)
    if registry in DOCKER_HUB_HOSTS:
        registry, path = DOCKER_HUB, path if "/" in path else "library/" + path
    if len(path) > MAX_REPOSITORY_LENGTH:
        raise InvalidReference(f"The repository in {text[:300]!r} is longer than {MAX_REPOSITORY_LENGTH} characters.")
    _check_part(_REPOSITORY, path, "repository", text)
    return Reference(registry=registry, repository=path, tag=tag, digest=digest)


def parse_registry(text: str) -> Reference:
    """Parse a registry, or a path in it that repositories are below: ``ghcr.io``, ``ghcr.io/org``.

    :raises InvalidReference: when it is neither.
    """
    place = text.rstrip("/")
    host = place[len(SCHEME) :] if place.startswith(SCHEME) else place
    # the added name makes a valid repository even when the path is empty
    found = parse_reference(f"{place}/any")
    if found.identifier or found.is_layout:
        raise InvalidReference(f"{text[:300]!r} is not a registry.", "Give a host, or a host and a path.")
    return Reference(registry=found.registry, repository=found.repository[: -len("/any")] if "/" in host else "")


def parse_url(text: str) -> Reference:
    """Parse Flux's ``url``: a location without tag and digest, with or without the scheme ``oci://``.

    :raises InvalidReference: when it is outside the grammar, or carries a tag or a digest.
    """
    reference = parse_reference(text)
    if reference.tag or reference.digest:
        raise InvalidReference(
            f"The url {text[:300]!r} carries a tag or a digest.",
            "Put it in 'tag' or 'digest', or give the whole in 'ref'.",
        )
    return reference


def parse_place(host: str, path: str) -> tuple[str, str]:
    """Parse a registry (``host[:port]``) and a namespace or repository of it, which may be empty; return both.

    :raises InvalidReference: when one is outside the grammar.
    """
    text = f"{host}/{path}" if path else host
    _check_text(text)
    registry = _parse_host(host, text)
    if path:
        _check_part(_REPOSITORY, path, "repository", text)
    return DOCKER_HUB if registry in DOCKER_HUB_HOSTS else registry, path


def _check_text(text: str) -> None:
    if not text:
        raise InvalidReference("The reference is empty.", "Write it as host/repository:tag.")
    if len(text) > MAX_LENGTH:
        raise InvalidReference(f"The reference is longer than {MAX_LENGTH} characters.")
    if re.search(_CONTROL if text.startswith(PATH_SCHEMES) else _CONTROL_OR_SPACE, text):
        raise InvalidReference(f"The reference {text[:300]!r} contains white space or control characters.")


def _parse_layout(text: str) -> Reference:
    scheme, _colon, path = text.partition(":")
    is_archive = text.startswith(ARCHIVE_SCHEME)
    digest = tag = ""
    head, at, last = path.rpartition("@")
    if at and "/" not in last:
        _check_digest(last, text)
        path, digest = head, last
    head, colon, last = path.rpartition(":")
    if colon and "/" not in last:
        _check_part(_TAG, last, "tag", text)
        path, tag = head, last
    if not path:
        raise InvalidReference(
            f"The reference {text[:300]!r} names no {'file' if is_archive else 'directory'}.",
            f"Write it as {scheme}:/path/of/the/{'archive.tar' if is_archive else 'layout'}:tag.",
        )
    return Reference(layout=path, tag=tag, digest=digest, is_archive=is_archive)


def _parse_host(host: str, text: str) -> str:
    match = re.match(_HOST, host)
    if not match or not 0 < int(match["port"] or 1) < 65536 or not _is_host_name(match["name"]):
        raise InvalidReference(f"The reference {text[:300]!r} has no valid host: {host[:300]!r}.")
    name = match["name"].lower()
    if not (match["port"] or "." in name or name.startswith("[") or name == "localhost"):
        raise InvalidReference(
            f"The reference {text[:300]!r} names no registry host: {host!r} has neither a dot nor a port.",
            f"For Docker Hub write docker.io/{host}/…; for a host of that name add its port, as in {host}:443/….",
        )
    return "{}:{}".format(name, int(match["port"])) if match["port"] else name


def _is_host_name(name: str) -> bool:
    """True for a host name (RFC 1035, section 2.3.4), or an IPv6 literal that ``ipaddress`` accepts."""
    if not name.startswith("["):
        return len(name) <= 253 and all(len(label) <= 63 for label in name.split("."))
    import ipaddress

    try:
        ipaddress.IPv6Address(name[1:-1])
    except ValueError:
        return False
    return True


def _check_digest(digest: str, text: str) -> None:
    if not is_digest(digest):
        try:
            parse_digest(digest)
        except InvalidReference as exc:
            raise InvalidReference(f"The reference {text[:300]!r} has no valid digest: {exc.message}") from None


def _check_part(pattern: str, value: str, what: str, text: str) -> None:
    if not re.match(pattern, value):
        hint = "Repositories are in lower case." if what == "repository" and value != value.lower() else ""
        raise InvalidReference(f"The reference {text[:300]!r} has no valid {what}: {value[:200]!r}.", hint)
