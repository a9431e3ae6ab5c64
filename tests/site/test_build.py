# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends the build of the site, and what leads out of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "docs/build.sh"
CONFIG = BUILD.parent / "site"
ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"


def build(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Build a site of one page with the site's own configuration, as docs/build.sh does."""
    (folder / "pages").mkdir()
    (folder / "pages/index.rst").write_text(f"Title\n=====\n\n{text}\n")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-c", str(CONFIG), "-W", "--keep-going", "--quiet"]
    return subprocess.run(
        [*command, str(folder / "pages"), str(folder / "out")], check=False, capture_output=True, text=True
    )


def test_labels_of_ansible_become_addresses_without_a_network(tmp_path: Path) -> None:
    labels = {
        "ansible_collections.ansible.builtin.ping_module": "collections/ansible/builtin/ping_module.html",
        "ansible_collections.kubernetes.core.k8s_lookup": "collections/kubernetes/core/k8s_lookup.html",
        "common_return_values": "reference_appendices/common_return_values.html#common-return-values",
    }
    links = "\n".join(f"- :ref:`a link <{label}>`" for label in labels)
    option = "ansible_collections.ansible.builtin.copy_module__parameter-src"
    done = build(tmp_path, f"{links}\n- :ref:`an option <{option}>`")

    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out/index.html").read_text()
    for address in (*labels.values(), "collections/ansible/builtin/copy_module.html#parameter-src"):
        assert f'href="{ANSIBLE}/{address}"' in page


def test_what_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    lost = [
        ":ref:`a guide <ansible_collections.cloudnative.artifacts.docsite.guide_gone>`",
        ":ref:`a module <ansible_collections.cloudnative.artifacts.oci_artifact_gone_module>`",
        ":envvar:`OCI_ARTIFACT_GONE`",
        "`no such thing`",
    ]
    done = build(tmp_path, "\n".join(f"- {each}" for each in lost))

    assert done.returncode != 0
    assert done.stderr.count("WARNING: ") == len(lost), done.stderr


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    done = subprocess.run(["bash", str(BUILD), str(tmp_path)], check=False, capture_output=True, text=True)

    assert done.returncode == 1 and "name a new or empty folder" in done.stderr
    assert (tmp_path / "mine").read_text() == "kept"
