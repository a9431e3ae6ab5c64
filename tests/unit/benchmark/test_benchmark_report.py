# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's sums and tables, and that it measures what a command costs; nothing here depends on a time."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmark"))

import data
import results
from measure import MIB, Failed, Peer, Sample, alternate, launcher, own_cost, ratio
from picture import SHOWN, embedded, picture
from report import Goal, Report
from results import Record, list_table, markdown

PEERS = [Peer("floor", ["x"]), Peer("ours", ["x"], minus="floor"), Peer("theirs <1>", ["x"])]
SAMPLES = {
    "floor": [Sample(1.0, 0.5, 10 * MIB)] * 3,
    # the second round was disturbed, for both
    "ours": [Sample(2.0, 1.0, 50 * MIB), Sample(21.0, 10.5, 50 * MIB), Sample(2.2, 1.5, 50 * MIB)],
    "theirs <1>": [Sample(2.0, 1.0, 5 * MIB), Sample(40.0, 20.0, 5 * MIB), Sample(2.0, 1.0, 5 * MIB)],
}
GOALS = [
    Goal("ours", "wall", 0.5, "theirs <1>"),
    Goal("ours", "cpu", 0.4, "theirs <1>"),
    Goal("ours", "memory", 64 * MIB),
    Goal("ours", "wall", 0.1, "missing"),
]


def report() -> Report:
    return Report("name", "A title", "the command", PEERS, SAMPLES, "theirs <1>", GOALS, ["A note."], ["helm"])


def test_what_a_module_costs_is_more_than_a_task_that_does_nothing() -> None:
    own = own_cost(PEERS, SAMPLES)
    assert own["ours"][0] == Sample(1.0, 0.5, 40 * MIB)
    assert own["theirs <1>"] == SAMPLES["theirs <1>"]


def test_ratios_are_of_rounds() -> None:
    own = own_cost(PEERS, SAMPLES)
    # of 0.5, 0.5 and 0.6
    assert ratio(own["ours"], own["theirs <1>"], "wall") == pytest.approx(0.5)
    assert ratio([Sample(1, 1, 1)], [Sample(0, 0, 0)], "cpu") == 1000


def test_goals() -> None:
    outcomes = report().outcomes()
    assert [(each.goal.what, each.is_met) for each in outcomes] == [("wall", True), ("cpu", False), ("memory", True)]
    assert outcomes[0].cells() == ["ours, wall of theirs <1>", "≤ 0.50 ×", "0.50 ×", "met"]
    assert outcomes[2].cells() == [
        "ours, memory more than a task that does nothing", "≤ 64.00 MiB", "40.00 MiB", "met"
    ]  # fmt: skip


def test_tables() -> None:
    rows = report().rows()
    assert rows[2] == ["ours ¹", "1.200", "1.000", "40", "0.50", "0.50"]
    assert markdown([["a", "b|c"], ["1", "2"]]) == "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |"
    assert list_table([["a", ""], ["1", "2"]])[3:] == ["   * - a", "     -", "   * - 1", "     - 2"]
    text = report().record("Taken then.").as_rst()
    assert text.startswith("A title\n^^^^^^^\n\nMedians of 3; × is relative to theirs <1>. Taken then.")
    assert "   the command\n" in text and "- A note." in text and "helm." in text


def test_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picture.SHOWN", ["name", "not run"])
    root = ElementTree.fromstring(picture([report().record("")]))
    words = " ".join(each.text or "" for each in root.iter() if each.tag.endswith("text"))
    for told in ("in seconds", "lower is better", "that one would write instead", "A title", "theirs <1>"):
        assert told in words
    # both as tasks, with the 1 s of a task that does nothing: 1 + 1.2, and 1 + 2
    assert "2.2 s" in words and "3.0 s" in words
    bars = [float(each.attrib["width"]) for each in root.iter() if each.tag.endswith("rect")][-2:]
    assert bars[0] == pytest.approx(bars[1] * 2.2 / 3, abs=0.1)


def test_the_picture_in_docs_is_that_of_the_data() -> None:
    drawing = picture([Record(**each) for each in json.loads(results.DATA.read_text())])
    assert results.PICTURE.read_text() == drawing
    assert embedded(drawing) in results.GUIDE.read_text()
    shown = ElementTree.fromstring(drawing)
    assert "; ".join(SHOWN).count(";") == shown.attrib["aria-label"].count(";"), "a workload of the picture is no more"


def test_docs_keep_the_last_results_of_each_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUIDE", "PICTURE", "DATA"):
        monkeypatch.setattr(results, name, tmp_path / name)
    results.GUIDE.write_text(f"Before\n{results.BEGIN}\nwhat was there\n{results.END}\nAfter\n")
    one = report().record("Taken first.")
    two = Record("other", "Another", "About.", "its command", "Taken first.", [["What"], ["x"]])
    results.keep([one, two], ["name", "other", "not run"])
    results.keep([report().record("Taken again.")], ["name", "other", "not run"])
    text = results.GUIDE.read_text()
    assert text.startswith("Before\n") and text.endswith("After\n") and "what was there" not in text
    assert [text.count(each) for each in ("Taken first.", "Taken again.")] == [1, 1]
    assert text.index("A title") < text.index("Another")
    assert results.PICTURE.read_text() == picture([])


def test_commands_are_run_in_turn_and_measured(tmp_path: Path) -> None:
    log = tmp_path / "order"
    script = "import sys; open(sys.argv[1], 'a').write(sys.argv[2]); memory = b'x' * (80 << 20); sum(range(10**6))"
    peers = [Peer(name, [sys.executable, "-c", script, str(log), name]) for name in "ab"]
    with launcher(tmp_path / "log") as start:
        samples = alternate(peers, 2, start, tmp_path / "scratch")
    assert log.read_text() == "ababab"
    assert all(len(found) == 2 for found in samples.values())
    for sample in samples["a"]:
        assert 80 * MIB < sample.memory < 200 * MIB
        assert sample.cpu > 0 and sample.wall > 0


def test_a_command_that_fails_ends_the_benchmark(tmp_path: Path) -> None:
    peer = Peer("bad", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
    with launcher(tmp_path / "log") as start, pytest.raises(Failed, match=r"bad ended with 3(.|\n)*the reason"):
        alternate([peer], 1, start, tmp_path / "scratch")


def test_what_a_command_made_is_looked_at(tmp_path: Path) -> None:
    peer = Peer("wrong", [sys.executable, "-c", "open('x', 'w').close()"])
    with launcher(tmp_path / "log") as start, pytest.raises(Failed, match="wrong: one file"):
        alternate([peer], 1, start, tmp_path / "scratch", lambda _peer, out: "one file" if (out / "x").exists() else "")


def test_the_data_are_the_same_everywhere(tmp_path: Path) -> None:
    assert data.chart(3) == data.chart(3) != data.chart(4)
    whole = data.Noise(1, 3 * MIB + 7).read()
    pieces = data.Noise(1, 3 * MIB + 7)
    assert len(whole) == 3 * MIB + 7
    assert b"".join(iter(lambda: pieces.read(100_000), b"")) == whole
    path = tmp_path / "many.tar"
    data.write_many(path, 80)
    with tarfile.open(path) as archive:
        names = [member.name for member in archive if member.isfile()]
    assert len(names) == 80
    assert data.digest_of_file(path) == "sha256:2e13a21315f3331bb5525a6e8f55eb6bc74cfe5499742b12656987ff536e001e"
