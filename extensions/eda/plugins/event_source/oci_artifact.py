# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An event source of Event-Driven Ansible: one event for each new revision of an OCI artifact."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from typing import Any

DOCUMENTATION = r"""
module: oci_artifact
short_description: Tell when OCI artifacts have a new revision
version_added: 0.1.0
description:
  - Looks at artifacts in registries in intervals, and makes one event of each new revision. A revision is new when a
    tag was moved, or a selection such as a SemVer range leads to another tag. The first revision that is seen is new,
    too.
  - With O(verify) or O(policy), a revision is announced when it satisfies them, and not before. One that is signed
    some time after it was pushed is announced then.
  - What was announced is kept in O(state_file), so that a restart neither loses nor repeats an event. Changes that
    happen while no rulebook runs are announced when it starts again, as one event from the last revision to the
    present one.
  - An event has C(type), C(reason), C(revision), C(previous), C(signers) and more, as the guide on events lists them.
    It never has credentials.
  - While nothing changes, a look takes one HEAD request, and with a selection the list of tags.
  - A registry that does not answer ends neither the source nor the looks at other artifacts. It is asked less and
    less often, at most 10 times O(interval) or an hour later.
  - The source needs ansible-core and what the modules of this collection need in the Python of ansible-rulebook, as
    it is in decision environments.
author:
  - the cloudnative.artifacts authors (@cloudnative)
options:
  artifacts:
    description:
      - The artifacts to watch, at most 1,000. An entry is a reference, or a mapping that has it in C(ref) (or
        C(url)).
      - C(tag), C(digest), C(semver), C(semver_filter) and C(filter_tags) select a revision as in
        M(cloudnative.artifacts.oci_artifact_pull).
      - C(name) is what events call it. The default is made from reference and selection.
      - C(interval), and all options that the source shares among its artifacts, may stand in an entry, which then has
        its own. As soon as it has one that says who logs in, all of those are its own.
    type: list
    elements: raw
    required: true
  interval:
    description:
      - The time between two looks at an artifact, in seconds or as in V(90s) and V(1m30s). One second at least.
    type: str
    default: 5m
  state_file:
    description:
      - The file that says what was announced. Each running source needs its own. Nobody but root and the user of
        ansible-rulebook may be able to change it.
      - The default is C(events.json) in E(OCI_ARTIFACT_STATE_DIR), by default
        V(~/.local/state/cloudnative.artifacts). In a container, give a file on a volume.
    type: path
  failures:
    description:
      - Where failures are told. All are in the log of ansible-rulebook. With V(event), each is also an event with
        C(type=failure), one for each new C(reason), and one with C(type=recovery) tells that it is over.
    type: str
    choices: [log, event]
    default: log
  feedback:
    description:
      - Wait with the next event until the rule engine has taken this one. It is an option of ansible-rulebook itself,
        which wants C(--persistence-id) for it. Without it an event counts as taken when it is in the queue of the
        engine.
    type: bool
    default: false
  verify:
    description:
      - Which signatures a revision needs, as in M(cloudnative.artifacts.oci_artifact_pull).
    type: dict
  policy:
    description:
      - What may be used of which registry, as in M(cloudnative.artifacts.oci_artifact_pull).
    type: raw
  username:
    description:
      - The login, with O(password). All other options for logins and connections of
        M(cloudnative.artifacts.oci_artifact_pull) are options of the source as well.
    type: str
  password:
    description:
      - The password or token.
    type: str
"""

EXAMPLES = r"""
- name: Deploy each release of 1.x that the release key signed
  hosts: all
  sources:
    - name: releases
      cloudnative.artifacts.oci_artifact:
        interval: 1m
        state_file: /var/lib/eda/releases.json
        verify:
          public_keys: [/etc/keys/release.pub]
        artifacts:
          - ref: registry.example.com/platform/config
            semver: 1.x
  rules:
    - name: Deploy
      condition: event.type == "revision"
      action:
        run_playbook:
          name: deploy.yml
          extra_vars:
            config_ref: "{{ event.ref }}"
"""

# the name of a file that ansible-rulebook runs is no name
LOGGER = logging.getLogger("cloudnative.artifacts.oci_artifact")
# The arguments that ansible-rulebook itself adds, or reads.
_OF_THE_RULEBOOK = ("eda_feedback_queue", "feedback")
# Seconds until the process that looks is started again when it was ended by somebody else: twice as many each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# of one message
_LONGEST_LINE = 16 << 20
_COLLECTIONS = os.path.abspath(__file__).rsplit("/ansible_collections/", 1)[0]
# Ansible's loader finds this very collection, also beside a package with the name ansible_collections. The working
# directory is no place for Python's modules.
_PROGRAM = """
import sys
sys.path[:] = [path for path in sys.path if path]
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_process import main
main()
"""


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Put an event into the queue for each new revision, until the task is cancelled.

    :raises ValueError: when an argument cannot be used, or ansible-core is missing.
    """
    arguments = {name: value for name, value in args.items() if name not in _OF_THE_RULEBOOK}
    feedback = args.get("eda_feedback_queue")
    pause = _FIRST_PAUSE
    while True:
        if await _watch(queue, arguments, feedback):
            pause = _FIRST_PAUSE
        LOGGER.warning("oci_artifact: the process that looks at artifacts has ended, and starts again in %gs", pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _watch(queue: asyncio.Queue[Any], arguments: dict[str, Any], feedback: asyncio.Queue[Any] | None) -> bool:
    """Run the process that looks until it ends; return whether it had anything to say."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        _COLLECTIONS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        # an interrupt of the terminal is for ansible-rulebook, which then ends this process
        start_new_session=True,
    )
    spoke = False
    if process.stdin is None or process.stdout is None:
        raise ValueError("oci_artifact: the process that looks at artifacts has no pipes.")
    try:
        # never on a command line, or in the environment: there are credentials in it
        await _write(process.stdin, json.dumps(arguments, default=str).encode("utf-8", "surrogateescape"))
        while True:
            line = await process.stdout.readline()
            if not line:
                break
            message = json.loads(line)
            spoke = True
            if "invalid" in message:
                raise ValueError(message["invalid"])
            if "log" in message:
                LOGGER.log(logging.INFO if message.get("level") == "info" else logging.WARNING, "%s", message["log"])
            if "event" in message:
                await queue.put(message["event"])
                if feedback is not None:
                    await feedback.get()
                # nothing may come between the two: an event that is in the queue has been taken
                process.stdin.write(b"\n")
                with contextlib.suppress(ConnectionError):
                    await process.stdin.drain()
        if await process.wait() == 1 and not spoke:
            raise ValueError(
                "oci_artifact: the process that looks at artifacts does not start; what it said is above. "
                f"It needs ansible-core in the Python of ansible-rulebook: {sys.executable} -m pip install ansible-core"
            )
        return spoke
    finally:
        if process.returncode is None:
            # it stores that the last event was taken before it sees the end of its input
            process.stdin.close()
            with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(process.wait(), 2)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


async def _write(stream: asyncio.StreamWriter, line: bytes) -> None:
    stream.write(line + b"\n")
    with contextlib.suppress(ConnectionError):
        await stream.drain()
