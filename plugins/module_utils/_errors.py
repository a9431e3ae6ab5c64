# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one tree of errors that the core raises.

Each class carries a ``reason``, a code that playbooks may compare: Flux's word where Flux has one
(the condition reasons of ``OCIRepository``), a word of this collection otherwise. Messages are one full
sentence: what was being done, on which reference, what was found and what was wanted. ``hint`` says what
to do next. Neither ever holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class OciError(Exception):
    """Anything that this collection refuses or fails to do; the root of the tree."""

    reason = "Failed"
    retryable = False

    def __init__(self, message: str, hint: str = "", details: Mapping[str, Any] | None = None) -> None:
        """``details`` are further values that a module returns with the failure."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_failure(self) -> dict[str, Any]:
        """Return what a module or action returns for it."""
        failure = {"failed": True, "msg": str(self), "reason": self.reason, "retryable": self.retryable}
        return {**failure, **self.details}


class PartMissing(BaseException):
    """A module of this collection was imported that was not carried to the host, because the task seemed not to need
    it. No error: nothing handles it but the one that started the run, which has it carried and starts again.

    ``part`` is the module. ``revision`` is what the registry said that the reference stands for, where it was asked.
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part
        self.revision = ""


class InvalidReference(OciError):
    """A reference or URL that is outside the grammar."""

    reason = "URLInvalid"


class InvalidOption(OciError):
    """An option whose value cannot be used, found before any request is made."""

    reason = "InvalidOption"


class InvalidSelection(InvalidOption):
    """A version range, regular expression or tag policy that does not parse or does not finish."""

    reason = "ReadOperationFailed"


class NoMatch(OciError):
    """No tag of the repository satisfies the selection."""

    reason = "ReadOperationFailed"


class NotFound(OciError):
    """A manifest, blob, tag, repository or layout that is not there.

    The reason is Flux's for a tag or a digest that cannot be determined.
    """

    reason = "OCIArtifactPullFailed"


class ObjectNotFound(NotFound):
    """An object of a cluster, or a revision of a release, that is not there."""

    reason = "ReadOperationFailed"


class AuthenticationFailed(OciError):
    """Credentials that are missing, refused, unreadable or of the wrong shape."""

    reason = "AuthenticationFailed"


class AccessDenied(AuthenticationFailed):
    """What the registry does not let this account do (status 403), whoever it is."""


class ConnectionFailed(OciError):
    """The registry was not reached, did not answer in time, or broke off for good.

    ``is_lasting`` stands for a failure that waiting does not cure: a proxy that refuses, a URL that cannot be used.
    Any other one is retryable.
    """

    reason = "ConnectionFailed"

    def __init__(self, message: str, hint: str = "", *, is_lasting: bool = False) -> None:
        super().__init__(message, hint)
        self.is_lasting = is_lasting
        self.retryable = not is_lasting


class TlsFailed(ConnectionFailed):
    """TLS was not established: unknown authority, plain HTTP behind an https URL, a bad client certificate."""

    reason = "TLSFailed"


class NotAtMirrors(ConnectionFailed):
    """The mirrors that answered do not have it, and whether the registry does could not be asked."""


class RegistryError(OciError):
    """The registry answered with an error status, or outside the protocol."""

    reason = "OCIArtifactPullFailed"

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status
        # a full one does not empty by itself
        self.retryable = _is_trouble(status) and status != 507


class CatalogRefused(OciError):
    """A registry that does not let this account list its repositories."""

    reason = "CatalogNotPermitted"


class CatalogUnsupported(CatalogRefused):
    """A registry that lets nobody list its repositories."""

    reason = "CatalogNotSupported"


def is_outage(error: OciError) -> bool:
    """Return True when the registry, or its token server, is out of reach or in trouble: no connection, a
    broken one, no answer in time, too many requests, or a status of 500 or more, after all retries.

    Any other error is an answer (no such tag, no right, other bytes, no signature), or a matter of options.
    """
    if isinstance(error, RegistryError):
        return _is_trouble(error.status)
    return error.retryable and isinstance(error, ConnectionFailed)


def _is_trouble(status: int) -> bool:
    """Return True for an HTTP status that says that the server, not the request, is the problem."""
    return status >= 500 or status in (408, 425, 429)


