# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amazon Elastic Container Registry, private and public: GetAuthorizationToken, by ``botocore``.

Signatures, endpoints and the search for an identity are botocore's: what works for the AWS CLI on a host works here.
Source: Amazon ECR API Reference and Amazon ECR Public API Reference, GetAuthorizationToken; "Amazon ECR service
endpoints".
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .._errors import AuthenticationFailed, ConnectionFailed, InvalidOption, OciError
from .._files.bounded import MAX_CERTIFICATES, FileRefused, read_pem
from .._files.threads import OutOfTime, run_within
from .._http.pace import paced_pool
from .._http.url import redacted_url
from .._login.credential import Credential
from .._oci.options import ConnectionOptions
from .._packages import require
from .flow import environment, redacted

TITLE = "AWS"
HOSTS = "<account>.dkr.ecr.<region>.amazonaws.com or public.ecr.aws"
PUBLIC_HOSTS = ("public.ecr.aws", "ecr-public.aws.com")
PUBLIC_REGION = "us-east-1"
# seconds for the whole login; botocore starts programs (credential_process) and asks for one-time passwords
MAX_LOGIN = 120.0
# seconds more for what is no program, so that one is ended before nobody waits for it any more
MAX_REST = 5.0
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
MAX_ATTEMPTS = 10
# seconds; the documented life of a password, and the least that one is used for
PASSWORD_SECONDS, MINIMUM_SECONDS = 43200.0, 60.0

_PRIVATE = re.compile(
    r"\d{12}\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9][a-z0-9-]*)\."
    r"(?:amazonaws\.(?:com(?:\.cn)?|eu)|(?P<dual>on\.(?:aws|amazonwebservices\.com\.cn))"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)\Z"
)
_METADATA_HOSTS = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]", "[fd00:ec2::23]")
_HINT = "Give the host a role that may call {action}, or credentials where the AWS CLI would find them."


@dataclass(frozen=True)
class Ecr:
    """An API endpoint that gives the password for a registry."""

    service: str
    region: str
    is_fips: bool = False
    is_dual_stack: bool = False

    @property
    def action(self) -> str:
        return f"{self.service}:GetAuthorizationToken"


def parse_host(name: str) -> Ecr | None:
    """Return the endpoint for a host name, None when the host is not a registry of AWS."""
    if name in PUBLIC_HOSTS:
        return Ecr("ecr-public", PUBLIC_REGION)
    match = _PRIVATE.match(name)
    return Ecr("ecr", match["region"], bool(match["fips"]), bool(match["dual"])) if match else None


def is_host(name: str) -> bool:
    """Return True when a host is a registry of AWS."""
    return parse_host(name) is not None


def login(name: str, registry: str, connection: ConnectionOptions) -> tuple[Credential, float]:
    """Log in to the registry ``name``, a host for which :func:`is_host` is true; see :func:`log_in`."""
    ecr = parse_host(name)
    if ecr is None:
        raise AuthenticationFailed(f"{name} is not a registry of AWS.")
    return log_in(ecr, registry, connection)


def log_in(ecr: Ecr, registry: str, connection: ConnectionOptions) -> tuple[Credential, float]:
    """Return the credential for a registry, and the seconds for which it is valid.

    :param registry: ``host[:port]`` of the reference, for messages.
    :raises InvalidOption: for a SOCKS proxy, which botocore does not support.
    :raises MissingDependency: without botocore.
    :raises AuthenticationFailed: when there is no identity, or it is refused.
    :raises ConnectionFailed: when an endpoint was not reached, or the login took more than 120 s.
    """
    _botocore("session")
    _pace()
    _limit_programs()
    if connection.proxy.lower().startswith("socks"):
        raise InvalidOption(
            f"The login at AWS for {registry} cannot use a SOCKS 'proxy': botocore supports only HTTP proxies.",
            "Give 'username' and 'password', or an HTTP proxy.",
        )
    with _direct_metadata():
        answer = _in_time(lambda: _ask(ecr, registry, connection), registry)
    data = answer.get("authorizationData")
    data = data[0] if isinstance(data, list) and data else data
    if not isinstance(data, dict):
        raise AuthenticationFailed(f"{ecr.action} for {registry} answered without an authorization.")
    return _credential(str(data.get("authorizationToken", "")), ecr, registry), _seconds(data.get("expiresAt"))


