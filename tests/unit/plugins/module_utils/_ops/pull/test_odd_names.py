# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries whose names are not UTF-8: placed under their very bytes, and escaped wherever people read them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import decoded, escaped
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_placement import Shop

LATIN = "caf\xe9".encode("latin-1")
FOLDER = "d\xfcr".encode("latin-1")
GNU, PAX = tarfile.GNU_FORMAT, tarfile.PAX_FORMAT
SHOWN = "caf\\xe9"


def archive(files: dict[bytes, str], links: dict[bytes, bytes] | None = None, tar_format: int = GNU) -> bytes:
    """An archive with these names in any encoding, as GNU tar writes them; of pax as bsdtar does."""
    target = io.BytesIO()
    with tarfile.open(
        fileobj=target, mode="w", format=tar_format, encoding="utf-8", errors="surrogateescape"
    ) as members:
        for name, content in files.items():
            entry = tarfile.TarInfo(decoded(name))
            entry.size = len(content)
            members.addfile(entry, io.BytesIO(content.encode()))
        for name, to in (links or {}).items():
            entry = tarfile.TarInfo(decoded(name))
            entry.type, entry.linkname = tarfile.SYMTYPE, decoded(to)
            members.addfile(entry)
    return target.getvalue()


def publish(shop: Shop, files: dict[bytes, str], links: dict[bytes, bytes] | None = None) -> None:
    shop.publish([(archive(files, links), "application/vnd.oci.image.layer.v1.tar", {})])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_escaped_names_are_text_for_people() -> None:
    assert escaped("plain\\n") == "plain\\n" and escaped("grün") == "grün"
    assert escaped(decoded(b"a\xe9\xc3\xa9\xff")) == "a\\xe9é\\xff"


@pytest.mark.parametrize("tar_format", [GNU, PAX], ids=["gnu", "pax"])
@pytest.mark.parametrize("name", [LATIN, FOLDER + b"/" + LATIN, b"\xff" * 255, (FOLDER + b"/") * 30 + LATIN])
def test_they_are_placed_as_they_are(shop: Shop, name: bytes, tar_format: int) -> None:
    shop.publish([(archive({name: "x"}, tar_format=tar_format), "application/vnd.oci.image.layer.v1.tar", {})])
    assert escaped(decoded(name)) in shop.pull().changes["added"]
    assert Path(os.fsdecode(os.path.join(os.fsencode(shop.dest), name))).read_text() == "x"
    assert not shop.pull().changed


def work(shop: Shop) -> list[str]:
    """Place, let drift, repair, replace, show and remove; what was said of it, as the module would print it."""
    dest = os.fsencode(shop.dest)
    said = []

    def note(result: object) -> None:
        said.append(json.dumps(result, ensure_ascii=False))
        said[-1].encode()

    publish(shop, {LATIN: "one", FOLDER + b"/a": "a", b"plain": "p"}, {b"link": FOLDER + b"/a"})
    note(shop.pull().as_result())
    assert os.readlink(os.path.join(dest, b"link")) == FOLDER + b"/a"
    with open(os.path.join(dest, LATIN), "w") as stream:
        stream.write("altered")
    os.chmod(os.path.join(dest, FOLDER, b"a"), 0o600)
    predicted = shop.pull(check_mode=True)
    assert predicted.reason == "DriftCorrected" and SHOWN in predicted.changes["changed"]
    note(predicted.as_result())
    repaired = shop.pull(want_diff=True)
    assert repaired.changes["changed"] == [SHOWN] and repaired.changes["permissions"] == ["d\\xfcr/a"]
    note(repaired.as_result())
    publish(shop, {LATIN: "two", FOLDER + b"/b": "b"})
    replaced = shop.pull(want_diff=True)
    assert sorted(replaced.changes["removed"]) == ["d\\xfcr/a", "link", "plain"]
    assert any(entry.get("after_header", "").endswith("/" + SHOWN) for entry in replaced.diff)
    note(replaced.as_result())
    ignored = shop.pull(ignore="caf?").as_result()
    assert ignored["ignored"] == [SHOWN] and not os.path.exists(os.path.join(dest, LATIN))
    note(ignored)
    publish(shop, {b"plain": "p"})
    shop.pull()
    assert sorted(os.listdir(dest)) == [b".oci-artifact", b"plain"]
    with open(os.path.join(dest, LATIN), "w") as stream:
        stream.write("of somebody else")
    publish(shop, {LATIN: "one"})
    with pytest.raises(StorageError) as failure:
        shop.pull()
    assert SHOWN in str(failure.value)
    note(str(failure.value))
    return said


def test_everything_works_on_them(shop: Shop) -> None:
    assert all("\\\\xe9" in text for text in work(shop)[:5])


def test_in_the_locale_c(tmp_path: Path) -> None:
    """A module has no say in the locale that it is run in."""
    code = f"import sys; from pathlib import Path; from {__name__} import Shop, work; work(Shop(Path(sys.argv[1])))"
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PATH": os.environ["PATH"]}
    check = "; assert sys.getfilesystemencoding() != 'utf-8'"
    subprocess.run(
        [sys.executable, "-c", code + check, str(tmp_path)],
        check=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=300,
    )


def test_refusals_escape_them(shop: Shop) -> None:
    publish(shop, {}, {LATIN: b"../" + LATIN})
    with pytest.raises(LayerError) as failure:
        shop.pull()
    str(failure.value).encode()
    assert "caf\\udce9" in str(failure.value) or SHOWN in str(failure.value)
