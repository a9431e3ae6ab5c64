# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of artifacts as text that may be shown: manifests of Secrets, and values that are secrets, are hidden.

A file of an artifact may be a manifest, a template of one, values, or anything else. Where it can be read as YAML or
JSON, the values of the Secrets in it are replaced by marks, as in rendered manifests. Where it cannot, and may be a
Secret, as a template is, the document is hidden as a whole. Another value gives another mark.
"""

from __future__ import annotations

import re

from .._secrets.masking import Mask
from .manifest_text import (
    documents_in,
    dump,
    hide_secrets,
    mark,
    masked_document,
    named_secrets,
    only_document,
    secrets_of_release,
)

# documents that are read to look for Secrets in them; others are hidden when they hold the word
MAX_READ = 500
# aliases in a document that is read: a few more may stand for a million values
MAX_ALIASES = 10

_START = re.compile(r"^(---(?=[ \t]|$))", re.MULTILINE)
_SIGNS = ("Secret", "\\", "!!")
# a text that says, in YAML or JSON, that it is a Secret
_KIND = re.compile(r"kind[\"']?\s{0,9}:\s{0,40}[^\n#]{0,40}?(?<![A-Za-z])Secret(?:List)?(?![A-Za-z])")
_ALIAS = re.compile(r"\*\w")
# of a file of values that cannot be read as YAML
_NAMED_LINE = re.compile(
    r"^([ \t-]*[\"']?[\w.-]*(?:pass|pwd|token|secret|key|auth|cred)[\w.-]*[\"']?[ \t]*:[ \t]+)(\S.*)$", re.I | re.M
)
_VALUES_FILE = re.compile(r"(?:.*/)?values[^/]*\.ya?ml")


class FileTexts:
    """Hides secrets in texts of files. What is once known as a secret is hidden in all texts from then on.

    ``mask`` has the secrets that are known.
    """

    def __init__(self) -> None:
        self.mask = Mask()
        self._left = MAX_READ

    def learn(self, manifests: str) -> None:
        """Take in the values of the Secrets in manifests."""
        readable = [piece for piece in _START.split(manifests) if not _is_folded(piece)]
        for secret in secrets_of_release({"manifest": "\n".join(readable)}):
            self.mask.add(secret)

    def shown(self, path: str, text: str) -> str:
        """The text of a file without secrets.

        :param path: says whether it is a file of values, in which what a name such as ``password`` stands for is
            hidden.
        """
        if _VALUES_FILE.fullmatch(path):
            text = _without_named(text)
        if any(sign in text for sign in _SIGNS):
            pieces = _START.split(text)
            text = "".join(piece if piece == "---" else self._document(piece) for piece in pieces)
        return self.mask.text(text) if self.mask else text

    def _document(self, text: str) -> str:
        if not any(sign in text for sign in _SIGNS):
            return text
        self._left -= 1
        if self._left < 0:
            return _hidden(text) if "Secret" in text else text
        if _is_folded(text):
            return _hidden(text) if "kind" in text else text
        document = only_document(text)
        if document is None:
            return _hidden(text) if _KIND.search(text) else text
        without, changed = hide_secrets(document)
        return f"\n{dump(without)}\n" if changed else text


def _is_folded(text: str) -> bool:
    """Return True for a document with so many aliases that it is not read."""
    return len(_ALIAS.findall(text)) > MAX_ALIASES


def _without_named(text: str) -> str:
    mask, is_read = Mask(), False
    for document in () if _is_folded(text) else documents_in(text):
        is_read = True
        for secret in named_secrets(document):
            mask.add(secret)
    if is_read:
        return masked_document(text, mask)
    return _NAMED_LINE.sub(lambda match: match[1] + mark(match[2]), text)


def _hidden(text: str) -> str:
    return f"\n# a manifest that may be of a Secret {mark(text)}\n"
