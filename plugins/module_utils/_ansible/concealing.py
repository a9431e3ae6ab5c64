# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way out of a module: results, failures, warnings and logs leave it without secrets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

from ansible.module_utils.basic import AnsibleModule

from .option_secrets import SHORTEST, concealed


class ConcealingModule(AnsibleModule):
    """An AnsibleModule that shows nothing of a secret, whether it was given to it or found by it.

    Ansible knows options that are marked ``no_log``. Here, what was given under a misspelt name, a private key in the
    place of a certificate, and passwords in URLs are not shown either: neither with ``-vvv``, nor in messages about
    wrong options, nor in the system's log.
    """

    def _load_params(self) -> None:
        cast(Any, super())._load_params()
        # before anything is checked: a message about a wrong option may repeat its value
        self.conceal(concealed(self.params, self.argument_spec)[1])

    def conceal(self, secrets: list[str]) -> None:
        """Hide texts in all that leaves the module from now on."""
        self._given_secrets: set[str] = getattr(self, "_given_secrets", set())
        self._given_secrets.update(secrets)
        self.no_log_values.update(text for text in secrets if len(text) >= SHORTEST)

    def _log_invocation(self) -> None:
        params = self.params
        self.params = concealed(params, self.argument_spec)[0]
        try:
            cast(Any, super())._log_invocation()
        finally:
            self.params = params

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        # once more: defaults may come from the environment
        shown, secrets = concealed(self.params, self.argument_spec)
        self.conceal(secrets)
        kwargs["invocation"] = {"module_args": shown}
        cast(Any, super())._return_formatted(self._masked(kwargs))

    def _masked(self, result: dict[str, Any]) -> dict[str, Any]:
        known, given = _noted(), self._given_secrets
        # what the task says itself, outside of secrets, is not a secret: a password may be the name of a repository
        said = str(result["invocation"])
        known = {secret: opaque for secret, opaque in known.items() if opaque or secret not in said}
        if not known and not given:
            return result
        from .._secrets.known import MACHINE_MADE
        from .._secrets.masking import Mask

        everywhere, in_words = Mask(), Mask()
        for secret in given:
            # a message shows the beginning of a long text; what is neither JSON nor a sentence is hidden in part, too
            is_token = len(secret) >= MACHINE_MADE and not any(char in secret for char in "{[ \n")
            in_words.add(secret, opaque=is_token)
        for secret, opaque in known.items():
            in_words.add(secret, opaque=opaque)
            if len(secret) >= SHORTEST:
                everywhere.add(secret, opaque=opaque)
        shown = {name: _without(everywhere, value) for name, value in result.items() if name != "invocation"}
        for name in ("msg", "exception"):
            if isinstance(shown.get(name), str):
                shown[name] = in_words.text(shown[name])
        return {**shown, "invocation": result["invocation"]}


def _noted() -> dict[str, bool]:
    """The secrets that the task found out, each with whether it is opaque.

    Whoever notes a secret has imported the module for it; where nobody has, it is not imported for this either.
    """
    module_utils = __name__.rsplit(".", 2)[0]
    if f"{module_utils}._secrets.known" not in sys.modules:
        return {}
    from .._secrets.known import noted

    return noted()


def _without(mask: Any, value: Any) -> Any:
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, Mapping):
        return {_key(mask, key): _without(mask, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(mask, item) for item in value]
    return value


def _key(mask: Any, key: Any) -> Any:
    """A key that is not this collection's own, which are plain words."""
    is_own = isinstance(key, str) and key.islower() and key.replace("_", "").isalpha()
    return mask.text(key) if isinstance(key, str) and not is_own else key
