# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each option of each module, and each suboption, with a secret where one belongs, and where none does.

The modules run as they do on a host, with Ansible's own AnsibleModule, as with ``-vvv``: what they print and what they
log is searched.
"""

from __future__ import annotations

import base64
import copy
import importlib
import io
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.items import with_entries
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.sides import with_sides
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.masking import Mask

PACKAGE = "ansible_collections.cloudnative.artifacts.plugins.modules."
MARK = "Zq7hush3Kw9xVb"
LINES = [f"{MARK}{number}{'a' * 48}" for number in range(3)]
PEM = "\n".join(["-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----", ""])
KUBECONFIG = f"apiVersion: v1\nusers: [{{user: {{token: {MARK}$HOME}}}}]"
# nobody listens there
NOWHERE = "127.0.0.1:9/org/app"
QUICK = {"retries": 0, "timeout": "1s", "insecure": True}
BASE: dict[str, dict[str, Any]] = {
    "oci_artifact_pull": {"ref": f"{NOWHERE}:1", "dest": "dest", **QUICK},
    "oci_artifact_push": {"ref": f"{NOWHERE}:1", "path": "content", **QUICK},
    "oci_artifact_copy": {"ref": f"{NOWHERE}:1", "to": f"{NOWHERE}:2", **QUICK},
    "oci_artifact_info": {"ref": f"{NOWHERE}:1", **QUICK},
    "oci_artifact_sign": {"ref": f"{NOWHERE}:1", "key": "/none", **QUICK},
    "oci_artifact_verify": {"ref": f"{NOWHERE}:1", "public_keys": ["/none"], **QUICK},
    "oci_artifact_tag": {"ref": f"{NOWHERE}:1", "tags": ["prod"], **QUICK},
    "oci_artifact_prune": {"ref": NOWHERE, "rules": [{"count": 1}], **QUICK},
    "oci_artifact_diff": {"from": {"ref": f"{NOWHERE}:1"}, "to": {"ref": f"{NOWHERE}:2"}, **QUICK},
    "oci_artifact_cache": {"cache_dir": "cache"},
    "oci_artifact_rollback": {"dest": "dest"},
    "oci_artifact_facts": {},
    "oci_artifact_audit": {"hosts": {"a": {}}, **QUICK},
    "oci_registry_login": {"registry": "127.0.0.1:9", "state": "absent", "config_file": "login.json", **QUICK},
    "helm_chart_sources": {"sources": {"a": {"ref": f"{NOWHERE}:1"}}, "cache_dir": "cache", **QUICK},
    "oci_manifests": {
        "manifests": [{"name": "a", "state": "absent"}],
        "kubeconfig": "none.yaml",
        "api_timeout": "1s",
    },
    "helm_chart_render": {"releases": [{"name": "a", "state": "absent"}], "dest": "dest", "kubeconfig": "none.yaml"},
    "helm_releases": {"releases": [{"name": "a", "state": "absent"}], "kubeconfig": "none.yaml", "api_timeout": "1s"},
}


def spec_of(name: str) -> dict[str, Any]:
    """The argument spec that Ansible checks a module's options by."""
    module = importlib.import_module(PACKAGE + name)
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        runner = "run_registry_module" if hasattr(module, "run_registry_module") else "run_module"
        patch.setattr(module, runner, lambda spec, *_rest, **_rules: found.update(spec))
        module.main()
    assert found
    if "from" in found:
        return with_sides(found)
    return with_entries(found) if "artifacts" in found else found


