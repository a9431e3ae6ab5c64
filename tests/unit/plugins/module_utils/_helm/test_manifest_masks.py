# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came from Secrets is in no manifest that is shown, wherever a chart puts it and however it spells it."""

from __future__ import annotations

import base64
import json
import textwrap
from urllib.parse import quote

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.manifest_text import (
    masked_manifests,
    object_text,
    secrets_of_release,
    shown_release,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.masking import Mask

PEM = """\
-----BEGIN RSA PRIVATE KEY-----
MIIEowIBAAKCAQEA1fYtqLkWbE0n
u8vIhs1xkTgQ2n3gGm4qZk5cXw==
-----END RSA PRIVATE KEY-----
"""


def mask_of(*values: object) -> Mask:
    mask = Mask()
    for value in values:
        mask.add_value(value)
    return mask


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# readers of YAML see a Secret in each of these
DISGUISES = [
    'kind: "Secr\\x65t"\nstringData: {password: hush-hush}\n',
    'kind: "\\u0053ecret"\ndata: {password: hush-hush}\n',
    "kind: |-\n  Secret\nstringData: {password: hush-hush}\n",
    "kind: !!str Secret\nstringData: {password: hush-hush}\n",
    "? kind\n: Secret\n? stringData\n: {password: hush-hush}\n",
    "kind: &k Secret\nstringData: {password: hush-hush}\n",
    "x: &d {password: hush-hush}\nkind: Secret\nstringData: *d\n",
    "kind: Secret\n# hush-hush\ndata: {}\n",
    "kind: Secret\nx: &d {data: {password: hush-hush}}\n<<: *d\n",
    "kind: SecretList\nitems: [{metadata: {name: a}, data: {password: hush-hush}}]\n",
    "a: b\n--- {kind: Secret, stringData: {password: hush-hush}}\n",
    "a: b\n...\nkind: Secret\nstringData: {password: hush-hush}\n",
    "a: b\r---\rkind: Secret\rstringData: {password: hush-hush}\r",
    "a: b\r\n---\r\nkind: Secret\r\nstringData: {password: hush-hush}\r\n",
    "kind: ConfigMap\ndata:\n  m.yaml: |\n    kind: Secret\n    stringData: {password: hush-hush}\n",
    "kind: ConfigMap\ndata:\n  m.yaml: |\n    a: b\n    ---\n    kind: Secret\n    stringData: {password: hush-hush}\n",
    'kind: Pod\nmetadata:\n  annotations:\n    copy: \'{"kind": "Secret", "data": {"a": "hush-hush"}}\'\n',
    "kind: Secret\nstringData: hush-hush\n",
    "kind: Secret\nstringData: {password: [hush-hush]}\n",
    "kind: Secret\nstringData: {password: hush-hush\n",
]  # fmt: skip


@pytest.mark.parametrize("manifest", DISGUISES)
def test_a_secret_is_known_whatever_it_looks_like(manifest: str) -> None:
    text = masked_manifests(f"---\n# Source: x\n{manifest}")
    assert "hush" not in text and "# Source: x" in text.replace("---\n", "", 1)
    assert masked_manifests(manifest) == masked_manifests(manifest)
    if "# hush" not in manifest:
        assert masked_manifests(manifest) != masked_manifests(manifest.replace("hush-hush", "hush-other"))


TEXT = 'it\'s "quoted"\\ & <odd>'
WAYS = {
    "plain": "env: [{value: PASSWORD-hush}]",
    "inside": "url: postgres://user:PASSWORD-hush@db/app",
    "quoted": "value: " + json.dumps(TEXT),
    "single": "value: '" + TEXT.replace("'", "''") + "'",
    "json": "value: " + json.dumps(json.dumps({"a": TEXT})),
    "url": "value: http://h/?p=" + quote(TEXT, safe=""),
    "base64": f"value: {b64(TEXT)}",
    "in base64": f"value: {b64('user:' + TEXT)}",
    "docker": f"value: {b64(json.dumps({'auths': {'h': {'auth': b64('u:' + TEXT)}}}))}",
    "wrapped": "value: |\n" + textwrap.indent("\n".join(textwrap.wrap(b64("x" * 40 + TEXT + "y" * 40), 20)), "  "),
    "folded": "value: >-\n" + textwrap.indent("\n".join(textwrap.wrap(b64(TEXT * 4), 20)), "  "),
    "key": "value: |\n" + textwrap.indent(PEM, "      "),
    "a line": "value: " + PEM.splitlines()[1],
    "key in text": "data:\n  conf: |\n    [tls]\n      key =\n" + textwrap.indent(PEM, "          "),
    "a number": "value: 4711",
    "a number as text": "value: '4711'",
    "a number of go": "value: 1.2345678e+07",
    "a number in text": "value: pin=4711;",
    "hexadecimal": "value: 0x1267",
    "short": "value: pa55",
    "short inside": "value: u:pa55@h",
    "short in base64": f"value: {b64('pa55')}",
    "a boolean": "value: true",
    "a name": "PASSWORD-hush: value",
    "a comment": "value: x # PASSWORD-hush",
    "a short comment": "value: x # pa55",
    "a comment in between": "# is PASSWORD-hush\nvalue: x",
    "a tag": "value: !PASSWORD-hush x",
    "an anchor": "value: &PASSWORD-hush x",
}
SECRETS = ["PASSWORD-hush", TEXT, PEM, 4711, 12345678, "pa55", True]
LEFT = ["PASSWORD", "odd", "MIIEow", "u8vIhs1x", "4711", "1.2345678e", "0x1267", "pa55", "true"]
LEFT += [b64(TEXT)[:12], b64("pa55")]


@pytest.mark.parametrize("way", WAYS)
def test_values_that_came_from_secrets_are_hidden_in_every_spelling(way: str) -> None:
    manifest = f"# Source: x\nkind: ConfigMap\nother: stays as 'it is' # here\n{WAYS[way]}\nmore:   {{a:   b}}\n"
    text = masked_manifests(manifest, mask_of(*SECRETS))
    assert [each for each in LEFT if each in text] == [] and "(hidden" in text
    for line in ("# Source: x", "kind: ConfigMap", "other: stays as 'it is' # here", "more:   {a:   b}"):
        assert line in text.splitlines(), text
    # with nothing to hide, nothing is altered
    assert (
        masked_manifests(manifest, mask_of("something else"))
        == masked_manifests(manifest)
        == f"---\n{manifest.strip()}\n"
    )


def test_that_a_hidden_value_changed_is_shown() -> None:
    mask = mask_of("first-password", "second-password")
    texts = [masked_manifests(f"a: x\nvalue: u:{each}@h\n", mask) for each in ("first-password", "second-password")]
    assert texts[0] != texts[1] and texts[0] == masked_manifests("a: x\nvalue: u:first-password@h\n", mask)


def test_what_is_no_yaml_is_not_shown_once_a_secret_is_known() -> None:
    broken = "kind: ConfigMap\nvalue: [hush-hush\n"
    assert masked_manifests(broken) == f"---\n{broken}"
    assert "hush" not in masked_manifests(broken, mask_of("something"))


def test_what_the_secrets_of_a_release_hold_is_known() -> None:
    config = json.dumps({"auths": {"host": {"username": "bob", "password": "of-the-registry"}}})
    held = f"{{password: {b64('yesterday')}, flag: {b64('true')}, key: {b64(PEM)}}}"
    release = {
        "manifest": f"kind: Secret\ndata: {held}\n"
        "---\nkind: SecretList\nitems: [{stringData: {a: in-a-list}}]\n---\nkind: Other\ndata: {a: not-secret}\n",
        "hooks": [{"path": "a", "manifest": f"kind: Secret\ndata:\n  .dockerconfigjson: {b64(config)}\n"}],
    }
    found = set(secrets_of_release(release))
    assert {"yesterday", "in-a-list", "of-the-registry", PEM.splitlines()[1]} <= found
    assert not {"true", "not-secret", "bob"} & found
    mask = Mask()
    for each in found:
        mask.add(each)
    other = "kind: Deployment\nenv: [yesterday, in-a-list, not-secret, true]\n"
    assert "env: [(hidden, " in masked_manifests(other, mask) and "not-secret, true]" in masked_manifests(other, mask)
    assert "yesterday" not in shown_release(release, mask)
    assert "yesterday" not in object_text({"kind": "Pod", "spec": {"a": "x yesterday"}}, mask)


def test_a_large_manifest_without_secrets_is_left_as_it_is() -> None:
    lines = [f"  key-{number}: some value of moderate length {number}\n" for number in range(3000)]
    document = "kind: ConfigMap\ndata:\n" + "".join(lines)
    mask = mask_of([f"some-secret-value-{n}" for n in range(200)])
    assert masked_manifests(document, mask) == f"---\n{document}"
