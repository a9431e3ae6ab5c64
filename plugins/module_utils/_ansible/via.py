# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``via`` as the action plugin hands it over: a request to provide artifacts for hosts, or a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .._ops.pull.delivery import parse_parcel
from .specs import VERIFY_SPEC, rules_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._ops.pull.delivery import Delivery
    from .._ops.pull.options import PullOptions
    from .._policy.rules import Policy

ReadItems = Callable[["Policy | None"], "list[tuple[PullOptions, Mapping[str, Any]]]"]


def run_via(module: AnsibleModule, text: Any, read_items: ReadItems) -> dict[str, Any]:
    """Provide artifacts for hosts, or pull what was handed over; return the module's result.

    :param text: what was handed over.
    :param read_items: returns the options of each artifact of the task, under a policy, and what names it in results.
    :raises OciError: for every failure.
    """
    if '"request"' in str(text)[:20]:
        from .._ops.pull.provide import parse_request, provide

        request = parse_request(text)
        if request is not None:
            policy = rules_of(module.params["policy"])
            return provide(
                [options for options, _label in read_items(policy)],
                request,
                check_mode=module.check_mode,
            )
    return _deliver(module, read_items, text)


def _deliver(module: AnsibleModule, read_items: ReadItems, text: Any) -> dict[str, Any]:
    from .._ops.pull.context import make_context
    from .._ops.pull.decide import run
    from .._ops.pull.delivered import DeliveredTask, pull_delivered

    parcel = parse_parcel(text)
    given = read_items(None)
    pairs = [(_of_delivery(options, each), label) for (options, label), each in zip(given, parcel.items)]

    def go_on(task: DeliveredTask, want_diff: bool) -> dict[str, Any]:
        modes: dict[str, Any] = {"check_mode": module.check_mode, "want_diff": want_diff}
        if module.params["artifacts"] is None:
            return run(make_context(pairs[0][0], task, **modes)).as_result()
        from .._ops.pull.many import pull_many

        return pull_many(pairs, pairs[0][0].cache, module.params["parallel"], task=task, **modes)

    options = [each for each, _label in pairs]
    return pull_delivered(parcel, options, go_on, check_mode=module.check_mode, want_diff=module._diff)


def _of_delivery(options: PullOptions, delivery: Delivery) -> PullOptions:
    """The options of an artifact with the revision of its delivery, and what was found out about it elsewhere."""
    policy = None
    if delivery.rules:
        from dataclasses import replace

        from .policy import read_rules

        policy = read_rules(list(delivery.rules), VERIFY_SPEC)
        policy = replace(policy, source=delivery.policy or policy.source)
    reference = options.reference._replace(pin=delivery.revision) if delivery.revision else options.reference
    return options._replace(reference=reference, policy=policy, vouched=delivery.verified, verify=None)
