# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads packaged charts from a cache that other users may write to."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import BinaryIO, cast

from .._errors import DigestMismatch
from .._files.bounded import MAX_CHART, pieces
from .._files.regular_file import open_regular
from .._oci.digest import Verifier


def open_checked(path: str, digest: str) -> BinaryIO:
    """Return an open private copy of the file at ``path``, checked against its digest. Closing the copy deletes it.

    A copy is needed because anyone who may write to the directory can replace the file between check and use.

    :raises DigestMismatch: when the file has another digest, or more bytes than Helm accepts of a chart.
    :raises OSError: when it is not a regular file, or cannot be read.
    """
    with contextlib.ExitStack() as stack:
        copy = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile(prefix="oci-artifact-")))
        source = stack.enter_context(open_regular(path))
        size = os.fstat(source.fileno()).st_size
        if size > MAX_CHART:
            raise DigestMismatch(f"The chart in {path} has {size} bytes: more than Helm accepts.")
        verifier = Verifier(digest, size, f"The chart in {path}")
        for chunk in pieces(source):
            verifier.update(chunk)
            copy.write(chunk)
        verifier.finish()
        copy.seek(0)
        source.close()
        # the caller closes it
        stack.pop_all()
        return copy
