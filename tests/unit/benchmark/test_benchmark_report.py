# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's sums and tables, and that it measures what a command costs; nothing here depends on a time."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmark"))

import data
import results
from goals import GOALS as ALL_GOALS
from goals import Goal
from measure import FLOOR, MIB, OURS, Failed, Peer, Sample, alternate, launcher, own_cost, ratio
from picture import SHOWN, embedded, picture, shown
from report import Outcome, Report
from results import Record, list_table, markdown
from run import NAMES
from versions import named, versions

PEERS = [
    Peer("floor", ["x"], kind=FLOOR),
    Peer("ours", ["x"], minus="floor", kind=OURS),
    Peer("theirs <1>", ["x"]),
]
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
    Goal("ours", "wall", 0.1, "helm"),
]


def report() -> Report:
    absent = {"helm": "it is not there"}
    about = "With theirs 1.2."
    return Report("name", "A title", "the command", PEERS, SAMPLES, "theirs <1>", GOALS, ["A note."], absent, about)


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


def test_each_goal_stands_beside_what_was_found() -> None:
    rows = report().rows()
    assert rows[0][-1] == "Goal" and rows[1][-1] == rows[3][-1] == ""
    assert rows[2][-1] == "wall ≤ 0.50 ×: 0.50 ×, met; CPU ≤ 0.40 ×: 0.50 ×, missed; memory ≤ 64.00 MiB: 40.00 MiB, met"
    other = Outcome(Goal("ours", "cpu", 0.95, "floor"), 0.9)
    assert other.beside("theirs <1>") == "CPU ≤ 0.95 × of floor: 0.90 ×, met"


def test_a_goal_for_what_is_not_measured_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="goals of name name nobody, which is not in it"):
        Report("name", "A title", "", PEERS, SAMPLES, "theirs <1>", [Goal("ours", "wall", 1, "nobody")])


def test_the_goals_are_of_workloads_and_none_is_forgotten() -> None:
    assert set(ALL_GOALS) <= set(NAMES)
    limits = {(name, goal.what, bool(goal.base)): goal.limit for name, goals in ALL_GOALS.items() for goal in goals[:1]}
    wanted = {
        ("play-unchanged-tag", "cpu", True): 0.7,
        ("play-unchanged-digest", "cpu", True): 0.95,
        ("play-files", "cpu", True): 0.85,
        ("files", "wall", True): 0.7,
        ("layers", "wall", True): 1.0,
        ("gzip", "wall", True): 0.6,
        ("push", "wall", True): 0.8,
        ("play-remote", "cpu", True): 1.25,
        ("payload", "size", True): 1.5,
        ("play-release", "cpu", True): 1.0,
    }
    assert {key: limits.get(key) for key in wanted} == wanted


def test_all_goals_in_one_table_with_their_commands() -> None:
    text = results.goals_as_rst([report().record("")])
    assert "2 of 3 are met." in text
    row = ["   * - A title", "     - ours, CPU of theirs <1>", "     - ≤ 0.40 ×", "     - 0.50 ×", "     - missed"]
    assert "\n".join([*row, "     - ``--only name``"]) in text


def test_versions_of_what_was_measured() -> None:
    known = {"ansible-core": "2.21.5", "Python": "3.13.1", "oras": "1.3.6", "crane": "0.22.1"}
    assert named(["command: oras pull", "oras-like"], known) == "With oras 1.3.6, ansible-core 2.21.5, Python 3.13.1."
    # the module of kubernetes.core and the role run another helm than the one that pulls charts
    both = {"helm": "4.3.2", "helm3": "3.22.0", "kubernetes.core": "6.6.0"}
    assert named(["role helm_release", "kubernetes.core.helm"], both) == "With helm3 3.22.0, kubernetes.core 6.6.0."
    assert named(["command: helm pull"], both) == "With helm 4.3.2."
    here = versions({"oras": "/cache/oras-1.3.6/oras"}, Path("/nowhere"))
    assert here["oras"] == "1.3.6" and "kubernetes.core" not in here and here["ansible-core"].startswith("2.")


