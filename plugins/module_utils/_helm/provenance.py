# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that a provenance file belongs to a chart archive. Its PGP signature is not checked here.

The signed text is the metadata of the chart and, after a line ``...``, the SHA-256 of the archive by its file name.
Source: helm 3.22, pkg/provenance/sign.go; RFC 9580, section 7, for the cleartext signature framework.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from .._errors import BuildError
from .._files.bounded import FileRefused, read_file
from .go_yaml import load

MAX_PROVENANCE = 1 << 20

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_HINT = "Give the file that 'helm package --sign' or 'helm gpg sign' made for this archive, or none."


def provenance_beside(archive_path: str) -> str | None:
    """Return the path of the provenance file beside a packaged chart, None when there is none."""
    path = f"{archive_path}.prov"
    return path if os.path.isfile(path) else None


def check_provenance(path: str, archive: str, digest: str, file_name: str) -> list[str]:
    """Check that a provenance file belongs to an archive; return warnings.

    :param archive: name of the archive in errors.
    :param digest: digest of the archive.
    :param file_name: the name under which ``helm pull`` stores the archive and looks up its digest.
    :raises BuildError: when it is not a provenance file, or is one of another archive.
    """
    files = read_provenance(path)
    if files.get(file_name) == digest:
        return []
    if digest in files.values():
        names = _listed([name for name, value in files.items() if value == digest])
        return [
            f"The provenance file {path} names the archive {names}; 'helm pull --verify' looks for {file_name!r} and "
            "will refuse it."
        ]
    said = _listed([f"{name} with {value}" for name, value in files.items()]) or "no file"
    raise BuildError(f"{path} is the provenance of another archive: {archive} has {digest}, it names {said}.", _HINT)


def read_provenance(path: str) -> Mapping[str, str]:
    """Return the digests in a provenance file, by the names of the files.

    :raises BuildError: when it is not a provenance file.
    """
    try:
        data = read_file(path, MAX_PROVENANCE)
    except FileRefused as exc:
        raise BuildError(f"The provenance file {path} {exc}.", "Check 'provenance'.") from None
    text = _signed_text(data.decode("utf-8", "replace"), path)
    _metadata, separator, sums = text.partition("\n...\n")
    document = load(sums.encode("utf-8"), path, unique=False) if separator else None
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict):
        raise BuildError(f"{path} is not a provenance file: its signed text has no list of files.", _HINT)
    return {name: value for name, value in files.items() if isinstance(value, str)}


def _signed_text(text: str, path: str) -> str:
    """Return the text between armour headers and signature, with dash-escapes removed."""
    lines = text.replace("\r\n", "\n").split("\n")
    try:
        begin = lines.index(_BEGIN)
        start = lines.index("", begin) + 1
        end = lines.index(_SIGNATURE, start)
        lines.index(_END, end)
    except ValueError:
        raise BuildError(f"{path} is not a provenance file: it is not text with a PGP signature.", _HINT) from None
    return "\n".join(line[2:] if line.startswith("- ") else line for line in lines[start:end])


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:3])[:300]
