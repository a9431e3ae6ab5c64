# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads Secrets and service accounts from the Kubernetes API with the ``kubernetes`` client.

The connection comes from the options, otherwise from the places that kubectl uses: ``$KUBECONFIG``, ``~/.kube/config``
and, in a Pod, its service account.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidContent,
    InvalidOption,
    ObjectNotFound,
    OciError,
    TlsFailed,
)
from .._files.bounded import expanded
from .._files.threads import OutOfTime, run_within
from .._http.body import BodyBroken, read_plain
from .._http.pace import pace
from .._packages import require
from .kubeconfig import cluster_entry
from .proxy import api_proxy, pool_manager

# etcd limits an object to 1.5 MiB; base64 and JSON enlarge it
MAX_ANSWER = 4 * 1024 * 1024
MAX_WORDS = 500
RETRIES = 2
# seconds; the client has no limit of its own for the programs and OpenID providers that a kubeconfig names
MAX_LOGIN = 60.0
# seconds more for what is no program, so that one is ended before nobody waits for it any more
MAX_REST = 5.0

# characters of a path, and characters that occur in the text of a kubeconfig but not in a path
MAX_PATH = 4096
_MARKS_OF_TEXT = ("\n", "\r", "{", ": ", "-----BEGIN", "apiVersion")

# attributes of the client's configuration that are paths
_FILES = {"cert_file": "client certificate", "key_file": "client key", "ssl_ca_cert": "authorities"}

DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?\Z")


def check_kubeconfig(value: Any) -> str | Mapping[str, Any]:
    """Return the option ``kubeconfig``, checked: a path, several paths joined as in ``$KUBECONFIG``, or a mapping.

    :raises InvalidOption: for anything else, such as the text of a kubeconfig. The message does not repeat the value.
    """
    if isinstance(value, Mapping):
        return value
    text = str(value) if isinstance(value, (str, os.PathLike)) else None
    if text is None or len(text) > MAX_PATH or any(mark in text for mark in _MARKS_OF_TEXT):
        raise InvalidOption(
            "'kubeconfig' is neither the path of a file nor its content as a mapping.",
            'Convert text to a mapping with from_yaml, as in kubeconfig: "{{ text | from_yaml }}".',
        )
    return text


@dataclass(frozen=True)
class KubeOptions:
    """Address and credentials of the API. Empty fields are taken from the kubeconfig."""

    kubeconfig: str | Mapping[str, Any] = field(default="", repr=False)
    context: str = ""
    host: str = ""
    api_key: str = field(default="", repr=False)
    client_cert: str = ""
    client_key: str = ""
    ca_cert: str = ""
    validate_certs: bool | None = None
    proxy: str = field(default="", repr=False)
    timeout: float = 30.0  # seconds, for connecting and for each wait for an answer


@dataclass(frozen=True)
class Secret:
    """A Secret with its values decoded."""

    namespace: str
    name: str
    type: str
    data: Mapping[str, bytes] = field(repr=False)

    @property
    def origin(self) -> str:
        """Return the name of the Secret for messages."""
        return f"Secret {self.namespace}/{self.name}"


class KubeApi:
    """Reads single objects from the API."""

    def __init__(self, options: KubeOptions) -> None:
        """Open a client.

        :raises OciError: when the client is not installed, or there is no usable configuration.
        """
        self._timeout = (options.timeout, options.timeout)
        self._client = _package("client").CoreV1Api(make_client(options))

    def secret(self, namespace: str, name: str) -> Secret:
        """Return a Secret.

        :raises OciError: when it does not exist, may not be read, or the API cannot be reached.
        """
        document = self._read("Secret", namespace, name, self._client.read_namespaced_secret)
        return parse_secret(document, namespace, name)

    def pull_secret_names(self, namespace: str, service_account: str) -> list[str]:
        """Return the names in the ``imagePullSecrets`` of a service account, in their order."""
        read = self._client.read_namespaced_service_account
        document = self._read("ServiceAccount", namespace, service_account, read)
        references = document.get("imagePullSecrets") or []
        if not isinstance(references, list):
            raise InvalidContent(
                f"The ServiceAccount {namespace}/{service_account} has 'imagePullSecrets' that are not a list."
            )
        names = [item.get("name") for item in references if isinstance(item, Mapping)]
        return [name for name in names if isinstance(name, str) and name]

    def _read(self, kind: str, namespace: str, name: str, read: Callable[..., Any]) -> dict[str, Any]:
        import urllib3.exceptions

        refused = _package("client.exceptions").ApiException
        for value, meaning in ((namespace, "namespace"), (name, kind)):
            if not DNS_SUBDOMAIN.match(value):
                raise InvalidOption(
                    f"{value[:300]!r} cannot be the name of a {meaning}.",
                    "Wanted lower case letters, digits, dots and hyphens.",
                )
        what = f"{kind} {namespace}/{name}"
        failure: OciError
        try:
            response = read(name, namespace, _preload_content=False, _request_timeout=self._timeout)
            raw = read_plain(response, MAX_ANSWER + 1, self._timeout[1])
        except refused as exc:
            failure = _refusal(what, exc.status or 0, exc.body)
        except (urllib3.exceptions.HTTPError, BodyBroken) as exc:
            failure = _no_connection(what, exc)
        except ValueError as exc:  # an invalid URL in the configuration
            failure = InvalidOption(f"The {what} cannot be requested: {exc}.")
        else:
            return _parse(raw, what)
        raise failure


