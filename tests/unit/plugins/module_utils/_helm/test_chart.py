# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts read and packaged. That the results are those of helm is for the integration tests to show."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from two_users import place_without_rights, without_rights

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import archive_files, directory_files
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.chart import (
    Chart,
    pack_chart,
    read_chart,
)

yaml = pytest.importorskip("yaml")

GOOD = "apiVersion: v2\nname: demo\nversion: 0.1.0\n"


@pytest.fixture(params=["C parser", "Python parser"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "Python parser":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML has no C parser here")
    return str(request.param)


def directory(folder: Path, **files: str | bytes) -> str:
    return chart_directory(folder, {"Chart.yaml": GOOD, **files})


def chart_directory(folder: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def described(folder: Path, text: str) -> Chart:
    return read_chart(chart_directory(folder, {"Chart.yaml": text}))


def refused(folder: Path, text: str) -> str:
    with pytest.raises(BuildError) as caught:
        described(folder, text)
    return str(caught.value)


def tar(*entries: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            member = tarfile.TarInfo(entry[0])
            member.size = len(entry[1])
            archive.addfile(member, io.BytesIO(entry[1]))
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def packed(folder: str | Path) -> dict[str, bytes]:
    output = io.BytesIO()
    result = pack_chart(str(folder), output)
    assert result.size == len(output.getvalue())
    output.seek(0)
    with tarfile.open(fileobj=output) as archive:
        members = archive.getmembers()
        assert {(member.mode, member.mtime, member.uid, member.gid) for member in members} == {(0o644, 0, 0, 0)}
        return {member.name: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr]


# What helm 3.22 makes of an annotation's value.
SCALARS = {
    "1.10": "1.1", "1.0": "1", "0x1F": "31", "017": "15", "08": "8", "0o17": "15", "0b11": "3", "1_000": "1000",
    "-5": "-5", "+5": "5", "1e3": "1000", "1.5e-7": "1.5e-07", "12345678901234567890": "12345678901234567890",
    "99999999999999999999": "1e+20", "-9223372036854775808": "-9223372036854775808",
    "-9223372036854775809": "-9.223372e+18", "yes": "true", "No": "false", "on": "true", "y": "true", "n": "false",
    "False": "false", "null": "", "~": "", "''": "", "'1.10'": "1.10", "2024-01-01": "2024-01-01",
    "2001-12-14t21:59:43.10Z": "2001-12-14t21:59:43.10Z", ".5": "0.5", ".5_0": "0.5", "1.": "1", "+.inf": "+Inf",
    ".nan": "NaN", "-.INF": "-Inf", "<<": "<<", "=": "=", "!!str 1.10": "1.10", "!!float 3": "3", "!!int 7": "7",
    "!!bool yes": "true", "!!null ''": "", "! 5": "5", "!foo 1.2": "1.2", "!!float '1.5'": "1.5", "!!int '12'": "12",
    "1:30": "1:30", "0.1.0": "0.1.0", "01.2.3": "01.2.3", "-0": "0", "-0.0": "-0", "1e400": "1e400",
    "123456.789": "123456.79", "1234567.5": "1.2345675e+06", "16777217.0": "1.6777216e+07", "0x": "0x", "1__0": "10",
    "_1": "_1", "1_": "1", "0.0000001": "1e-07", "1e21": "1e+21", '"\\uFEFFx"': "\ufeffx", '"\\x85x"': "\x85x",
    "1e300": "+Inf", "1e-300": "0",
}  # fmt: skip


def test_scalars_are_spelled_as_helm_spells_them(parser: str, tmp_path: Path) -> None:
    lines = "".join(f"  k{number}: {text}\n" for number, text in enumerate(SCALARS))
    annotations = described(tmp_path, f"{GOOD}annotations:\n{lines}").annotations
    assert {text: annotations[f"k{number}"] for number, text in enumerate(SCALARS)} == SCALARS


def test_numbers_that_change_their_spelling_are_warned_of(tmp_path: Path) -> None:
    chart = described(tmp_path, "apiVersion: v2\nname: 1\nversion: 1.10\nappVersion: 0.5\ndescription: 7\n")
    assert (chart.name, chart.version, chart.app_version) == ("1", "1.1", "0.5")
    (warning,) = chart.warnings
    assert "'version' is 1.10" in warning
    assert 'Quote it: "1.10"' in warning


def test_tag_has_no_plus(tmp_path: Path) -> None:
    chart = described(tmp_path, GOOD.replace("0.1.0", "0.1.0-rc.1+build.5"))
    assert (chart.version, chart.tag) == ("0.1.0-rc.1+build.5", "0.1.0-rc.1_build.5")


def test_config_has_the_fields_in_helms_order_and_escapes_html(parser: str, tmp_path: Path) -> None:
    chart = described(
        tmp_path,
        GOOD
        + 'type: library\ndescription: "<&> \\u2028 é"\nannotations: {z: \'<\', a: "\\u2029"}\nhome: x\nunknown: 1\n'
        "keywords: []\ndependencies: [{name: d, import-values: [1e21, 0.1, 1e-7, ~, {b: [yes], a: 5}]}]\n",
    )
    assert chart.config.decode() == (
        '{"name":"demo","home":"x","version":"0.1.0","description":"\\u003c\\u0026\\u003e   é","apiVersion":"v2",'
        '"annotations":{"a":"\\u2029","z":"\\u003c"},"dependencies":[{"name":"d","repository":"","import-values":'
        '[1e+21,0.1,1e-7,null,{"a":5,"b":[true]}]}],"type":"library"}'
    )


def test_annotations_follow_helms_precedence(tmp_path: Path) -> None:
    created = "org.opencontainers.image.created"
    chart = described(
        tmp_path,
        GOOD + "home: h\nsources: [s, t]\ndescription: ' '\n"
        "maintainers: [{name: A, email: a@b}, {url: u}, {email: c@d}, {name: D}]\n"
        "annotations: {org.opencontainers.image.title: t, org.opencontainers.image.version: v,"
        f" org.opencontainers.image.url: own, {created}: then, x: ''}}\n",
    )
    assert chart.annotations == {
        "org.opencontainers.image.title": "demo",
        "org.opencontainers.image.version": "0.1.0",
        "org.opencontainers.image.url": "own",
        "org.opencontainers.image.source": "s",
        "org.opencontainers.image.authors": "A (a@b), ,  (c@d), D",
        created: "then",
        "x": "",
    }
    assert created not in described(tmp_path, GOOD).annotations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'name' is missing"),
        ("# only a comment\n", "'name' is missing"),
        ("name: [demo\n", "is not YAML"),
        (GOOD + "\tx: 1\n", "is not YAML"),
        (GOOD + "x: \x01\n", "is not YAML"),
        (GOOD + 'description: "\\ud83d\\ude00"\n', "Chart.yaml"),
        ("- demo\n", "is a list, wanted is a mapping"),
        ("demo\n", "is the text 'demo', wanted is a mapping"),
        ("7\n", "is the number 7, wanted is a mapping"),
        (GOOD + "name: other\n", "line 4: the key 'name' comes twice"),
        (GOOD + "Name: other\n", "'Name' and 'name' mean the same field"),
        (GOOD + "annotations: {1: a, '1': b}\n", "the key '1' comes twice"),
        (GOOD + "~: 1\n", "a key is empty"),
        (GOOD + "? [a]\n: 1\n", "a key is a list or mapping"),
        (GOOD + "x: *nope\n", "nope"),
        (GOOD + "x: &x [*x]\n", "contains itself"),
        (GOOD + "<<: 1\n", "is not a mapping"),
        (GOOD + "description: !!int x\n", "is not a valid !!int"),
        (GOOD + "description: !!binary aGk=\n", "binary"),
        (GOOD + f"x: {'[' * 101}{']' * 101}\n", "nested more than 100 deep"),
        (GOOD + f"x: {'[' * 100_000}", "Chart.yaml"),
        (GOOD + f"description: {'x' * (1 << 20)}\n", "more than the 1048576 that are allowed"),
        (GOOD.replace("v2", "v3"), "'apiVersion' is 'v3', wanted is v1 or v2"),
        (GOOD.replace("demo", "a/b"), "'name' is 'a/b'"),
        (GOOD.replace("demo", ".."), "'name' is '..'"),
        (GOOD.replace("demo", "''"), "'name' is missing"),
        (GOOD.replace("demo", "[demo]"), "'name' is a list, wanted is a text"),
        (GOOD.replace("0.1.0", ""), "'version' is missing"),
        (GOOD.replace("0.1.0", "latest"), "'version' is 'latest', wanted is a semantic version"),
        (GOOD.replace("0.1.0", "1.2.3.4"), "'version' is '1.2.3.4'"),
        (GOOD.replace("0.1.0", "-1"), "'version' is '-1'"),
        (GOOD.replace("0.1.0", "'1.0.0 '"), "'version' is '1.0.0 '"),
        (GOOD + "type: plugin\n", "'type' is 'plugin', wanted is application or library"),
        (GOOD + "kubeVersion: new\n", "'kubeVersion' is 'new', wanted is a range"),
        (GOOD + "deprecated: 1\n", "'deprecated' is the number 1, wanted is true or false"),
        (GOOD + "keywords: one\n", "'keywords' is the text 'one', wanted is a list"),
        (GOOD + "keywords: [one, {}]\n", "'keywords[1]' is a mapping, wanted is a text"),
        (GOOD + "annotations: [a]\n", "'annotations' is a list, wanted is a mapping"),
        (GOOD + "annotations: {a: {b: c}}\n", "'annotations.a' is a mapping"),
        (GOOD + "maintainers: [~]\n", "'maintainers' has an empty item"),
        (GOOD + "maintainers: [me]\n", "'maintainers[0]' is the text 'me', wanted is a mapping"),
        (GOOD + "dependencies: [~]\n", "'dependencies' has an empty item"),
        (GOOD + "dependencies: [{name: a}, {name: b, alias: a}]\n", "two items that are named 'a'"),
        (GOOD + "dependencies: [{name: a, alias: a b}]\n", "'a b', wanted is an alias"),
        (GOOD + "dependencies: [{name: a, import-values: [.inf]}]\n", "which JSON does not know"),
    ],
)
def test_bad_chart_yaml_is_refused(parser: str, text: str, message: str, tmp_path: Path) -> None:
    found = refused(tmp_path, text)
    assert message in found
    assert str(tmp_path / "Chart.yaml") in found
    assert "\n" not in found
    assert len(found) < 1000


BOMBS = {
    "nested aliases": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    + "dependencies: [{name: a, import-values: [*a59]}]\n",
    "aliases in many items": "a: &a ["
    + "x, " * 50_000
    + "]\ndependencies: ["
    + "".join(f"{{name: a{n}, import-values: *a}}, " for n in range(1000))
    + "]\n",
    "one record again and again": f"a: &a {{{', '.join(f'k{n}: 1' for n in range(20_000))}}}\nmaintainers: ["
    + "*a, " * 100_000
    + "]\n",
    "merged again and again": f"a: &a {{{', '.join(f'k{n}: 1' for n in range(20_000))}}}\nb: {{<<: ["
    + "*a, " * 100_000
    + "]}\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_short_documents_that_expand_are_refused(name: str, tmp_path: Path) -> None:
    folder = chart_directory(tmp_path, {"Chart.yaml": GOOD + BOMBS[name]})
    begin = time.process_time()
    with pytest.raises(BuildError, match="more than 100000"):
        read_chart(folder)
    # a fraction of a second with the C parser; without limits, hours
    assert time.process_time() - begin < 60


def test_aliases_and_merge_keys_mean_what_they_mean_to_helm(parser: str, tmp_path: Path) -> None:
    text = GOOD + "x: &x {description: merged, home: &h there}\nicon: *h\ndescription: before\n<<: [*x, {icon: i}]\n"
    found = json.loads(described(tmp_path, text).config)
    assert (found["description"], found["home"], found["icon"]) == ("merged", "there", "i")


def test_only_the_first_document_counts(parser: str, tmp_path: Path) -> None:
    assert described(tmp_path, f"---\n{GOOD}---\n[not: {{read").name == "demo"


def test_requirements_of_old_charts_are_dependencies(tmp_path: Path) -> None:
    chart_directory(tmp_path, {"requirements.yaml": "dependencies: [{name: b}, {name: c}]\nDescription: too\n"})
    chart = described(tmp_path, "name: demo\nversion: 1\ndependencies: [{name: a, version: 2}]\n")
    # The items are merged one by one: Go decodes the second list into the first.
    assert json.loads(chart.config) == {
        "name": "demo", "version": "1", "apiVersion": "v1", "description": "too",
        "dependencies": [{"name": "b", "version": "2", "repository": ""}, {"name": "c", "repository": ""}],
    }  # fmt: skip


def test_pyyaml_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = directory(tmp_path)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependency, match="PyYAML"):
        read_chart(folder)


def test_archive_tells_what_the_directory_tells(tmp_path: Path) -> None:
    folder = directory(tmp_path / "any name", **{"templates/x": "x", "charts/a/Chart.yaml": "name: a\nversion: 1.10\n"})
    archive = tmp_path / "x.tgz"
    with archive.open("wb") as output:
        pack_chart(folder, output)
    one, two = read_chart(folder), read_chart(str(archive))
    assert one.config == two.config
    assert len(one.warnings) == len(two.warnings) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04 a zip", "wanted is a gzip compressed archive"),
        (b"\x28\xb5\x2f\xfd zstd", "wanted is a gzip compressed archive"),
        (gzip.compress(b"", mtime=0), "is not an archive"),
        (gzip.compress(b"text" * 1000, mtime=0), "is not an archive"),
        (tar(("demo/Chart.yaml", GOOD.encode()))[:-9], "truncated"),
        (tar(("demo/Chart.yaml", GOOD.encode()))[:40] + b"x" * 50, "damaged"),
        (tar(), "holds no files"),
        (tar(("demo/values.yaml", b"")), "Chart.yaml is missing"),
        (tar(("Chart.yaml", GOOD.encode())), "not in a directory"),
        (tar(("demo", b"")), "is not in the chart's directory"),
        (tar(("demo/../../Chart.yaml", GOOD.encode())), "is not in the chart's directory"),
        (tar(("demo//etc/passwd", b"")), "is not in the chart's directory"),
        (tar(("demo/c:/windows", b"")), "is not in the chart's directory"),
        (tar(("demo/Chart.yaml", b""), ("demo/./Chart.yaml", GOOD.encode())), "two files 'Chart.yaml'"),
        (tar(link("demo/Chart.yaml", "/etc/passwd")), "'name' is missing"),
        (tar((f"demo/{'x' * 5000}", b"")), "more than 4096 characters"),
        (tar(("demo/Chart.yaml", GOOD.encode()), ("demo/charts/a/values.yaml", b"")), "charts/a/Chart.yaml is missing"),
        (tar(("demo/Chart.yaml", GOOD.encode()), ("demo/charts/a.tgz", b"x")), "charts/a.tgz is not a packaged chart"),
        (tar(("demo/Chart.yaml", GOOD.encode()), ("demo/charts/a.tgz/x", b"x")), "is a directory"),
        (tar(("demo/Chart.yaml", GOOD.encode()), ("demo/charts/x.txt", b"")), "is not a chart"),
    ],
)
def test_what_is_no_packaged_chart_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "chart.tgz"
    path.write_bytes(content)
    with pytest.raises(BuildError) as caught:
        read_chart(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "layer_selector" not in str(caught.value)


def test_archive_of_another_making_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chart.tgz"
    nested = tar(("x\\Chart.yaml", b"name: sub\nversion: 1.0.0\n"))
    path.write_bytes(
        tar(
            ("./templates/a", b""),
            ("./charts/sub-1.tgz", nested),
            ("./charts/.hidden", b""),
            ("./charts/sub-1.tgz.prov", b""),
            ("./Chart.yaml", b"\xef\xbb\xbf" + GOOD.encode()),
        )
    )
    assert read_chart(str(path)).name == "demo"


def test_archives_in_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chart.tgz"
    chart = ("demo/Chart.yaml", GOOD.encode())
    content = tar(chart)
    for _level in range(12):
        content = tar(chart, ("demo/charts/a.tgz", content))
    path.write_bytes(content)
    with pytest.raises(BuildError, match="nested more than 10 deep"):
        read_chart(str(path))
    monkeypatch.setattr(archive_files, "MAX_CHART", 5000)
    path.write_bytes(tar(chart, ("demo/a", bytes(3000)), ("demo/b", bytes(3000))))
    with pytest.raises(BuildError, match="too large"):
        read_chart(str(path))
    path.write_bytes(tar(chart, *((f"demo/{number}", b"") for number in range(20))))
    with pytest.raises(BuildError, match="too large"):
        read_chart(str(path))


def test_budget_is_shared_by_nested_archives(tmp_path: Path) -> None:
    chart = ("demo/Chart.yaml", b"name: a\nversion: 1.0.0\n")
    nested = tar(chart, ("demo/zeros", bytes(5 << 20)))
    many = [(f"demo/charts/a{number}.tgz", nested) for number in range(100)]
    path = tmp_path / "chart.tgz"
    path.write_bytes(tar(chart, *many))
    with pytest.raises(BuildError, match="too large"):
        read_chart(str(path))


def test_large_file_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chart.tgz"
    path.write_bytes(tar(("demo/Chart.yaml", GOOD.encode()), ("demo/a", bytes((5 << 20) + 1))))
    with pytest.raises(BuildError, match="5242881 bytes, Helm accepts 5242880"):
        read_chart(str(path))


def test_path_that_is_no_chart(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="No such file"):
        read_chart(str(tmp_path / "missing"))
    with pytest.raises(BuildError, match="missing cannot be read: No such file"):
        pack_chart(str(tmp_path / "missing"), io.BytesIO())
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BuildError, match="neither a file nor a directory"):
        read_chart(str(tmp_path / "fifo"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BuildError, match="is not a Helm chart"):
        read_chart(str(tmp_path / "empty"))


def test_package_has_helms_order(tmp_path: Path) -> None:
    names = (
        "Chart.yaml Chart.lock values.yaml values.schema.json templates/a/b templates/a.txt templates/z .helmignore "
        "README.md crds/x files/B files/a charts/a/Chart.yaml charts/a/values.yaml charts/b/Chart.yaml"
    ).split()
    dropped = ("charts/_x", "charts/.x/y", "charts/a/charts/_x/y", "templates/.x")
    files: dict[str, str | bytes] = dict.fromkeys((*dropped, *reversed(names)), "{}")
    files.update({"charts/a/Chart.yaml": "name: a\nversion: 1\n", "charts/b/Chart.yaml": "name: b\nversion: 1\n"})
    found = packed(chart_directory(tmp_path, {**files, "Chart.yaml": GOOD}))
    assert list(found) == [f"demo/{name}" for name in names]


def test_package_keeps_bytes_but_for_a_byte_order_mark(tmp_path: Path) -> None:
    text = GOOD + "# a comment\r\nunknown:   yes\n"
    found = packed(
        directory(tmp_path, **{"Chart.yaml": b"\xef\xbb\xbf" + text.encode(), "b": b"\x00\xff", "c": b"\xef\xbb\xbf"})
    )
    assert found == {"demo/Chart.yaml": text.encode(), "demo/b": b"\x00\xff", "demo/c": b""}


def test_link_out_of_the_chart_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = Path(directory(tmp_path / "chart", **{"a/x": "x"}))
    for target in ("../secret", str(tmp_path / "secret"), "../chart/../secret", ".."):
        (folder / "link").symlink_to(target)
        with pytest.raises(BuildError, match="link is a symbolic link to .*outside of the chart"):
            pack_chart(str(folder), io.BytesIO())
        (folder / "link").unlink()
    # through a link that stays inside
    (folder / "sub").symlink_to("a")
    (folder / "a" / "out").symlink_to("../../secret")
    with pytest.raises(BuildError, match="outside of the chart"):
        read_chart(str(folder))
    (folder / ".helmignore").write_text("out\n")
    assert sorted(packed(folder)) == ["demo/.helmignore", "demo/Chart.yaml", "demo/a/x", "demo/sub/x"]


def test_chart_directory_may_itself_be_a_link(tmp_path: Path) -> None:
    directory(tmp_path / "real", a="a")
    (tmp_path / "real" / "b").symlink_to("a")
    (tmp_path / "link").symlink_to("real")
    assert packed(tmp_path / "link") == packed(tmp_path / "real")
    assert packed(f"{tmp_path}/link/") == packed(tmp_path / "real")


@pytest.mark.parametrize(
    ("target", "message"),
    [("nowhere", "a symbolic link to nowhere"), (".", "that it lies in"), ("link", "link"), ("/dev/null", "outside")],
)
def test_links_that_lead_nowhere_are_refused(target: str, message: str, tmp_path: Path) -> None:
    folder = directory(tmp_path)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(BuildError, match=message):
        pack_chart(folder, io.BytesIO())
    (tmp_path / ".helmignore").write_text("link\n")
    assert "demo/link" not in packed(folder)


def test_links_that_multiply_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_files, "MAX_ENTRIES", 1000)
    folder = directory(tmp_path, **{"d0/x": ""})
    for level in range(1, 30):
        (tmp_path / f"d{level}").mkdir()
        for name in "ab":
            (tmp_path / f"d{level}" / name).symlink_to(f"../d{level - 1}")
    with pytest.raises(BuildError, match="more than 1000 files"):
        read_chart(folder)


