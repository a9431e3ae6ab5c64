# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts of this host that no registry has: a packaged chart, or a directory."""

from __future__ import annotations

import os

from ..._dest.drift import file_digest
from ..._errors import BuildError, ChartError
from ..._files.bounded import expanded
from ..._files.regular_file import open_regular, storage_error
from ..._helm.chart import pack_chart, read_packaged_chart
from ..releases.spec import FetchedChart


def local_chart(path: str, packed: str) -> FetchedChart:
    """Return a chart of this host, with the digest that it has now.

    :param packed: the path that a directory is packaged to.
    :raises ChartError: when it is not a chart.
    :raises StorageError: when it cannot be read.
    """
    path = os.path.abspath(expanded(path))
    file = path
    try:
        if os.path.isdir(path):
            file = packed
            with open(packed, "xb") as output:
                pack_chart(path, output)
        with open_regular(file) as stream:
            digest = file_digest(os.dup(stream.fileno()))
            stream.seek(0)
            chart = read_packaged_chart(stream, path)
    except BuildError as exc:
        raise ChartError(f"{path} is not a Helm chart. {exc.message}", exc.hint) from None
    except OSError as exc:
        raise storage_error("read", path, exc) from None
    return FetchedChart(file, digest, digest, digest, path, chart.name, chart.version, chart.app_version)