def parse_secret(document: Mapping[str, Any], namespace: str, name: str) -> Secret:
    """Return the Secret in a response of the API.

    :raises InvalidContent: when the document is malformed.
    """
    data = document.get("data") or {}
    kind = document.get("type") or "Opaque"
    try:
        decoded = {str(key): base64.b64decode(value, validate=True) for key, value in data.items()}
    except (AttributeError, TypeError, ValueError, binascii.Error):
        raise InvalidContent(
            f"The API answered for the Secret {namespace}/{name} with data that is not base64."
        ) from None
    return Secret(namespace, name, str(kind), decoded)


def _parse(raw: bytes, what: str) -> dict[str, Any]:
    if len(raw) > MAX_ANSWER:
        raise InvalidContent(f"The API answered for the {what} with more than {MAX_ANSWER} bytes.")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidContent(
            f"The answer for the {what} is not JSON.", "Is the address that of a Kubernetes API server?"
        )
    return document


def make_client(options: KubeOptions) -> Any:
    """Return an ApiClient that retries little and writes nothing to disk; the options override the kubeconfig."""
    client = _package("client")
    configuration = client.Configuration()
    _in_time(lambda: _load(options, configuration))
    _override(options, configuration)
    renew = getattr(configuration, "refresh_api_key_hook", None)
    if renew is not None:
        # the client calls this before each request; the original hook restores the settings of the kubeconfig
        def renew_and_override(current: Any) -> None:
            _in_time(lambda: renew(current))
            _override(options, current)

        configuration.refresh_api_key_hook = renew_and_override
    configuration.retries = RETRIES
    for name in _FILES:
        path = getattr(configuration, name)
        if path and ("\n" in path or "-----BEGIN" in path):
            # the value is left out of the message: it may be a private key
            raise InvalidOption(
                f"Text was given for the {_FILES[name]} of the connection to the Kubernetes API.",
                "Wanted the path of a file.",
            )
        if path and not os.access(path, os.R_OK):
            raise InvalidOption(f"The file {path}, for the connection to the Kubernetes API, cannot be read.")
    # what some releases of it take from the environment, in an order of their own
    configuration.proxy = None
    made = client.ApiClient(configuration)
    proxy = client_proxy(options, str(configuration.host))
    if proxy:
        known = made.rest_client.pool_manager.connection_pool_kw
        made.rest_client.pool_manager = pool_manager(proxy, configuration.ssl_ca_cert, **known)
    pace(made.rest_client.pool_manager)
    return made


def client_proxy(options: KubeOptions, server: str) -> str:
    """Return the URL of the proxy to the API server of the kubeconfig or the options; empty when there is none.

    :raises InvalidOption: when what is set is not the URL of a proxy.
    """
    if options.host and (options.api_key or options.client_cert):
        return api_proxy(server, options.proxy)
    found = cluster_entry(options.kubeconfig, options.context)
    return api_proxy(server, options.proxy, str(found.entry.get("proxy-url") or "") if found else "")


def _in_time(call: Callable[[], None]) -> None:
    """Run a call that may log in. A credential plugin has ``MAX_LOGIN`` seconds, and is ended then.

    :raises AuthenticationFailed: when that is over, or all together takes longer still.
    """
    from .._files.bounded_popen import ProgramEnded, limit_library, limited_programs

    def limited() -> None:
        limit_library(_package("config.exec_provider"), _package("config.kube_config"))
        with limited_programs(MAX_LOGIN):
            call()

    try:
        run_within(MAX_LOGIN + MAX_REST, limited)
    except (OutOfTime, ProgramEnded) as exc:
        how = f": {exc.how}" if isinstance(exc, ProgramEnded) else f" took more than {MAX_LOGIN:g} s"
        raise AuthenticationFailed(
            f"The credentials for the Kubernetes API{how}.",
            "Check the credential plugin ('exec') or the OpenID provider that the kubeconfig names.",
        ) from None


