# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of tasks that exercise what the integration tests of each module do, on a ground that can be made twice.

Whatever a task does has to be the same whether Ansible starts a module or a child of its worker is the module; so tasks
that fail, warn, show differences, hide values or depend on their surroundings are the greater part.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from support import vectors
from support.artifacts import CONFIG, HELM_LAYER, LAYER, TITLE, Blob, Publisher, tgz, write_layout
from support.helm import HELM_CONFIG, chart
from support.servers import RegistryServer

NAME = "cloudnative.artifacts."
PULL, PUSH, INFO, VERIFY, SIGN, CACHE, ROLLBACK = (
    f"{NAME}oci_artifact_{verb}" for verb in ("pull", "push", "info", "verify", "sign", "cache", "rollback")
)
LOGIN, CHARTS, RELEASES = f"{NAME}oci_registry_login", f"{NAME}helm_chart_sources", f"{NAME}helm_releases"
KEYS = vectors.ROOT / "keys"
NOWHERE = f"sha256:{'0' * 64}"
SECRET = "s3cret-of-both-ways"

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# the folder of a playbook, see AnsibleRunner
_RUN = re.compile(r"/run-\d+\b")
_TEMPORARY = re.compile(r"(oci-artifact-|ansible-tmp-|tmp)[\w.-]{6,}")


@dataclass
class Ground:
    """Where the tasks of one way of running find and leave things."""

    folder: Path
    publisher: Publisher
    private: RegistryServer
    digests: dict[str, str]

    @classmethod
    def make(cls, folder: Path, registry: RegistryServer, private: RegistryServer) -> Ground:
        publisher = Publisher(registry.host, f"both-ways/{folder.name}")
        one = {"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n", "run.sh": "echo\n", "docs/x.png": "png"}
        digests = {
            "1.0.0": publisher.publish("1.0.0", one, annotations={"org.opencontainers.image.title": "app"}),
            "1.1.0": publisher.publish("1.1.0", {**one, "a.yaml": "a: 2\n", "new.yaml": "n\n"}),
            "2.0.0-rc.1": publisher.publish("2.0.0-rc.1", one),
            "titled": publisher.publish(
                "titled", [Blob(name.encode(), "text/plain", {TITLE: name}) for name in ("one.txt", "two.txt")]
            ),
            "broken": publisher.publish("broken", [Blob(b"no archive", LAYER)]),
            "many": publisher.publish("many", {f"f{number}": "x" for number in range(20)}),
        }
        helm = Publisher(registry.host, f"both-ways/{folder.name}/demo")
        helm.publish("1.0.0", [Blob(chart(), HELM_LAYER)], config=Blob(b"{}", HELM_CONFIG))
        helm.publish("1.2", [Blob(chart(), HELM_LAYER)], config=Blob(b"{}", HELM_CONFIG))
        helm.publish("odd", [Blob(tgz({"x": "y"}), LAYER)], config=Blob(b"{}", CONFIG))
        for name in ("dest", "source", "home", "scratch", "taken/a.yaml"):
            (folder / name).mkdir(parents=True)
        (folder / "taken/a.yaml/foreign").write_text("foreign")
        (folder / "source/a.yaml").write_text("a: 1\n")
        (folder / "source/.sourceignore").write_text("*.tmp\n")
        (folder / "source/left.tmp").write_text("left")
        (folder / "wrong.json").write_text(json.dumps({"auths": {"x": {"auth": "%%%"}}}))
        for path in (folder / "source").iterdir():
            os.utime(path, (1_700_000_000, 1_700_000_000))
        write_layout(folder / "layout", "1", {"l.txt": "layout\n"})
        shutil.copytree(vectors.ROOT / "layouts/chart-bundle-a", folder / "signed")
        return cls(folder, publisher, private, digests)

    def at(self, name: str) -> str:
        return str(self.folder / name)

    def ref(self, tag: str) -> str:
        return f"{self.publisher.name}:{tag}"

    def normal(self, text: str) -> str:
        """The text without what two runs cannot have in common: names of their own, times, random numbers."""
        text = text.replace(str(self.folder), "FOLDER").replace(self.publisher.name.partition("/")[2], "REPOSITORY")
        text = _TEMPORARY.sub(r"\1RANDOM", _TIME.sub("TIME", _RUN.sub("/run-N", text)))
        known = set(self.digests.values())
        numbers: dict[str, int] = {}
        # signatures, and what lists them, have digests of their own each time; which is which stays
        return _DIGEST.sub(
            lambda found: found[0] if found[0] in known else f"DIGEST-{numbers.setdefault(found[0], len(numbers))}",
            text,
        )


