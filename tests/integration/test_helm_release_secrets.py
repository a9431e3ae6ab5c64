# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that came from Secrets of a cluster, in charts that put them anywhere: no output shows them, old or new."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any
from urllib.parse import quote

import pytest
import secret_search
from support.artifacts import Publisher
from support.helm import RoleResult, RoleRunner, chart, history, publish_chart
from support.tools import Tools

pytestmark = pytest.mark.once

SPELLINGS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-spellings
data:
  # is {{ .Values.db.password }}
  plain: {{ .Values.db.password | quote }}
  inside: {{ printf "postgres://app:%s@db:%v/app" .Values.db.password .Values.db.pin | quote }}
  go: {{ printf "%q" .Values.db.password | quote }}
  json: {{ dict "password" .Values.db.password | toJson | quote }}
  url: {{ .Values.db.password | urlquery | quote }}
  base64: {{ .Values.db.password | b64enc | quote }}
  login: {{ printf "app:%s" .Values.db.password | b64enc | quote }}
  docker: {{ dict "auth" (printf "app:%s" .Values.db.password | b64enc) | toJson | b64enc | quote }}
  pin: {{ .Values.db.pin | quote }}
  short: {{ .Values.db.short | quote }}
  key: |
    [tls]
{{ .Values.db.key | indent 8 }}
  key64: {{ .Values.db.key | b64enc | quote }}
  inline: {{ .Values.inline | quote }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}
stringData:
  password: {{ .Values.db.password | quote }}
  own: {{ .Values.own | quote }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-hook
  annotations:
    helm.sh/hook: post-install,post-upgrade
data:
  password: {{ .Values.db.password | quote }}
  own: {{ .Values.own | quote }}
{{- if eq .Values.mode "fail" }}
{{- $more := printf "%s and %v" .Values.db.key .Values.db.short }}
{{ fail (printf "cannot use %q, %s, %s" .Values.db.password (.Values.db.password | b64enc) $more) }}
{{- end }}
{{- if eq .Values.mode "refused" }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ printf "not a name %s" .Values.db.password | quote }}
  labels:
    bad: {{ .Values.db.key | quote }}
{{- end }}
"""
VALUES = "db: {password: none, pin: 1, short: none, key: none}\nmode: fine\nown: none\ninline: none\n"


def new_values() -> dict[str, Any]:
    lines = [secrets.token_urlsafe(36)[:48] for _line in range(3)]
    return {
        "password": "p\"w\\d '$" + secrets.token_hex(6),
        "pin": 10_000_000 + secrets.randbelow(80_000_000),
        "short": secrets.token_hex(2) + "!",
        "key": "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""]),
    }


def give_away(values: dict[str, Any]) -> list[str]:
    """Texts of which none may be shown."""
    password, key = values["password"], values["key"]
    found = [password, quote(password, safe=""), json.dumps(password)[1:-1], json.dumps(json.dumps(password))[3:-3]]
    found += [password[8:], str(values["pin"]), f"{values['pin']:.7e}".replace("0e", "e"), values["short"]]
    found += key.splitlines()[1:4]
    for text in (password, key, f"app:{password}"):
        found.append(base64.b64encode(text.encode()).decode()[:-4])
    return found


def secret(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db"},
        "stringData": {"values.yaml": json.dumps({"db": values}), "password": values["password"]},
    }


@pytest.mark.parametrize("edition", ["helm", "helm4"])
def test_secrets_of_today_and_of_yesterday(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, edition: str
) -> None:
    role.helm = tools[edition]
    publish_chart(publisher, "1.0.0", chart(values=VALUES, **{"templates__spellings.yaml": SPELLINGS}))
    own = [secret_search.new_secret("own"), secret_search.new_secret("own")]
    old, new = new_values(), new_values()
    for values in (old, new):
        secret_search.register(values["password"], "a password of a release")
    sources = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}

    def run(generation: int, *, check: bool = False, **values: Any) -> RoleResult:
        references = values.pop("values_from", [{"kind": "Secret", "name": "db"}])
        values = {"own": own[generation], "inline": f"shown-{generation}", **values}
        one = {"name": "one", "namespace": namespace, "source": "demo", "values": values, "values_from": references}
        result = role(sources, [{**one, "test": {"enable": False}}], check=check, diff=True, flags=["-vvv"])
        for number, texts in (("old", give_away(old)), ("new", give_away(new)), ("own", own)):
            assert [text for text in texts if text in result.output] == [], number
        return result

    role.cluster.apply(secret(old), namespace=namespace)
    assert '+  inline: "shown-0"' in run(0, check=True).output
    assert run(0).changed

    # everything is another value; what changed is told, and what is no secret is shown
    role.cluster.apply(secret(new), namespace=namespace)
    for check in (True, False):
        result = run(1, check=check)
        assert result.actions == {"one": "upgrade"}
        assert '-  inline: "shown-0"' in result.output and '+  inline: "shown-1"' in result.output
        for name in ("plain", "inside", "go", "json", "url", "base64", "login", "docker", "pin", "short", "key64"):
            assert f"-  {name}: (hidden, " in result.output and f"+  {name}: (hidden, " in result.output, name

    # what Helm and the API say, of this generation and of the one before
    role.cluster.apply(secret(old), namespace=namespace)
    for mode in ("fail", "refused"):
        result = run(0, mode=mode)
        assert result.failed and "(hidden)" in result.message, result.message
        assert not (mode == "fail" and "shown" in result.message)

    # nothing sets the values any more: those of the record are still secrets
    result = run(1, values_from=[])
    assert result.changed and "-  plain: (hidden, " in result.output
    assert history(role.cluster, namespace, "one")[-1][1] == "deployed"
