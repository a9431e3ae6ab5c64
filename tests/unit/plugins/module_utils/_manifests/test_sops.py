# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are taken for encrypted ones, what they may name, and what becomes of those that cannot be decrypted."""

from __future__ import annotations

import json
import sys

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.sops import run_sops
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ManifestsInvalid, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.sops import (
    decrypted_below,
    is_encrypted,
    vault_addresses,
)

VALUE = "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]"
VAULT = "https://vault.example.com:8200"
METADATA = {"hc_vault": [{"vault_address": VAULT, "engine_path": "transit"}], "mac": VALUE}
DOCUMENT = json.dumps({"kind": "Secret", "data": {"a": VALUE}, "sops": METADATA})
DOTENV = f"a={VALUE}\nsops_hc_vault__list_0__map_vault_address={VAULT}\nsops_mac={VALUE}\n"
INI = f"[main]\na = {VALUE}\n\n[sops]\nhc_vault__list_0__map_vault_address = {VAULT}\nmac = {VALUE}\n"
FILES = {
    "a.yaml": DOCUMENT,
    "a.yml": f"kind: ConfigMap\n---\n{DOCUMENT}",
    "a.json": DOCUMENT,
    "a.env": DOTENV,
    "a.ini": INI,
    "a.bin": json.dumps({"data": VALUE, "sops": {"key_groups": [METADATA], "mac": VALUE}}),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_encrypted_files_of_all_formats(name: str) -> None:
    data = FILES[name].encode()
    assert is_encrypted(name, data)
    assert vault_addresses(name, data) == {VAULT}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "kind: ConfigMap"),
        ("a.yaml", f"data: {{sops: '{VALUE}'}}"),
        # text about it
        ("a.yaml", "data:\n  file: |\n    a: ENC[AES256_GCM,data:x]\n    sops:\n      mac: x\n"),
        ("a.env", f"sops=1\na={VALUE}\n"),
        ("a.txt", f"sops {VALUE}"),
        ("a.json", f"sops {VALUE}"),
    ],
)
def test_others_are_left_alone(name: str, text: str) -> None:
    assert not is_encrypted(name, text.encode())


def test_what_cannot_be_decrypted_beside_the_path_is_left_out() -> None:
    def decrypt(data: bytes, kind: str, what: str) -> bytes:
        if what.startswith("other/"):
            raise ManifestsInvalid("no key")
        return kind.encode()

    data = DOCUMENT.encode()
    files = {"mine/a.yaml": data, "mine/b.env": DOTENV.encode(), "mine/plain": b"plain", "other/a.yaml": data}
    found = decrypted_below(files, "./mine", "it", decrypt, is_built=True)
    assert found == {"mine/a.yaml": b"yaml", "mine/b.env": b"dotenv", "mine/plain": b"plain"}
    # where nothing is built, only what is below the path counts
    assert decrypted_below(files, "mine/", "it", decrypt, is_built=False)["other/a.yaml"] == data
    with pytest.raises(ManifestsInvalid, match="no key"):
        decrypted_below(files, "./", "it", decrypt, is_built=False)
    many = {f"{number}.yaml": data for number in range(501)}
    with pytest.raises(ManifestsInvalid, match="more than 500"):
        decrypted_below(many, ".", "it", decrypt, is_built=False)


def test_without_the_collection_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("ansible_collections.community.sops"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ansible_collections.community.sops.plugins.module_utils.sops", None)
    with pytest.raises(MissingDependency, match="community.sops is not on the controller"):
        run_sops(b"", "yaml", "a.yaml", {})
