# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS: whom a connection trusts, which certificate it presents, and what a failed handshake means."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import cast

from .._errors import InvalidOption, TlsFailed
from .._files.threads import new_thread
from .._oci.options import ConnectionOptions

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "wrong version number")
_NO_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE")
_REFUSED_CERTIFICATE = (
    "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_ACCESS_DENIED",
    "ALERT_DECRYPT_ERROR",
)
# X509_V_ERR_* of OpenSSL, x509_vfy.h
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_HOST = (62, 64)


def tls_context(options: ConnectionOptions, *, client_certificate: bool = True) -> ssl.SSLContext:
    """A context that trusts the system's authorities and ``ca_cert``, and presents ``client_cert`` if that is wanted.

    The system's are OpenSSL's (``SSL_CERT_FILE``, ``SSL_CERT_DIR``) with those of ``REQUESTS_CA_BUNDLE`` or
    ``CURL_CA_BUNDLE``; certifi's where there are none. TLS 1.2 is the least.

    :raises InvalidOption: when a certificate or a key cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(name):
            _load_ca(context, os.environ[name], f"the environment's {name}")
            break
    else:
        if not _system_has_authorities():
            _load_certifi(context)
    if options.ca_cert:
        _load_ca(context, options.ca_cert, "'ca_cert'")
    if client_certificate and (options.client_cert or options.client_key):
        _load_client_certificate(context, options)
    if not options.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def explain_tls(error: BaseException, action: str, whom: str, options: ConnectionOptions) -> TlsFailed:
    """Return the error for a failed handshake. ``error`` is the innermost exception, ``whom`` is like "the server"."""
    found, hint = _meaning(error, whom, options)
    return TlsFailed(f"{action} failed: {found}.", hint, is_lasting=not breaks_off(error))


def breaks_off(error: BaseException) -> bool:
    """Return whether the peer ended the handshake without an alert, which may be transient."""
    return "EOF" in str(error)


def suspicion(options: ConnectionOptions) -> str:
    """Return the hint for a connection that ends at its start: by TLS 1.3 a client is done with the handshake
    before the server has looked at its certificate, and may see the end of the connection before the server's word.
    """
    kind = "does not accept the" if options.client_cert else "asks for a"
    return f"A server that {kind} client certificate ('client_cert') may break off so, too."


def _meaning(error: BaseException, whom: str, options: ConnectionOptions) -> tuple[str, str]:
    text = str(error)
    if breaks_off(error):
        return f"{whom} broke off the TLS handshake", f"Try again. {suspicion(options)}"
    if any(mark in text for mark in _NOT_TLS):
        return f"{whom} does not speak TLS on this port", "If the registry speaks plain HTTP, set insecure: true."
    code = getattr(error, "verify_code", 0)
    words = str(getattr(error, "verify_message", "")).rstrip(".") or text[:200]
    if code == _EXPIRED:
        return f"the certificate of {whom} has expired", "It has to be renewed there; check this host's clock, too."
    if code == _NOT_YET_VALID:
        return f"the certificate of {whom} is not valid yet", "Check this host's clock."
    # the second is urllib3's own word, where it compares the names and not OpenSSL
    if code in _OTHER_HOST or "doesn't match" in text:
        return (
            f"the certificate of {whom} is for another host ({words})",
            "Use a name that it carries, or have one issued for this name.",
        )
    if code or "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"the certificate of {whom} is not trusted ({words})",
            "Give the authority that signed it in 'ca_cert'.",
        )
    if not options.client_cert and any(mark in text for mark in _NO_CERTIFICATE):
        return f"{whom} asks for a client certificate ({text[:200]})", "Give one in 'client_cert' and 'client_key'."
    if any(mark in text for mark in _REFUSED_CERTIFICATE):
        return (
            f"{whom} did not accept the client certificate ({text[:200]})",
            "Give one in 'client_cert' that it accepts: of its authority, not expired, with the authorities between.",
        )
    return f"the TLS handshake with {whom} failed ({text[:200]})", "Check 'ca_cert', 'client_cert' and 'client_key'."


def _system_has_authorities() -> bool:
    # the context's own count leaves out directories, which OpenSSL reads only when it meets a certificate
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return True
    try:
        return bool(paths.capath and os.listdir(paths.capath))
    except OSError:
        return False


def _load_certifi(context: ssl.SSLContext) -> None:
    with contextlib.suppress(ImportError, OSError):
        import certifi

        context.load_verify_locations(cafile=certifi.where())


def _load_ca(context: ssl.SSLContext, ca_cert: str, origin: str) -> None:
    try:
        if "-----BEGIN" in ca_cert:
            context.load_verify_locations(cadata=ca_cert)
        elif os.path.isdir(ca_cert):
            context.load_verify_locations(capath=ca_cert)
        else:
            context.load_verify_locations(cafile=ca_cert)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            f"The certificate authority in {origin} cannot be used: {_reason(exc)}.",
            "Wanted a PEM file, a directory of hashed PEM files, or PEM text.",
        ) from None


def _load_client_certificate(context: ssl.SSLContext, options: ConnectionOptions) -> None:
    certificate, key = options.client_cert, options.client_key
    if not certificate or not key:
        given, missing = ("client_cert", "client_key") if certificate else ("client_key", "client_cert")
        raise InvalidOption(f"'{given}' is given without '{missing}'.", "Give both or neither.")
    texts = _pem(certificate, "client_cert"), _pem(key, "client_key")
    is_encrypted = False

    def password() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return options.client_key_password

    try:
        with _as_path(texts[0]) as certificate_path, _as_path(texts[1]) as key_path:
            # the callable keeps OpenSSL from asking for a passphrase on the terminal
            context.load_cert_chain(certificate_path, key_path, password=password)
    except (OSError, ValueError) as exc:
        raise _unusable(exc, is_encrypted, bool(options.client_key_password)) from None


def _unusable(error: Exception, is_encrypted: bool, has_password: bool) -> InvalidOption:
    if "KEY_VALUES_MISMATCH" in str(error) or "KEY_TYPE_MISMATCH" in str(error):
        found, hint = "'client_key' is the key of another certificate", "Give the pair that was issued together."
    elif is_encrypted and has_password:
        found, hint = "'client_key_password' does not decrypt 'client_key'", "Correct it."
    elif is_encrypted:
        found, hint = "'client_key' is encrypted", "Give its passphrase in 'client_key_password'."
    else:
        found = "'client_cert' or 'client_key' is damaged, of a kind that OpenSSL does not take, or of another pair"
        hint = "Wanted a PEM certificate, with those of the authorities between if there are any, and its PEM key."
    return InvalidOption(f"The client certificate cannot be used: {found}.", hint)


def _pem(path_or_pem: str, option: str) -> bytes:
    """The text of a certificate or a key.

    :raises InvalidOption: when it cannot be read, or is not PEM text.
    """
    from .._files.bounded import MAX_PEM, FileRefused, read_pem

    try:
        text = read_pem(path_or_pem, MAX_PEM)
    except FileRefused as exc:
        raise InvalidOption(f"The file in '{option}' {exc}.") from None
    if b"-----BEGIN" not in text:
        raise InvalidOption(f"'{option}' is not PEM text.", "Wanted a path of a PEM file, or its text.")
    return text


@contextlib.contextmanager
def _as_path(text: bytes) -> Iterator[str]:
    """A path for OpenSSL, which takes keys from paths only. Nothing has a name in a file system, so that no key is
    left behind, whenever this ends.
    """
    with _memory(text) if hasattr(os, "memfd_create") else _pipe(text) as descriptor:
        yield f"/dev/fd/{descriptor}"


@contextlib.contextmanager
def _memory(text: bytes) -> Iterator[int]:
    with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as stream:
        stream.write(text)
        yield stream.fileno()


@contextlib.contextmanager
def _pipe(text: bytes) -> Iterator[int]:
    """Load the key where the system has no files in memory; OpenSSL then says less about what is wrong."""
    reader, writer = os.pipe()

    def feed() -> None:
        # the reader may have seen enough
        with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as stream:
            stream.write(text)

    feeder = new_thread(feed)
    feeder.start()
    try:
        yield reader
    finally:
        os.close(reader)
        feeder.join()


def _reason(error: Exception) -> str:
    return cast(str, getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error))