class InvalidContent(OciError):
    """Bytes that are not what their descriptor or their type promises: digest, size, JSON, manifest shape."""

    reason = "OCIArtifactPullFailed"


class DigestMismatch(InvalidContent):
    """Bytes whose digest or size differs from the descriptor's."""


class LayerError(OciError):
    """A layer that cannot be selected, or an archive that may not be unpacked."""

    reason = "OCIArtifactLayerOperationFailed"


class StorageError(OciError):
    """A file system operation on ``dest``, a cache or a layout that failed."""

    reason = "StorageOperationFailed"


class LockTimeout(StorageError):
    """A file that another process has locked for longer than this one waits."""

    retryable = True


class BuildError(OciError):
    """Content that cannot be packed into an artifact."""

    reason = "OCIArtifactBuildFailed"


class PushFailed(OciError):
    """The registry did not take a blob or a manifest; ``retryable`` when it was in trouble, or others were faster."""

    reason = "OCIArtifactPushFailed"

    def __init__(self, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(message, hint)
        self.retryable = retryable


class ReferrersUnsupported(PushFailed):
    """The registry can list no referrers, so that what was to be attached to an artifact would not be found."""


class TagImmutable(OciError):
    """A tag that would move to another digest although it is protected."""

    reason = "TagImmutable"


class TagMoved(OciError):
    """A tag that names another digest than the one that the reference pins beside it."""

    reason = "TagMoved"


class MissingDependency(OciError):
    """A Python package that this call needs is not installed on the host that runs it."""

    reason = "MissingDependency"


class VerificationFailed(OciError):
    """No signature, or not enough of them, satisfy the policy; nothing of the artifact may be used."""

    reason = "VerificationError"


class InvalidPolicy(InvalidOption):
    """A verification or signing policy that cannot be used: a key, an identity, a trusted root, a trust policy."""

    reason = "VerificationError"


class ClusterError(OciError):
    """The Kubernetes API refused a request, or failed at it; ``status`` is the HTTP status."""

    reason = "ClusterError"

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status
        self.retryable = _is_trouble(status)


class Forbidden(ClusterError):
    """The Kubernetes API does not allow (RBAC) what has to be done."""

    reason = "Forbidden"


class Conflict(ClusterError):
    """The object in the cluster is there already, or was changed by somebody else in the meantime."""

    reason = "Conflict"

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint, status)
        self.retryable = True


class NamespaceTerminating(ClusterError):
    """A namespace is being deleted: the Kubernetes API creates nothing in it any more."""

    reason = "NamespaceTerminating"

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint, status)
        self.retryable = True


class ChartError(OciError):
    """An artifact that is no Helm chart, or a chart that cannot be used."""

    reason = "ArtifactFailed"


class ValuesError(OciError):
    """Values of a release that are missing, or not what Helm takes."""

    reason = "ValuesError"


class ReleaseLocked(OciError):
    """A release that another run or program works on, or that it left unfinished."""

    reason = "ReleaseLocked"
    retryable = True


class ManifestsInvalid(OciError):
    """Manifests of an artifact that cannot be read, built or applied as they are. The reason is Flux's."""

    reason = "BuildFailed"


class BuildTimedOut(ManifestsInvalid):
    """A program that builds or decrypts manifests did not end in time, and was ended."""

    retryable = True


class ManifestsConflict(OciError):
    """Objects, or the parent of an ApplySet, that belong to somebody else."""

    reason = "Conflict"


class ReconciliationFailed(OciError):
    """Objects that the API server did not accept, did not remove, or that another program removes. Nothing is pruned
    then. The reason is Flux's."""

    reason = "ReconciliationFailed"

    def __init__(self, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(message, hint)
        self.retryable = retryable


class HealthCheckFailed(OciError):
    """Objects that were applied and did not become ready. The reason is Flux's."""

    reason = "HealthCheckFailed"
    retryable = True


class DependencyNotReady(OciError):
    """A release or set of manifests that depends on one that failed, or that is not in the cluster."""

    reason = "DependencyNotReady"
    retryable = True


class HelmFailed(OciError):
    """Helm refused to do something, or failed at it."""

    reason = "HelmFailed"
