# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an audit as JSON, and as one HTML page that needs nothing else.

The page has no script, and forbids any (Content-Security-Policy), so that a name from a host or a registry stays text
whatever it holds. Characters that are not seen, or turn the direction of what follows, are written as codes.
"""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .judge import KINDS

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--card:#f6f8fa;--bad:#b3261e;
--badbg:#fdecea;--warn:#7a4d00;--warnbg:#fff4d6;--good:#1a6b35;--goodbg:#e3f5e8}
@media (prefers-color-scheme:dark){:root{--bg:#0f1419;--fg:#e6edf3;--soft:#9aa5b1;--line:#343c46;--card:#181e25;
--bad:#ff9d94;--badbg:#3b1716;--warn:#f3c969;--warnbg:#352a0c;--good:#7fdc9a;--goodbg:#11301b}}
*{box-sizing:border-box}body{margin:0 auto;padding:2rem 1.5rem;max-width:90rem;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{margin:.2rem 0;color:var(--soft)}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0}.tile{background:var(--card);border:1px solid var(--line);
border-radius:.6rem;padding:.6rem 1rem;min-width:8rem}.tile b{display:block;font-size:1.5rem;line-height:1.2}
.tile span{color:var(--soft);font-size:.85rem}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.45rem .7rem;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;font-size:.85rem;white-space:nowrap}td{overflow-wrap:anywhere}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:.85em/1.4 ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace}
.few{width:auto;min-width:20rem}.hosts td:nth-child(1){min-width:13rem}.hosts td:nth-child(2){min-width:9rem}
.hosts td:nth-child(3){min-width:15rem}.hosts td:nth-child(4){white-space:nowrap}.hosts td:nth-child(5){min-width:14rem}
.hosts td:nth-child(6){min-width:18rem}.t{white-space:nowrap}
ul{margin:0;padding:0;list-style:none}li+li{margin-top:.3rem}.soft{color:var(--soft)}
.k{display:inline-block;border-radius:.35rem;padding:0 .45rem;font-size:.82rem;font-weight:600;white-space:nowrap}
.bad{color:var(--bad);background:var(--badbg)}.warn{color:var(--warn);background:var(--warnbg)}
.good{color:var(--good);background:var(--goodbg)}
@media print{body{max-width:none;padding:0}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_json(report: Mapping[str, Any]) -> str:
    """Return a report as JSON text, in ASCII."""
    return json.dumps(report, indent=1, sort_keys=True) + "\n"


def page_of(report: Mapping[str, Any]) -> str:
    """Return a report as an HTML document."""
    fail_on = set(report["fail_on"])
    title = text(report["title"])
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<header><h1>{title}</h1><p>As of {text(report['created'])}</p></header><main>",
        _tiles(report["summary"]),
        "<h2>What was found</h2>",
        _kinds(report["summary"]["findings"], fail_on),
    ]
    if report["groups"]:
        parts += ["<h2>Groups</h2>", _groups(report["groups"])]
    parts += ["<h2>Hosts</h2>", _hosts(report["hosts"], fail_on)]
    if report["records"]:
        parts += ["<h2>Records of deployments</h2>", _records(report["records"])]
    return "\n".join([*parts, "</main></body></html>\n"])


def text(value: object) -> str:
    """Return text as it may stand in the page, with codes for what would not be seen as itself."""
    shown = (
        f"\\u{{{ord(letter):x}}}" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else letter
        for letter in str(value)
    )
    return html.escape("".join(shown), quote=True)


def _tiles(summary: Mapping[str, Any]) -> str:
    failing = summary["failing_hosts"]
    tiles = [
        (summary["hosts"], "hosts", ""),
        (failing, "hosts with a failure", "bad" if failing else "good"),
        (summary["destinations"], "destinations", ""),
        (summary["digests"], "digests", ""),
    ]
    cells = [f'<div class="tile {mood}"><b>{number}</b><span>{name}</span></div>' for number, name, mood in tiles]
    return f'<div class="tiles">{"".join(cells)}</div>'


def _kinds(found: Mapping[str, int], fail_on: set[str]) -> str:
    if not found:
        return '<p><span class="k good">Nothing is wrong</span></p>'
    rows = [[_kind(kind, fail_on), str(found[kind])] for kind in KINDS if found.get(kind)]
    return _table(["Finding", "#Count"], rows, "few")


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for group in groups:
        found = [f"{count} {text(KINDS[kind])}" for kind, count in group["findings"].items()]
        numbers = [str(group[name]) for name in ("hosts", "failing_hosts", "destinations", "digests")]
        rows.append([text(group["name"]), *numbers, ", ".join(found) or '<span class="k good">fine</span>'])
    return _table(["Group", "#Hosts", "#With a failure", "#Destinations", "#Digests", "Findings"], rows)


def _hosts(hosts: Sequence[Mapping[str, Any]], fail_on: set[str]) -> str:
    rows = []
    for host in sorted(hosts, key=lambda each: _urgency(each, fail_on)):
        name = f"<b>{text(host['name'])}</b>"
        if host["findings"] or not host["destinations"]:
            nothing = '<span class="soft">nothing placed</span>'
            rows.append([name, "", "", "", "", _findings(host["findings"], fail_on) if host["findings"] else nothing])
        for one in host["destinations"]:
            rows.append([name, *_destination(one, fail_on)])
            name = f'<span class="soft">{text(host["name"])}</span>'
    return _table(["Host", "Destination", "Reference", "Digest", "Signers", "Findings"], rows, "hosts")


def _urgency(host: Mapping[str, Any], fail_on: set[str]) -> tuple[bool, bool, str]:
    """The key that puts hosts with failures first, then those with other findings."""
    found = {each["kind"] for part in (host, *host["destinations"]) for each in part["findings"]}
    return not found & fail_on, not found, str(host["name"])


def _destination(one: Mapping[str, Any], fail_on: set[str]) -> list[str]:
    url = str(one["url"])
    reference = url[len("oci://") :] if url.startswith("oci://") else url
    placed = f'<br><span class="soft t">{text(one["placed_at"])}</span>' if one["placed_at"] else ""
    user = f'<br><span class="soft">{text(one["user"])}</span>' if one["user"] != "root" else ""
    digest = str(one["digest"])
    return [
        f"<code>{text(one['path'])}</code>{user}",
        f"{text(reference)}{':' + text(one['tag']) if one['tag'] else ''}{placed}",
        f'<code title="{text(digest)}">{text(digest[:19])}</code>' if digest else "",
        _list(text(name) for name in one["signers"]) if one["signers"] else '<span class="soft">–</span>',
        _findings(one["findings"], fail_on) if one["findings"] else '<span class="k good">fine</span>',
    ]


def _records(records: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            text(each["fleet"]),
            text(each["url"]),
            f'<code title="{text(each["artifact"])}">{text(str(each["artifact"])[:19])}</code>',
            text(each["since"]),
            text(each["result"]),
            text(each["status"]),
        ]
        for each in records
    ]
    return _table(["Fleet", "Repository", "Digest", "Since", "Result", "Record"], rows)


def _findings(found: Iterable[Mapping[str, str]], fail_on: set[str]) -> str:
    return _list(f"{_kind(each['kind'], fail_on)} {text(each['message'])}" for each in found)


def _kind(kind: str, fail_on: set[str]) -> str:
    return f'<span class="k {"bad" if kind in fail_on else "warn"}">{text(KINDS[kind])}</span>'


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of cells that are HTML; a name with ``#`` is that of numbers."""
    numeric = [name.startswith("#") for name in names]
    head = "".join(
        f'<th scope="col"{" class=n" if is_number else ""}>{name.lstrip("#")}</th>'
        for name, is_number in zip(names, numeric)
    )
    body = "".join(
        f"<tr>{''.join(_cell(cell, is_number) for cell, is_number in zip(row, numeric))}</tr>\n" for row in rows
    )
    opening = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="wide">{opening}<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _cell(cell: str, is_number: bool) -> str:
    return f"<td{' class=n' if is_number else ''}>{cell}</td>"