def _package(name: str) -> Any:
    return require(
        "kubernetes",
        "Using the Kubernetes API",
        name,
        "Lookups need it on the Ansible controller or in the execution environment, releases on the host that runs "
        "Helm.",
    )


def _override(options: KubeOptions, configuration: Any) -> None:
    for name, value in (
        ("host", options.host),
        ("cert_file", expanded(options.client_cert)),
        ("key_file", expanded(options.client_key)),
        ("ssl_ca_cert", expanded(options.ca_cert)),
    ):
        if value:
            setattr(configuration, name, value)
    if options.api_key:
        # the key under which the client looks up the token depends on its release
        configuration.api_key = dict.fromkeys(("authorization", "BearerToken"), f"Bearer {options.api_key}")
    if options.validate_certs is not None:
        configuration.verify_ssl = options.validate_certs


def _load(options: KubeOptions, configuration: Any) -> None:
    config = _package("config")
    if options.host and (options.api_key or options.client_cert):
        return
    context = options.context or None
    try:
        if isinstance(options.kubeconfig, Mapping):
            loaded = json.loads(json.dumps(dict(options.kubeconfig)))  # converts Ansible's own str and dict types
            config.load_kube_config_from_dict(
                loaded, context=context, client_configuration=configuration, persist_config=False
            )
        elif options.kubeconfig or options.context or _has_kubeconfig():
            if options.kubeconfig and not _any_exists(options.kubeconfig):
                # the path is left out of the message: it may be a token that was given by mistake
                raise InvalidOption(
                    "The file that 'kubeconfig' names does not exist.",
                    "It has to be on the host that calls the Kubernetes API.",
                )
            config.load_kube_config(
                config_file=expanded(options.kubeconfig) or None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        elif os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
        elif not options.host:
            raise InvalidOption(
                "No connection to a Kubernetes cluster is configured: no kubeconfig, no host, and not in a Pod.",
                "Give 'kubeconfig', or 'host' and 'api_key'.",
            )
    except config.ConfigException as exc:
        raise InvalidOption(f"The kubeconfig cannot be used: {str(exc)[:MAX_WORDS]}") from None
    except OciError:
        raise
    except Exception as exc:  # the client does not handle broken YAML, unreadable files or wrong types
        # the client's text is left out: it may quote a line of the file
        raise InvalidOption(f"The kubeconfig cannot be used ({type(exc).__name__}).") from None


def _has_kubeconfig() -> bool:
    return _any_exists(os.environ.get("KUBECONFIG") or os.path.join("~", ".kube", "config"))


def _any_exists(paths: str) -> bool:
    return any(os.path.exists(expanded(path)) for path in paths.split(os.pathsep) if path)


def _refusal(what: str, status: int, body: Any) -> OciError:
    words = _words(body)
    if status == 404:
        return ObjectNotFound(f"The {what} does not exist.", "Names are looked up in that namespace only.")
    if status == 401:
        return AuthenticationFailed(
            f"The Kubernetes API did not accept the credentials of the request for the {what}.",
            "A token may have expired.",
        )
    if status == 403:
        resource = what.split(" ", 1)[0].lower()
        return AuthenticationFailed(
            f"The Kubernetes API does not allow reading the {what}: {words}.",
            f"Allow the verb 'get' on {resource}s with a Role; kubectl auth can-i get --list shows what is allowed.",
        )
    return ConnectionFailed(f"The Kubernetes API answered {status} for the {what}: {words}.")


def _words(body: Any) -> str:
    """Return the message of a Status object; it contains no part of a Secret."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = None
    return str(message)[:MAX_WORDS].rstrip(".") if isinstance(message, str) else "it gave no reason"


def _no_connection(what: str, exc: Exception) -> ConnectionFailed:
    import urllib3.exceptions

    cause = getattr(exc, "reason", None) or exc
    if isinstance(cause, urllib3.exceptions.SSLError):
        return TlsFailed(
            f"No TLS connection to the Kubernetes API, to read the {what}: {str(cause)[:MAX_WORDS]}.",
            "Give the API server's certificate authority in 'ca_cert' or in the kubeconfig.",
        )
    return ConnectionFailed(f"The Kubernetes API cannot be reached to read the {what}: {str(cause)[:MAX_WORDS]}.")