def _botocore(part: str) -> Any:
    return require("botocore", "provider: aws", part)


def _pace() -> None:
    """Make botocore use connections that keep the time limits of this collection.

    botocore has no parameter for this, and some of its parts make their own sessions. So its connection pools are
    patched for the rest of the process. Doing that again changes nothing, so threads may log in at the same time.
    """
    request = _botocore("awsrequest")
    for pool in (request.AWSHTTPConnectionPool, request.AWSHTTPSConnectionPool):
        pool.ConnectionCls = paced_pool(pool).ConnectionCls


def _limit_programs() -> None:
    """Have botocore start the programs of ``credential_process`` with limits, for the rest of the process.

    Its parameter for this is out of reach: providers are made where they are needed, also for the profile of a role.
    """
    from .._files.bounded_popen import popen

    start = _botocore("credentials").ProcessProvider.__init__
    if start.__defaults__ == (subprocess.Popen,):
        start.__defaults__ = (popen,)


def _ask(ecr: Ecr, registry: str, connection: ConnectionOptions) -> dict[str, Any]:
    config, exceptions = _botocore("config").Config, _botocore("exceptions")
    settings: dict[str, Any] = {
        "connect_timeout": min(connection.timeout, CONNECT_TIMEOUT),
        "read_timeout": min(connection.timeout, READ_TIMEOUT),
        "retries": {"total_max_attempts": min(connection.retries + 1, MAX_ATTEMPTS), "mode": "standard"},
    }
    if connection.proxy:
        settings["proxies"] = {"http": connection.proxy, "https": connection.proxy}
    variant = {"use_fips_endpoint": True} if ecr.is_fips else {}
    variant.update({"use_dualstack_endpoint": True} if ecr.is_dual_stack else {})
    session = _botocore("session").Session()
    # also for the clients that botocore makes to fetch the identity
    session.set_default_client_config(config(**settings))
    try:
        with _authorities(session, connection.ca_cert):
            if not session.get_config_variable("region"):
                session.set_config_variable("region", ecr.region)
            client = session.create_client(ecr.service, region_name=ecr.region, config=config(**variant))
            answer: dict[str, Any] = client.get_authorization_token()
    except (exceptions.BotoCoreError, exceptions.ClientError) as exc:
        raise _explain(exc, ecr, registry) from None
    except OSError as exc:
        place = f" {exc.filename}" if exc.filename else ""
        raise AuthenticationFailed(
            f"The identity of AWS for {registry} cannot be read: the file{place}: {exc.strerror}."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        # botocore raises these for bad configuration; the text is left out because it may contain a part of it
        raise AuthenticationFailed(
            f"The login at AWS for {registry} failed in botocore ({type(exc).__name__}).",
            "Check the AWS_ variables of the environment, and ~/.aws/config.",
        ) from None
    return answer


def _explain(error: Any, ecr: Ecr, registry: str) -> OciError:
    """Translate an error of botocore, without its text where that may hold signed requests, tokens or passwords."""
    exceptions = _botocore("exceptions")
    start = f"The login at AWS for {registry} failed"
    hint = _HINT.format(action=ecr.action)
    if isinstance(error, exceptions.NoCredentialsError):
        missing = "; ".join(f"{name}: {reason}" for name, reason in _missing_sources())
        return AuthenticationFailed(f"No identity of AWS was found for {registry} ({missing}).", hint)
    if isinstance(error, exceptions.ClientError):
        found = error.response.get("Error", {})
        words = redacted(f"{found.get('Code', '')}: {found.get('Message', '')}")
        return AuthenticationFailed(f"{start}: {error.operation_name} was refused ({words}).", hint)
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        endpoint = redacted_url(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
        what = f"{endpoint} was not reached" if endpoint else "an endpoint was not reached"
        return ConnectionFailed(
            f"{start}: {what} ({type(error).__name__}).",
            "Check the network and 'proxy'. AWS_CA_BUNDLE or 'ca_cert' names an authority, AWS_ENDPOINT_URL_ECR "
            "another endpoint.",
        )
    return AuthenticationFailed(f"{start}: {redacted(str(error))}.", hint)


def _missing_sources() -> Iterator[tuple[str, str]]:
    """Yield the name of each place where botocore looks for an identity, and why it has none."""
    profile = environment("AWS_PROFILE") or environment("AWS_DEFAULT_PROFILE") or "default"
    yield "environment", "AWS_ACCESS_KEY_ID is not set"
    yield "web identity", "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set"
    yield "shared files", f"the profile {profile!r} has no credentials"
    yield "container", "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
    if environment("AWS_EC2_METADATA_DISABLED").lower() == "true":
        yield "instance metadata", "AWS_EC2_METADATA_DISABLED is set"
    else:
        yield "instance metadata", "no answer, or no role"


def _credential(token: str, ecr: Ecr, registry: str) -> Credential:
    try:
        username, _colon, password = base64.b64decode(token, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        username = password = ""
    if not (username and password):
        raise AuthenticationFailed(f"{ecr.action} for {registry} answered with something other than user:password.")
    return Credential(username=username, password=password)


def _seconds(expires_at: Any) -> float:
    try:
        seconds = float(expires_at.timestamp()) - time.time()
    except (AttributeError, TypeError, ValueError, OverflowError):
        return PASSWORD_SECONDS
    return min(max(seconds, MINIMUM_SECONDS), PASSWORD_SECONDS)


@contextlib.contextmanager
def _authorities(session: Any, ca_cert: str) -> Iterator[None]:
    """Add ``ca_cert`` to the authorities that botocore uses, by a temporary file: botocore accepts one file only."""
    if not ca_cert:
        yield
        return
    own = session.get_config_variable("ca_bundle") or _botocore("httpsession").get_cert_path(True)
    descriptor, path = tempfile.mkstemp(prefix="oci-artifact-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for source in (own, ca_cert):
                stream.write(_pem(source) + b"\n")
        session.set_config_variable("ca_bundle", path)
        yield
    finally:
        os.unlink(path)


def _pem(path_or_pem: str) -> bytes:
    sources = [path_or_pem]
    if os.path.isdir(path_or_pem):
        sources = [os.path.join(path_or_pem, name) for name in sorted(os.listdir(path_or_pem))]
    try:
        return b"\n".join(read_pem(source, MAX_CERTIFICATES) for source in sources)
    except FileRefused as exc:
        raise InvalidOption(f"A file of the certificate authorities for AWS {exc}.") from None


@contextlib.contextmanager
def _direct_metadata() -> Iterator[None]:
    """Exclude metadata servers from the proxy of the environment: behind it, they would return the proxy's identity."""
    endpoint = urlsplit(environment("AWS_EC2_METADATA_SERVICE_ENDPOINT")).hostname
    hosts = [*_METADATA_HOSTS, *([endpoint] if endpoint else [])]
    saved = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    value = ",".join(filter(None, [saved["no_proxy"] or saved["NO_PROXY"], *hosts]))
    os.environ.update(dict.fromkeys(saved, value if (saved["no_proxy"] or saved["NO_PROXY"]) != "*" else "*"))
    try:
        yield
    finally:
        for name, old in saved.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


def _in_time(call: Callable[[], dict[str, Any]], registry: str) -> dict[str, Any]:
    """Return the result of a login. A program of ``credential_process`` has ``MAX_LOGIN`` seconds, and is ended then.

    :raises ConnectionFailed: when that is over, or all together takes longer still; the call itself cannot be
        interrupted.
    """
    from .._files.bounded_popen import ProgramEnded, limited_programs

    def limited() -> dict[str, Any]:
        with limited_programs(MAX_LOGIN):
            return call()

    try:
        return run_within(MAX_LOGIN + MAX_REST, limited)
    except (OutOfTime, ProgramEnded) as exc:
        how = f": {exc.how}" if isinstance(exc, ProgramEnded) else f" took more than {MAX_LOGIN:g} s"
        raise ConnectionFailed(
            f"The login at AWS for {registry}{how}.",
            "Check 'credential_process' and 'mfa_serial' in ~/.aws/config: nothing can be typed in here.",
        ) from None
