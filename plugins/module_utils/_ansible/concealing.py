# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way out of a module: results, failures, warnings and logs leave it without secrets."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, cast

from ansible.module_utils.basic import AnsibleModule

from .option_secrets import SHORTEST, concealed, texts_of

# Characters of a secret that no digest and no path has by chance: Ansible's own search may hide it anywhere.
NO_CHANCE = 16
# What others wrote. A secret of fewer than SHORTEST characters may be a word, a tag or a part of a path: it is hidden
# in these values alone.
FOREIGN = frozenset(
    "annotations config degraded_message description diff exception manifest message metadata missing msg refused "
    "warnings".split()
)
MESSAGES = ("msg", "exception")
_DIGEST = re.compile(r"(sha(?:256|384|512):[0-9a-f]{64,128}(?![0-9a-f]))")


class ConcealingModule(AnsibleModule):
    """An AnsibleModule that shows nothing of a secret, whether it was given to it or found by it.

    Ansible knows options that are marked ``no_log``. Here, what was given under a misspelt name, a private key in the
    place of a certificate, and passwords in URLs are not shown either: neither with ``-vvv``, nor in messages about
    wrong options, nor in the system's log.

    Ansible replaces a secret wherever its characters are. A password such as ``abc`` would so damage digests, and one
    that is also the name of a repository every reference. Here, digests stay whole, and what the task says in the open
    is not hidden in values; messages are another matter, since nothing compares them.
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
        cast(Any, super()).warn(_Hider(self._hidden_in_words()).text(warning), **more)

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
        result = {**self._masked(kwargs), "invocation": {"module_args": shown}}
        # the others have been hidden, where they are secrets
        self.no_log_values = {secret for secret in self._hidden() if len(secret) >= NO_CHANCE}
        cast(Any, super())._return_formatted(result)

    def _masked(self, result: dict[str, Any]) -> dict[str, Any]:
        hidden, in_words = self._hidden(), self._hidden_in_words()
        if not in_words:
            return result
        values = _Hider({secret: opaque for secret, opaque in hidden.items() if len(secret) >= SHORTEST})
        foreign, words = _Hider(hidden), _Hider(in_words)
        shown = {name: _without(values, foreign, name, value) for name, value in result.items()}
        for name in MESSAGES:
            if isinstance(result.get(name), str):
                shown[name] = words.text(result[name])
        return shown

    def _hidden(self) -> dict[str, bool]:
        """The secrets that values do not show, each with whether it is opaque; see :func:`~._secrets.known.note`.

        Those that the task says itself, outside of secrets, are not among them: a password may be the name of a
        repository.
        """
        given = dict.fromkeys([*self.no_log_values, *getattr(self, "_given_secrets", ())], False)
        said = "\n".join(getattr(self, "_said", ()))
        found = {**given, **_noted()}
        return {secret: opaque for secret, opaque in found.items() if secret and (opaque or secret not in said)}

    def _hidden_in_words(self) -> dict[str, bool]:
        """The secrets that messages do not show, which may repeat the beginning of a long one."""
        found = {**dict.fromkeys(self.no_log_values, False), **self._hidden()}
        given = getattr(self, "_given_secrets", ())
        if given:
            from .._secrets.known import MACHINE_MADE

            for each in given:
                # what is neither JSON nor a sentence is hidden in part, too
                is_token = len(each) >= MACHINE_MADE and not any(char in each for char in "{[ \n")
                found[each] = is_token or found.get(each, False)
        return {secret: opaque for secret, opaque in found.items() if secret}


class _Hider:
    """Texts without secrets. One that a digest may hold by chance is not looked for in digests."""

    def __init__(self, secrets: Mapping[str, bool]) -> None:
        self._masks: tuple[Any, Any] | None = None
        if secrets:
            from .._secrets.masking import Mask

            brief, long = self._masks = Mask(), Mask()
            for secret, opaque in secrets.items():
                (brief if len(secret) < NO_CHANCE else long).add(secret, opaque=opaque)

    def text(self, text: str) -> str:
        if self._masks is None:
            return text
        brief, long = self._masks
        parts = _DIGEST.split(text)
        parts[::2] = map(brief.text, parts[::2])
        masked: str = long.text("".join(parts))
        return masked


def _noted() -> dict[str, bool]:
    """The secrets that the task found out, each with whether it is opaque.

    Whoever notes a secret has imported the module for it; where nobody has, it is not imported for this either.
    """
    module_utils = __name__.rsplit(".", 2)[0]
    if f"{module_utils}._secrets.known" not in sys.modules:
        return {}
    from .._secrets.known import noted

    return noted()


def _without(values: _Hider, foreign: _Hider, name: Any, value: Any) -> Any:
    """A value of the result under this name without secrets."""
    hider = foreign if name in FOREIGN else values
    if isinstance(value, str):
        return hider.text(value)
    if isinstance(value, Mapping):
        return {_key(values, key): _without(hider, foreign, key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(hider, foreign, name, item) for item in value]
    return value


def _key(hider: _Hider, key: Any) -> Any:
    """A key that is not this collection's own, which are plain words."""
    is_own = isinstance(key, str) and key.islower() and key.replace("_", "").isalpha()
    return hider.text(key) if isinstance(key, str) and not is_own else key
