# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``policy`` as checked rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._policy.document import read_policy
from .._policy.parse import parse_rules
from .._policy.refusals import PolicyInvalid
from .._policy.rules import Policy
from .._trust.policy import parse_policy
from .exact import refuse_numbers
from .option_secrets import refusal

if TYPE_CHECKING:
    from .._trust.policy import VerifyPolicy


def read_rules(option: Any, verify_spec: Mapping[str, Any]) -> Policy:
    """Read and check the option ``policy``.

    :param verify_spec: the argument spec of the option ``verify``.
    :raises PolicyInvalid: when it cannot be used.
    :raises MissingDependency: when the host lacks what it takes to read it.
    """
    return parse_rules(read_policy(option), partial(_verify, verify_spec))


def _verify(spec: Mapping[str, Any], given: Mapping[str, Any]) -> VerifyPolicy:
    """The suboptions of ``verify`` in a rule, checked as those of a task are."""
    refused = refusal({"verify": given}, spec)
    if refused:
        raise PolicyInvalid(*refused)
    refuse_numbers(spec, {"verify": given})
    checked = ArgumentSpecValidator(spec["verify"]["options"]).validate(dict(given))
    unknown = sorted(name if isinstance(name, str) else ".".join(name) for name in checked.unsupported_parameters)
    if unknown:
        raise PolicyInvalid(
            f"'verify' has the unknown key {unknown[0][:100]!r}.",
            "It has the suboptions of 'verify' of oci_artifact_pull.",
        )
    if checked.error_messages:
        raise PolicyInvalid(f"'verify': {'; '.join(checked.error_messages)}.")
    return parse_policy(checked.validated_parameters)
