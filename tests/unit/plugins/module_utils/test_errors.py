# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils import _errors
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock import refusals as lock_refusals
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.tag_store import DeletionRefused
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag import conditions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy import refusals
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.blobs import check_pushed

GUIDE = (Path(__file__).resolve().parents[4] / "docs/docsite/rst/guide_errors.rst").read_text()
# each error class, with what it is made of and whether the same task may succeed later
RETRYABLE = [
    (_errors.ConnectionFailed("x"), True),
    (_errors.ConnectionFailed("x", is_lasting=True), False),
    (_errors.TlsFailed("x"), True),
    (_errors.TlsFailed("x", is_lasting=True), False),
    (_errors.NotAtMirrors("x"), True),
    (_errors.NotAtMirrors("x", is_lasting=True), False),
    *((_errors.RegistryError("x", status=status), True) for status in (408, 425, 429, 500, 503, 521)),
    *((_errors.RegistryError("x", status=status), False) for status in (0, 400, 405, 416)),
    (_errors.PushFailed("x"), False),
    (_errors.PushFailed("x", retryable=True), True),
    (_errors.ReferrersUnsupported("x"), False),
    *((_errors.ClusterError("x", status=status), True) for status in (429, 500, 504)),
    *((_errors.ClusterError("x", status=status), False) for status in (0, 400, 422)),
    (_errors.Conflict("x", status=409), True),
    (_errors.Conflict("x"), True),
    (_errors.Forbidden("x", status=403), False),
    (_errors.NamespaceTerminating("x", status=403), True),
    (_errors.LockTimeout("x"), True),
    (_errors.ReleaseLocked("x"), True),
    (_errors.DependencyNotReady("x"), True),
    (_errors.HealthCheckFailed("x"), True),
    (_errors.BuildTimedOut("x"), True),
    (_errors.ReconciliationFailed("x", retryable=True), True),
    *(
        (each("x"), False)
        for each in (
            _errors.OciError,
            _errors.InvalidReference,
            _errors.InvalidOption,
            _errors.InvalidSelection,
            _errors.InvalidPolicy,
            _errors.NoMatch,
            _errors.NotFound,
            _errors.ObjectNotFound,
            _errors.AuthenticationFailed,
            _errors.AccessDenied,
            _errors.CatalogRefused,
            _errors.CatalogUnsupported,
            _errors.InvalidContent,
            _errors.DigestMismatch,
            _errors.LayerError,
            _errors.StorageError,
            _errors.BuildError,
            _errors.TagImmutable,
            _errors.TagMoved,
            _errors.MissingDependency,
            _errors.VerificationFailed,
            _errors.ChartError,
            _errors.ManifestsInvalid,
            _errors.ManifestsConflict,
            _errors.ReconciliationFailed,
            _errors.ValuesError,
            _errors.HelmFailed,
            refusals.PolicyInvalid,
            refusals.TagDenied,
            refusals.DigestDenied,
            refusals.DowngradeDenied,
            refusals.AgeUnknown,
            lock_refusals.LockInvalid,
            lock_refusals.LockMissing,
            lock_refusals.LockOutdated,
            DeletionRefused,
            conditions.NotSoaked,
        )
    ),
    (refusals.TooYoung("x"), True),
    (refusals.OutsideWindow("x"), True),
    (refusals.ChangePending("x"), True),
    (conditions.NotSoaked("x", retryable=True), True),
]
CLASSES = {
    each
    for module in (_errors, refusals, lock_refusals, conditions)
    for each in [*vars(module).values(), DeletionRefused]
    if isinstance(each, type) and issubclass(each, _errors.OciError)
}
# they stand for several codes: each error that is raised has a more precise one
BASES = {_errors.OciError, _errors.HelmFailed}
REASONS = {each.reason for each in CLASSES - BASES}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_guide_to_errors_explains_each_reason_code(reason: str) -> None:
    table, _heading, _rest = GUIDE.partition("\nAbsence that is")
    rows = [line for line in table.splitlines() if line.startswith("   * - ")]

    assert any(f"``{reason}``" in row for row in rows)


@pytest.mark.parametrize(("error", "retryable"), RETRYABLE)
def test_each_failure_says_whether_to_try_again(error: _errors.OciError, retryable: bool) -> None:
    assert error.as_failure() == {"failed": True, "msg": "x", "reason": error.reason, "retryable": retryable}


def test_no_class_is_left_out() -> None:
    assert {type(error) for error, _retryable in RETRYABLE} == CLASSES


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (429, True), (400, False), (404, False)])
def test_what_a_registry_in_trouble_refuses_may_be_pushed_later(status: int, retryable: bool) -> None:
    response = SimpleNamespace(status_code=status, headers={}, url="https://registry.example/v2/")
    with pytest.raises(_errors.PushFailed) as caught:
        check_pushed(response, "PUT")
    assert caught.value.retryable is retryable


def test_the_guide_names_the_reasons_that_may_be_retryable() -> None:
    section = GUIDE.partition("\nWhether to try again\n")[2].partition("\n.. code-block")[0]
    rows = re.findall(r"^   \* - (``.*)$", section, re.MULTILINE)[1:]
    codes = {code for row in rows for code in re.findall(r"``(\w+)``", row)}
    assert codes == {error.reason for error, retryable in RETRYABLE if retryable}
