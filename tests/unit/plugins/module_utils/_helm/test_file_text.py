# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of artifacts, and what differs between charts, without secrets."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ChartError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import chart_diff
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.file_text import MAX_READ, FileTexts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.masking import Mask

HUSH = "hush-hush-value"
ENCODED = base64.b64encode(HUSH.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"kind: Secret\nmetadata: {{name: s}}\nstringData: {{password: {HUSH}}}\n",
        f"kind: ConfigMap\n---\napiVersion: v1\nkind: Secret\ndata:\n  password: {ENCODED}\n",
        f'{{"kind": "\\u0053ecret", "stringData": {{"password": "{HUSH}"}}}}\n',
        f"kind: !!str Secret\nstringData: {{password: {HUSH}}}\n",
        f"kind: List\nitems:\n- kind: Secret\n  stringData: {{password: {HUSH}}}\n",
        # templates, and what no reader of YAML takes
        f"{{{{- if .Values.on }}}}\nkind: Secret\nstringData:\n  password: {HUSH}\n{{{{- end }}}}\n",
        f'[{{"kind":\n "Secret", "stringData": {{"password": "{HUSH}"}}}}]\n',
        f"kind: Secret\nstringData: {{password: {HUSH}\n",
    ],
)
def test_secrets_in_files_are_hidden_and_their_changes_are_not(text: str) -> None:
    texts = FileTexts()
    shown = texts.shown("secret.yaml", text)
    assert HUSH not in shown and ENCODED not in shown
    other = text.replace(HUSH, "another").replace(ENCODED, "YW5vdGhlcg==")
    assert shown == texts.shown("secret.yaml", text) != texts.shown("secret.yaml", other)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n",
        "kind: SecretStore\nspec: {a: b}\n",
        "kind: ExternalSecret\nspec: {{ .Values.spec }}\n",
        "---\nkind: Deployment\nspec:\n  imagePullSecrets: {{ .Values.secrets }}\n",
        "print('Secrets are kept', '\\n')\n",
        "--- # a comment\na: b\n--- \nb: 'Secret'\n",
    ],
)
def test_other_files_are_shown_as_they_are(text: str) -> None:
    assert FileTexts().shown("templates/a.yaml", text) == text


def test_a_known_secret_is_hidden_everywhere() -> None:
    texts = FileTexts()
    texts.learn(f"kind: Secret\nstringData: {{password: {HUSH}}}\n")
    for text in (f"the login is {HUSH}\n", f"value: {ENCODED}\n"):
        shown = texts.shown("notes.txt", text)
        assert HUSH not in shown and ENCODED not in shown


@pytest.mark.parametrize(
    "text", ["db:\n  password: {}\n  size: 3\n", "db: {{{{ broken\n  password: {}\n  size: 3\n"], ids=["yaml", "other"]
)
def test_values_under_the_name_of_a_secret_are_hidden(text: str) -> None:
    shown = FileTexts().shown("charts/db/values-prod.yaml", text.format(HUSH))
    assert HUSH not in shown and "password: (hidden, " in shown and "size: 3" in shown
    assert FileTexts().shown("other.yaml", text.format(HUSH)) == text.format(HUSH)


def test_reading_is_bounded_and_then_hides() -> None:
    texts = FileTexts()
    text = "--- # Secret\na: b\n" * MAX_READ
    assert texts.shown("a.yaml", text) == text
    assert "a: b" not in texts.shown("b.yaml", "a: b # Secret\n")


def test_documents_that_would_unfold_are_not_read() -> None:
    """Ten aliases in each of a few lines stand for more values than there is time to look at."""
    lines = ["a: &a0 [x]", *(f"b{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 9))]
    bomb = "\n".join(["kind: Secret", *lines, f"stringData: {{password: {HUSH}}}"])
    texts = FileTexts()
    texts.learn(bomb)
    assert not texts.mask and HUSH not in texts.shown("a.yaml", bomb)
    with pytest.raises(ChartError):
        chart_diff.compare_objects("---\n".join([f"{bomb}\n"] * 20), "", Mask())


def test_values_are_compared_by_path() -> None:
    before = {"a": {"b": [1, 2], "gone": None}, "password": "one", "flag": 1, "empty": {}}
    after = {"a": {"b": [1, 3], "x.y": "new"}, "password": "two", "flag": True, "empty": {}}
    found = {each["path"]: each for each in chart_diff.compare_values(before, after, Mask(), named=True)}
    assert found["a.b[1]"] == {"path": "a.b[1]", "from": 2, "to": 3}
    assert found["a.gone"] == {"path": "a.gone", "from": None}
    assert found["a.x\\.y"] == {"path": "a.x\\.y", "to": "new"}
    assert found["flag"] == {"path": "flag", "from": 1, "to": True}
    assert found["password"]["from"].startswith("(hidden, ") and set(found) == {*found, "password"} and len(found) == 5
    many = {f"key{number}": number for number in range(chart_diff.MAX_LISTED + 10)}
    assert len(chart_diff.compare_values({}, many, Mask(), named=False)) == chart_diff.MAX_LISTED


def test_objects_are_compared_by_their_names() -> None:
    before = "kind: A\nmetadata: {name: one}\nspec: 1\n---\nkind: A\nmetadata: {name: two, namespace: prod}\n"
    after = (
        f"kind: A\nmetadata: {{name: one}}\nspec: 2\n---\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: {HUSH}}}\n"
    )
    found = {each.title: each for each in chart_diff.compare_objects(before, after, Mask())}
    assert set(found) == {"A one", "A prod/two", "Secret s"}
    assert (found["A prod/two"].after, found["Secret s"].before) == ("", "")
    assert HUSH not in found["Secret s"].after
    with pytest.raises(ChartError):
        chart_diff.compare_objects("---\nkind: A\n" * (chart_diff.MAX_OBJECTS + 1), "", Mask())
