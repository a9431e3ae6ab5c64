# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results and messages without the secrets that a module was given or found; it is imported where there are any.

Ansible replaces a secret wherever its characters are. A password such as ``abc`` would so damage digests, and one that
is also the name of a repository every reference. Here, digests stay whole, and what the task says in the open is not
hidden in values; messages are another matter, since nothing compares them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from .._secrets.known import MACHINE_MADE
from .._secrets.masking import Mask
from .option_secrets import SHORTEST

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


class Hiding:
    """Hides secrets in what leaves a module.

    :param given: secrets in the options of the task.
    :param marked: what options hold that are marked ``no_log``.
    :param noted: secrets that were found, each with whether it is opaque; see :func:`~._secrets.known.note`.
    :param said: texts that the task says itself, outside of secrets: a password may be the name of a repository.
    """

    def __init__(
        self, given: Collection[str], marked: Collection[str], noted: Mapping[str, bool], said: Collection[str]
    ) -> None:
        text = "\n".join(said)
        found = {**dict.fromkeys([*marked, *given], False), **noted}
        # what values do not show
        self._hidden = {secret: opaque for secret, opaque in found.items() if secret and (opaque or secret not in text)}
        # what messages do not show, which may repeat the beginning of a long text
        in_words = {**dict.fromkeys(marked, False), **self._hidden}
        for each in given:
            # what is neither JSON nor a sentence is hidden in part, too
            is_token = len(each) >= MACHINE_MADE and not any(char in each for char in "{[ \n")
            in_words[each] = is_token or in_words.get(each, False)
        self._words = _Hider(in_words)

    @property
    def anywhere(self) -> set[str]:
        """The secrets that Ansible may look for in everything, as it does."""
        return {secret for secret in self._hidden if len(secret) >= NO_CHANCE}

    def message(self, text: str) -> str:
        """A message without secrets."""
        return self._words.text(text)

    def result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a module without secrets."""
        values = _Hider({secret: opaque for secret, opaque in self._hidden.items() if len(secret) >= SHORTEST})
        foreign = _Hider(self._hidden)
        shown = {name: _without(values, foreign, name, value) for name, value in result.items()}
        for name in MESSAGES:
            if isinstance(result.get(name), str):
                shown[name] = self.message(result[name])
        return shown


class _Hider:
    """Texts without secrets. One that a digest may hold by chance is not looked for in digests."""

    def __init__(self, secrets: Mapping[str, bool]) -> None:
        self._brief, self._long = Mask(), Mask()
        for secret, opaque in secrets.items():
            if secret:
                (self._brief if len(secret) < NO_CHANCE else self._long).add(secret, opaque=opaque)

    def text(self, text: str) -> str:
        parts = _DIGEST.split(text)
        parts[::2] = map(self._brief.text, parts[::2])
        return self._long.text("".join(parts))


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