def test_special_files_are_refused(tmp_path: Path) -> None:
    folder = directory(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        previous = os.getcwd()
        os.chdir(tmp_path)
        try:
            server.bind("socket")
        finally:
            os.chdir(previous)
    with pytest.raises(BuildError, match="socket is a device, fifo or socket"):
        pack_chart(folder, io.BytesIO())


def test_names_that_helm_reads_otherwise_are_refused(tmp_path: Path) -> None:
    folder = directory(tmp_path, **{"templates/a\\b": ""})
    with pytest.raises(BuildError, match="backslash"):
        pack_chart(folder, io.BytesIO())


def test_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = directory(tmp_path)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("")
    with pytest.raises(BuildError, match="not UTF-8"):
        pack_chart(folder, io.BytesIO())


def test_unreadable_file_is_named() -> None:
    with place_without_rights() as place:
        folder = directory(place, secret="x")
        (place / "secret").chmod(0)
        with without_rights(), pytest.raises(BuildError, match="secret cannot be read"):
            pack_chart(folder, io.BytesIO())


def test_digest_depends_on_content_alone(tmp_path: Path) -> None:
    files: dict[str, Any] = {"b": "b", "a/c": "c", "templates/x": "x"}
    one = directory(tmp_path / "one", **files)
    two = directory(tmp_path / "two", **dict(reversed(list(files.items()))))
    for number, path in enumerate(Path(two).rglob("*")):
        path.chmod(0o700)
        os.utime(path, (number, number))
    assert pack_chart(one, io.BytesIO()) == pack_chart(two, io.BytesIO())
    (Path(two) / "b").write_text("B")
    assert pack_chart(one, io.BytesIO()).digest != pack_chart(two, io.BytesIO()).digest
