# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chart as Helm is given it: a copy that is compared with its digest, and that nobody can alter afterwards."""

from __future__ import annotations

import os

from ..._files.bounded import pieces
from ..._files.regular_file import open_regular, storage_error
from ..._oci.digest import Verifier
from .spec import FetchedChart


def copy_chart(chart: FetchedChart, path: str) -> None:
    """Copy a chart to a new file, and check it while it is copied.

    :param path: in a private directory of the caller.
    :raises DigestMismatch: when the file does not match the chart's digest.
    :raises StorageError: when it cannot be read, or the copy cannot be written.
    """
    try:
        with open_regular(chart.path) as source, open(path, "xb") as copy:
            size = os.fstat(source.fileno()).st_size
            verifier = Verifier(chart.layer, size, f"The chart in {chart.path}")
            for chunk in pieces(source):
                verifier.update(chunk)
                copy.write(chunk)
    except OSError as exc:
        raise storage_error("read", chart.path, exc) from None
    verifier.finish()