def places(spec: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Each option by its path, those below others behind these."""
    for name, option in spec.items():
        yield (*above, name), option
        yield from places(option.get("options") or {}, (*above, name))


def with_value(base: Mapping[str, Any], spec: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The options of a task with one of them set; what is above it is made, with what it demands."""
    options = copy.deepcopy(dict(base))
    name, below = path[0], path[1:]
    if not below:
        return {**options, name: value}
    option = spec[name]
    held = options.get(name)
    first = held[0] if isinstance(held, list) and held else held
    inner = {**_demanded(option["options"]), **(first if isinstance(first, dict) else {})}
    made = with_value(inner, option["options"], below, value)
    return {**options, name: [made] if option.get("elements") == "dict" else made}


def _demanded(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (option.get("choices") or ["x"])[0] for name, option in spec.items() if option.get("required")}


def plants(option: Mapping[str, Any], every_way: bool) -> Iterator[tuple[str, Any]]:
    """Ways to have a secret in an option, with a name for each; of those of a text, only the main ones or all."""
    kind, is_list = option.get("type", "str"), option.get("type") == "list"
    texts = {
        "a private key": PEM,
        "an indented key": textwrap.indent(PEM, "    "),
        "a key without line ends": " ".join(PEM.split()),
        "a key in base64": base64.b64encode(PEM.encode()).decode(),
        "a password in a URL": f"https://user:{MARK}@127.0.0.1:9/org/app:1",
        "a slash in the password": f"oci://user:{MARK}/{MARK}@127.0.0.1:9/org/app:1",
        "a token in a URL": f"https://{MARK}{MARK}@127.0.0.1:9/org/app",
        "a login in a reference": f"user:{MARK}@127.0.0.1:9/org/app:1",
        "a token in a query": f"https://127.0.0.1:9/org/app?access_token={MARK}",
    }
    if kind in ("str", "path", "raw") or is_list:
        for name, text in texts.items() if every_way else [*texts.items()][2:5]:
            yield name, [text] if is_list else text
    if option.get("no_log"):
        yield "a secret", MARK
        yield "a secret with a variable", f"{MARK}-$HOME"
        yield "a list", [MARK, {"a": MARK}]
        yield "a mapping", {"a": {"b": [MARK]}}
    if option.get("options") is not None:
        wrong = {"pasword": MARK, "nested": [{"token": MARK}], "number": 12}
        yield "a misspelt suboption", [wrong] if is_list else wrong
        yield "text in place of suboptions", f"password={MARK}"
        yield "JSON in place of suboptions", json.dumps({"key": MARK, "password": MARK, "pasword": MARK})
        yield "a list in place of suboptions", [[MARK], f"{MARK} text"]
    if kind == "dict":
        yield "text for a mapping", f"{PEM}"
        yield "a key in a mapping", {"host": {"url": f"https://user:{MARK}@host", "client_key": PEM}}
        yield "a key in a list of a mapping", {"host": [{"url": "https://host", "pasword": PEM}]}
    if kind in ("bool", "int", "float"):
        yield "a key for another type", PEM
        yield "a URL for another type", f"https://user:{MARK}@host"
    if option.get("choices"):
        yield "a key for a choice", PEM


def run(name: str, options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What a module prints, and what it logs."""
    internal = {"_ansible_verbosity": 3, "_ansible_diff": True}
    if hasattr(basic, "_PARSED_MODULE_ARGS"):  # ansible-core that has to be asked for it
        internal["_ansible_inject_invocation"] = True
    logged: list[str] = []
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **internal}}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, *words, **more: logged.append(f"{words} {more}"))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    output = sys.stdout
    with pytest.raises(SystemExit):
        importlib.import_module(PACKAGE + name).main()
    return output.getvalue(), "\n".join(logged)


def known() -> Mask:
    mask = Mask()
    mask.add(MARK)
    return mask


# the others have the same options
THOROUGH = ("oci_artifact_pull", "oci_artifact_push", "helm_releases")
CASES = [
    pytest.param(name, path, way, value, id=f"{name}-{'.'.join(path)}-{way}")
    for name in BASE
    for path, option in places(spec_of(name))
    for way, value in plants(option, every_way=name in THOROUGH and len(path) == 1)
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "content").write_text("content")


@pytest.mark.parametrize(("name", "path", "way", "value"), CASES)
def test_a_secret_in_an_option_is_not_shown(
    name: str, path: tuple[str, ...], way: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, logged = run(name, with_value(BASE[name], spec_of(name), path, value), monkeypatch)
    result = json.loads(output)
    assert "invocation" in result
    mask = known()
    for where, text in (("output", output), ("log", logged)):
        assert MARK not in text and not mask.holds(text), (where, text)


@pytest.mark.parametrize("name", BASE)
@pytest.mark.parametrize("value", [MARK, PEM, [MARK], {"a": {"b": MARK}}, f"a: {MARK}"])
def test_a_misspelt_option_is_not_shown(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    output, logged = run(name, {**BASE[name], "pasword": value}, monkeypatch)
    assert "pasword" in json.loads(output)["msg"]
    assert MARK not in output + logged and not known().holds(output + logged)


def test_what_is_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**BASE["oci_artifact_pull"], "verify": {"public_keys": ["/etc/key.pub"]}, "password": MARK}
    options["mirrors"] = {"docker.io": [{"url": "https://mirror.test/x", "client_key": "/etc/key.pem"}]}
    output, _logged = run("oci_artifact_pull", options, monkeypatch)
    shown = json.loads(output)["invocation"]["module_args"]
    assert shown["ref"] == options["ref"] and shown["verify"]["public_keys"] == ["/etc/key.pub"]
    assert shown["mirrors"]["docker.io"][0]["url"] == "https://mirror.test/x"
    assert shown["password"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("oci_artifact_pull", {"client_cert": PEM}, "'client_cert' holds a private key."),
        ("oci_artifact_pull", {"ca_cert": PEM}, "'ca_cert' holds a private key."),
        ("oci_artifact_pull", {"verify": {"public_keys": ["a", PEM]}}, "'verify.public_keys' holds a private key."),
        ("oci_artifact_push", {"source": f"https://user:{MARK}@git.test/x"}, "'source' carries credentials."),
        ("oci_artifact_diff", {"from": {"ref": f"{NOWHERE}:1", "ca_cert": PEM}}, "'from.ca_cert' holds a private key."),
        ("helm_releases", {"client_cert": PEM}, "'client_cert' holds a private key."),
        ("helm_releases", {"host": f"https://user:{MARK}@cluster.test"}, "'host' carries credentials."),
        ("helm_releases", {"kubeconfig": KUBECONFIG}, "'kubeconfig' is neither"),
        ("helm_releases", {"kubeconfig": f"{MARK}-$HOME"}, "The file that 'kubeconfig' names does not exist."),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output, logged = run(name, {**BASE[name], **options}, monkeypatch)
    result = json.loads(output)
    assert words in result["msg"] and result["reason"] == "InvalidOption"
    assert MARK not in output + logged