def test_tables() -> None:
    rows = report().rows()
    assert rows[2][:-1] == ["ours ¹", "1.200", "1.000", "40", "0.50", "0.50"]
    assert markdown([["a", "b|c"], ["1", "2"]]) == "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |"
    assert list_table([["a", ""], ["1", "2"]])[3:] == ["   * - a", "     -", "   * - 1", "     - 2"]
    text = report().record("Taken then.").as_rst()
    assert text.startswith(
        "A title\n^^^^^^^\n\nMedians of 3; × is relative to theirs <1>. With theirs 1.2. Taken then."
    )
    assert "   the command\n" in text and "- A note." in text and "- Left out: helm (it is not there)." in text


def test_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picture.SHOWN", ["name", "not run"])
    root = ElementTree.fromstring(picture([report().record("")]))
    words = " ".join(each.text or "" for each in root.iter() if each.tag.endswith("text"))
    for told in ("in seconds", "lower is better", "that one would write instead", "Title", "theirs <1>"):
        assert told.lower() in words.lower()
    # ours with the 1 s of a task that does nothing, theirs as it is: 1 + 1.2, and 2
    assert "2.20 s" in words and "2.00 s" in words
    ours, theirs = [each.attrib for each in root.iter() if each.tag.endswith("rect")][-2:]
    assert float(theirs["width"]) == pytest.approx(float(ours["width"]) * 2 / 2.2, abs=0.1)
    mark = [each.attrib for each in root.iter() if each.tag.endswith("line")][-1]
    assert float(mark["x1"]) - float(ours["x"]) == pytest.approx(float(ours["width"]) / 2.2, abs=0.1)


def test_docs_are_those_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and picture say what docs/speed.json says, and nobody has written a number by hand."""
    committed = {name: getattr(results, name) for name in ("GUIDE", "PICTURE", "DATA")}
    for name, path in committed.items():
        monkeypatch.setattr(results, name, tmp_path / name)
        getattr(results, name).write_text(path.read_text())
    results.keep([], NAMES)
    for name, path in committed.items():
        assert getattr(results, name).read_text() == path.read_text(), f"run.py --render changes {path.name}"
    assert set(SHOWN) <= set(NAMES)


def test_a_picture_of_nothing_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUIDE", "PICTURE", "DATA"):
        monkeypatch.setattr(results, name, tmp_path / name)
    page = f"{results.PICTURE_BEGIN}\nwhat was there\n{results.PICTURE_END}\n"
    results.GUIDE.write_text(page)
    other = Record("other", "Another", "About.", "its command", "Taken first.", [["What"], ["x"]])
    results.keep([other], ["other"])
    assert results.GUIDE.read_text() == page and not results.PICTURE.exists()
    drawn = Record(SHOWN[0], "A playbook", "", "", "", [["What"], ["x"]], tasks=[("o", True, 1.0), ("t", False, 2.0)])
    results.keep([drawn], ["other", SHOWN[0]])
    assert shown([drawn]) == [drawn]
    assert embedded(results.PICTURE.read_text()) in results.GUIDE.read_text()


def test_docs_keep_the_last_results_of_each_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUIDE", "PICTURE", "DATA"):
        monkeypatch.setattr(results, name, tmp_path / name)
    results.GUIDE.write_text(f"Before\n{results.BEGIN}\nwhat was there\n{results.END}\nAfter\n")
    one = report().record("Taken first.")
    two = Record("other", "Another", "About.", "its command", "Taken first.", [["What"], ["x"]])
    results.keep([one, two], ["name", "other", "not run"])
    results.keep([report().record("Taken again.")], ["name", "other", "not run"])
    text = results.GUIDE.read_text()
    assert "2 of 3 are met." in text
    assert text.startswith("Before\n") and text.endswith("After\n") and "what was there" not in text
    assert [text.count(each) for each in ("Taken first.", "Taken again.")] == [1, 1]
    assert text.index("A title") < text.index("Another")


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
