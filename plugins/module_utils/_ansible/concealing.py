# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way out of a module: results, failures, warnings and logs leave it without secrets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ansible.module_utils.basic import AnsibleModule

from .option_secrets import SHORTEST, concealed, texts_of

if TYPE_CHECKING:
    from .hiding import Hiding


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

    def say(self, options: Mapping[str, Any]) -> None:
        """Note what the task says in the open inside of an option that is hidden as a whole.

        :param options: without secrets, see :func:`~.option_secrets.concealed`.
        """
        self._said: list[str] = [*getattr(self, "_said", ()), *texts_of(options)]

    def warn(self, warning: str, **more: Any) -> None:
        hiding = self._hiding()
        cast(Any, super()).warn(hiding.message(warning) if hiding else warning, **more)

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
        self.say({name: value for name, value in shown.items() if not str(name).startswith("_ansible_")})
        hiding = self._hiding()
        if hiding:
            kwargs = hiding.result(kwargs)
            self.no_log_values = hiding.anywhere
        cast(Any, super())._return_formatted({**kwargs, "invocation": {"module_args": shown}})

    def _hiding(self) -> Hiding | None:
        """What hides the secrets that are known; None without any, so that nothing is imported for it."""
        given: set[str] = getattr(self, "_given_secrets", set())
        noted = _noted()
        if not (given or noted or self.no_log_values):
            return None
        from .hiding import Hiding

        return Hiding(given, self.no_log_values, noted, getattr(self, "_said", ()))


def _noted() -> dict[str, bool]:
    """The secrets that the task found out, each with whether it is opaque.

    Whoever notes a secret has imported the module for it; where nobody has, it is not imported for this either.
    """
    module_utils = __name__.rsplit(".", 2)[0]
    if f"{module_utils}._secrets.known" not in sys.modules:
        return {}
    from .._secrets.known import noted

    return noted()
