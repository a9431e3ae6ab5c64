# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of limits in the guide on connections says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud import aws
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import bounded, bounded_popen
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import (
    answer as registry_answer,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import (
    body as http_body,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import client as http_client
from ansible_collections.cloudnative.artifacts.plugins.module_utils._http import (
    pauses,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import blob_store
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login import (
    helper as credential_helper,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._mirrors import rules as mirrors
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import (
    manifest,
    options,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import (
    repository as transport,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import layers, task
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import layer_reader
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import (
    pages as registry_pages,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import referrers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry import (
    repository as registry,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_pull

PULL = yaml.safe_load(oci_artifact_pull.DOCUMENTATION)["options"]
GUIDE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/guide_network.rst"
WANTED = {
    "Wait for a connection": f"{options.DEFAULT_TIMEOUT:g} s",
    "Slowest transfer": f"{http_body.MIN_RATE} bytes/s",
    "Repetitions after a passing failure": f"{options.DEFAULT_RETRIES}",
    "Repetitions at a mirror": f"{mirrors.RETRIES_BEFORE_NEXT}",
    "Pause before the first repetition": f"{pauses.FIRST_PAUSE:g} s",
    "Longest pause": f"{pauses.MAX_PAUSE:g} s",
    "All pauses": f"{pauses.MAX_TOTAL:g} s",
    "Redirects": f"{http_client.MAX_REDIRECTS}",
    "Mirrors": f"{mirrors.MAX_MIRRORS}",
    "Answer of a credential helper": (
        f"{credential_helper.HELPER_TIMEOUT:g} s, {credential_helper.MAX_OUTPUT >> 20} MiB"
    ),
    "Answer of a program of AWS": f"{aws.MAX_LOGIN:g} s, {bounded_popen.MAX_OUTPUT >> 20} MiB",
    "Docker or podman config": f"{bounded.MAX_LOGIN_FILE >> 20} MiB",
    "Client certificate": f"{bounded.MAX_PEM >> 20} MiB",
    "Answer of a token server": f"{http_client.MAX_TOKEN_ANSWER >> 20} MiB",
    "Manifest or index": f"{manifest.MAX_MANIFEST_SIZE >> 20} MiB",
    "Config, signature or other blob": f"{transport.MAX_SMALL_BLOB >> 20} MiB",
    "One page of a list": f"{registry_pages.MAX_PAGE_SIZE >> 20} MiB",
    "Pages of a list": f"{registry_pages.MAX_PAGES}",
    "Tags of a repository": f"{registry.MAX_TAGS}",
    "Referrers that are listed": f"{referrers.MAX_REFERRERS}",
    "Referrers that a verification": f"{formats.MAX_REFERRERS}",
    "Words of a refusal": (f"{registry_answer.MAX_ERROR_ANSWER >> 10} KiB, {registry_answer.ERROR_ANSWER_TIMEOUT:g} s"),
    "Parallel transfers": f"{layer_reader.MIN_TRANSFERS} to {task.MAX_TRANSFERS}",
    "Layers of one pull": f"{layers.MAX_LAYERS}",
    "What an artifact unpacks to": (
        f"{options.parse_size(PULL['max_size']['default']) >> 30} GiB, {PULL['max_files']['default']} entries"
    ),
    "Wait for another task": f"{blob_store.DEFAULT_LOCK_TIMEOUT:g} s",
}


def test_the_table_of_limits() -> None:
    table = GUIDE.read_text().partition("\nLimits\n------\n")[2]
    rows = dict(re.findall(r"^   \* - (.+)\n     - (.+)\n", table, re.MULTILINE))
    del rows["What"]
    found = {next((start for start in WANTED if what.startswith(start)), what): limit for what, limit in rows.items()}
    assert found == WANTED
    assert push.PARALLEL_TRANSFERS == layer_reader.MIN_TRANSFERS