def task(name: str, module: str, options: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    insecure = {} if module in (CACHE, RELEASES, ROLLBACK) else {"insecure": True}
    return {"name": name, module: {**insecure, **options}, "ignore_errors": True, **keywords}


class Play(NamedTuple):
    """The tasks, in an order that counts, for one run of Ansible.

    ``with_each_core`` says whether they run with the newest ansible-core as well: those that show what it makes of a
    module, and a sample of each module, but not again all that the modules themselves say. ``changed``, ``unchanged``
    and ``failed`` are how many of them come to that, at least.
    """

    make: Callable[[Ground], list[dict[str, Any]]]
    with_each_core: bool
    changed: int
    unchanged: int
    failed: int


def plays() -> dict[str, Play]:
    """All tasks, and the names of their plays."""
    return {
        "pulls": Play(_pulls, True, 10, 4, 15),
        "samples": Play(_samples, True, 4, 2, 2),
        "surroundings": Play(_surroundings, True, 3, 4, 5),
        "history": Play(_history, False, 4, 1, 3),
        "publishing": Play(_publishing, False, 3, 1, 3),
        "looks": Play(_looks, False, 0, 4, 3),
        "signatures": Play(_signatures, False, 2, 2, 4),
        "others": Play(_others, False, 4, 2, 5),
    }


def _samples(ground: Ground) -> list[dict[str, Any]]:
    """Of each module a task or two out of the plays that do not run with each core."""
    every = [each for make in (_publishing, _looks, _signatures, _others, _history) for each in make(ground)]
    names = (
        "push",
        "all parts",
        "verified",
        "another key",
        "sign",
        "the cache",
        "login refused",
        "login",
        "logout",
        "sources",
    )
    return [each for each in every if each["name"] in (*names, "bad releases", "kept", "unhealthy", "held back")]


def _pulls(ground: Ground) -> list[dict[str, Any]]:
    def pull(
        name: str, tag: str = "1.0.0", dest: str = "dest/app", keywords: Any = None, **more: Any
    ) -> dict[str, Any]:
        return task(name, PULL, {"ref": ground.ref(tag), "dest": ground.at(dest), **more}, **(keywords or {}))

    check, diff = {"check_mode": True}, {"diff": True}
    several = [{"ref": ground.ref("1.0.0"), "dest": ground.at("dest/s1")}, {"ref": ground.ref("none"), "dest": "/x"}]
    pinned = {"ref": f"{ground.publisher.name}@{ground.digests['1.0.0']}"}
    down = {"ref": "127.0.0.1:9/a/b:1", "retries": 0}
    return [
        pull("foreseen", keywords={**check, **diff}),
        pull("first", keywords=diff),
        pull("unchanged"),
        pull("upgrade foreseen", "1.1.0", keywords={**check, **diff}),
        pull("upgrade", "1.1.0", keywords=diff),
        pull("another mode", "1.1.0", mode="u=rwX,g=rX,o=", keywords=diff),
        pull("forced", "1.1.0", force=True),
        pull("suspended", "1.0.0", suspend=True),
        pull("pinned", dest="dest/pinned", **pinned),
        pull("pinned again", dest="dest/pinned", check_content=True, **pinned),
        task("range", PULL, {"url": ground.publisher.url, "semver": "1.x", "dest": ground.at("dest/range")}),
        task("no range", PULL, {"url": ground.publisher.url, "semver": ">=9", "dest": ground.at("dest/range")}),
        task("bad range", PULL, {"url": ground.publisher.url, "semver": "one", "dest": ground.at("dest/range")}),
        pull("ignore", dest="dest/ignore", ignore="docs/\n*.sh\n"),
        pull("layers", "titled", "dest/titled"),
        pull("copied", dest="dest/x.tgz", layer_selector={"operation": "copy"}),
        pull("missing tag", "none"),
        task("missing digest", PULL, {"ref": f"{ground.publisher.name}@{NOWHERE}", "dest": ground.at("dest/none")}),
        pull("in the way", dest="taken"),
        pull("no archive", "broken", "dest/broken"),
        pull("too many", "many", "dest/many", max_files=5),
        pull("nobody listens", dest="dest/down", **down),
        pull("the last good", dest="dest/app", on_registry_error={"use": "last_good"}, **down),
        pull("no signature", dest="dest/unsigned", verify={"public_keys": [str(KEYS / "key-a.pub")]}),
        pull("no reference", ref="::"),
        pull("no option", tga="1"),
        pull("no type", max_files="many"),
        pull("no choice", layers="some"),
        pull("no owner", owner="no-such-user-here"),
        pull("two at once", artifacts=several),
        task("several", PULL, {"artifacts": several, "parallel": 2}),
        task("agreed", PULL, {"artifacts": several[:1], "resolve_once": True}, loop=[1, 2]),
        task("no dest", PULL, {"ref": ground.ref("1.0.0")}),
    ]


def _history(ground: Ground) -> list[dict[str, Any]]:
    """What a host keeps, and commands that it runs."""
    dest = {"dest": ground.at("dest/kept")}
    first, second = ({"ref": ground.ref(tag), "keep": 2, **dest} for tag in ("1.0.0", "1.1.0"))
    unhealthy = {"command": "sh -c 'echo $PWD; grep nothing $0/a.yaml' %s", "timeout": "30s"}
    return [
        task("kept", PULL, first),
        task("refused", PULL, {**second, "validate": "grep nothing %s/new.yaml"}, diff=True),
        task("unhealthy", PULL, {**second, "health": unhealthy}),
        task("held back", PULL, second),
        task("released", ROLLBACK, {**dest, "state": "released"}),
        task("replaced", PULL, second),
        task("suspended on the host", ROLLBACK, {**dest, "state": "suspended", "reason": "a look"}),
        task("rolled back", ROLLBACK, {**dest, "to": "previous", "reason": "no"}, diff=True),
        task("not kept", ROLLBACK, {**dest, "to": "3.0.0"}),
        task("what is kept", INFO, dest),
    ]


def _surroundings(ground: Ground) -> list[dict[str, Any]]:
    """What a process has, and what Ansible's keywords say."""
    ref = {"ref": ground.ref("1.0.0")}
    home = {"HOME": ground.at("home"), "TMPDIR": ground.at("scratch")}
    bad_file = {"OCI_ARTIFACT_AUTH_FILE": ground.at("wrong.json")}
    return [
        task("relative", PULL, {**ref, "dest": "relative/dest"}),
        task("of a home", PULL, {**ref, "dest": "~/dest", "cache_dir": "$TMPDIR/cache"}, environment=home),
        task("bad file", INFO, {**ref, "gather": []}, environment=bad_file),
        task("locale", PULL, {**ref, "dest": ground.at("dest/ü")}, environment={"LC_ALL": "C"}),
        task("odd name", PULL, {**ref, "dest": ground.at("dest/odd")}, environment={"NOT-A-NAME": "x"}),
        task("hidden", PULL, {**ref, "dest": ground.at("dest/hidden"), "password": SECRET}, no_log=True),
        task("half a login", PULL, {**ref, "dest": ground.at("dest/hidden"), "password": SECRET}),
        task("a template", INFO, {"ref": "{{ place }}:1.0.0", "gather": []}, vars={"place": ground.publisher.name}),
        task("a number", INFO, {**ref, "gather": [], "password": 12}),
        task("a loop", INFO, {"ref": ground.publisher.name + ":{{ item }}", "gather": []}, loop=["1.0.0", "none"]),
        task("delegated", INFO, {**ref, "gather": []}, delegate_to="localhost"),
        task("a condition", INFO, {**ref, "gather": []}, register="found", failed_when="found is not failed"),
        task(
            "defaults", INFO, {"gather": []},
            module_defaults={"group/cloudnative.artifacts.oci": ref, INFO: {"missing_ok": True}},
        ),
    ]  # fmt: skip


def _publishing(ground: Ground) -> list[dict[str, Any]]:
    def push(name: str, tag: str = "p1", keywords: Any = None, **more: Any) -> dict[str, Any]:
        return task(name, PUSH, {"ref": ground.ref(tag), "path": ground.at("source"), **more}, **(keywords or {}))

    return [
        push("push foreseen", keywords={"check_mode": True, "diff": True}),
        push("push", keywords={"diff": True}),
        push("push again", annotations={"a": "b"}),
        push("push unchanged", annotations={"a": "b"}),
        push("a version that is taken", "1.0.0"),
        push("numbers", "p2", annotations={"build": 1.10}),
        push("nothing there", "p3", path=ground.at("none")),
        push("into a layout", ref=f"oci-layout:{ground.at('made')}:1", tags=["1", "two"]),
        push("no chart", "p4", type="helm"),
    ]


def _looks(ground: Ground) -> list[dict[str, Any]]:
    def info(name: str, **options: Any) -> dict[str, Any]:
        return task(name, INFO, options)

    ref = ground.ref("1.0.0")
    parts = ["manifest", "config", "layers", "referrers", "tags"]
    return [
        info("all parts", ref=ref, gather=parts),
        info("ranked", url=ground.publisher.url, semver="*", gather=["tags"]),
        info("absent", ref=ground.ref("none"), missing_ok=True),
        info("absent and wanted", ref=ground.ref("none")),
        info("charts", ref=f"{ground.publisher.name}/demo", gather=["charts"]),
        info("of a layout", ref=f"oci-layout:{ground.at('layout')}:1", gather=["manifest"]),
        info("wrong login", ref=f"{ground.private.host}/a:1", username="robot", password=SECRET),
        info("no part", ref=ref, gather=["everything"]),
    ]


def _signatures(ground: Ground) -> list[dict[str, Any]]:
    signed, key_a = {"ref": f"oci-layout:{ground.at('signed')}:{_tag(ground)}"}, str(KEYS / "key-a.pub")
    own = {"ref": ground.ref("1.1.0"), "key": str(KEYS / "ed25519.raw.pem")}
    return [
        task("verified", VERIFY, {**signed, "public_keys": [key_a]}),
        task("another key", VERIFY, {**signed, "public_keys": [str(KEYS / "key-b.pub")]}),
        task("no policy", VERIFY, signed),
        task("no key", VERIFY, {**signed, "public_keys": [ground.at("none.pub")]}),
        task("two to verify", VERIFY, {"artifacts": [signed, {"ref": ground.ref("none")}], "public_keys": [key_a]}),
        task("sign foreseen", SIGN, own, check_mode=True, diff=True),
        task("sign", SIGN, own, diff=True),
        task("sign again", SIGN, own),
        task("encrypted", SIGN, {**own, "key": str(KEYS / "key-a.key"), "key_password": SECRET}),
        task("verified pull", PULL, {**signed, "dest": ground.at("dest/v"), "verify": {"public_keys": [key_a]}}),
    ]


def _tag(ground: Ground) -> str:
    index = json.loads((ground.folder / "signed/index.json").read_text())
    names = (each.get("annotations", {}).get("org.opencontainers.image.ref.name") for each in index["manifests"])
    return next(str(name) for name in names if name and not name.startswith("sha256-"))


def _others(ground: Ground) -> list[dict[str, Any]]:
    cache = {"cache_dir": ground.at("cache")}
    demo = f"{ground.publisher.name}/demo"
    login = {"registry": ground.private.host, "config_file": ground.at("docker.json"), "username": "robot"}
    account = {"username": ground.private.username, "password": ground.private.password}
    release = {"name": "one", "namespace": "x", "source": "demo"}
    return [
        task("cached", PULL, {"ref": ground.ref("1.0.0"), "dest": ground.at("dest/cached"), **cache}),
        task("the cache", CACHE, cache),
        task("prune foreseen", CACHE, {**cache, "state": "absent"}, check_mode=True, diff=True),
        task("prune", CACHE, {**cache, "state": "absent"}),
        task("no cache", CACHE, {"cache_dir": ground.at("source")}),
        task("login refused", LOGIN, {**login, "password": SECRET}, diff=True),
        task("login foreseen", LOGIN, {**login, **account}, check_mode=True, diff=True),
        task("login", LOGIN, {**login, **account}, diff=True),
        task("logout", LOGIN, {**login, "username": None, "state": "absent"}),
        task("sources", CHARTS, {"sources": {"demo": {"ref": f"{demo}:1.0.0"}}, **cache}),
        task("sources again", CHARTS, {"sources": {"demo": {"ref": f"{demo}:1.0.0"}}, **cache}),
        task("a tag that differs", CHARTS, {"sources": {"demo": {"ref": f"{demo}:1.2"}}, **cache}),
        task("no chart there", CHARTS, {"sources": {"odd": {"ref": f"{demo}:odd"}}, **cache}),
        task("no sources", CHARTS, {"sources": "demo", **cache}),
        task("no cluster", RELEASES, {"releases": [release], "charts": {}, "kubeconfig": ground.at("none")}),
        task("bad releases", RELEASES, {"releases": [{**release, "name": "Not_A_Name"}], "charts": {}}),
        task("no releases", RELEASES, {"releases": "one"}),
    ]  # fmt: skip
