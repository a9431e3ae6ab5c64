# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``oci-reconcile`` that the role installs: run, status, suspend, resume, request."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from .._errors import InvalidOption, OciError
from . import journal
from .configuration import DIRECTORY, Configuration, configured_names, load_configuration
from .private_file import write_private
from .programs import check_syntax
from .run import REQUESTED, SUSPENSION, TIME_FORMAT, is_due, reconcile
from .show import description, listing
from .status import FALSE, READY, WARNING, Status, new_status, observed_status, set_condition

# seconds for systemd to say that it starts a run
_SYSTEMD = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit status: 0 for success, 1 for a failure of the run, 2 for a
    command that cannot be carried out."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "status" and not options.name:
            return _list(options.config, options.output)
        configuration = load_configuration(options.name or _only_name(options.config), options.config)
        if options.command == "run":
            return _run(configuration, options.config, if_due=options.if_due)
        if options.command == "status":
            return _show(configuration, options.output)
        if options.command == "check":
            return check_syntax(configuration, options.project)
        if options.command == "request":
            return _request(configuration, options.token)
        return _suspend(configuration, options.reason) if options.command == "suspend" else _resume(configuration)
    except OciError as exc:
        sys.stderr.write(f"oci-reconcile: {exc}\n")
        if options.command == "run" and not journal.is_in_journal():
            # cron is told to drop what is printed
            journal.say(options.name, WARNING, exc.reason, str(exc))
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oci-reconcile", description="This host, as an OCI artifact says.")
    parser.add_argument("--config", default=DIRECTORY, help="the directory of the configurations (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "run": "pull the project and run its playbook",
        "status": "show revision, conditions and events; without a name, a line for each",
        "suspend": "run nothing until resumed",
        "resume": "run again",
        "check": "have ansible-playbook look at the syntax of a project, as 'validate' of the pull does",
        "request": "have the next run compare all files and run the playbook, and start it where systemd can",
    }
    parsers = {}
    for name, text in helps.items():
        parsers[name] = commands.add_parser(name, help=text, description=text)
        parsers[name].add_argument("name", nargs="?", default="", help="which one; needed where there are several")
    parsers["run"].add_argument("--if-due", action="store_true", help="only when the interval is over")
    parsers["status"].add_argument("-o", "--output", choices=["text", "json"], default="text")
    parsers["check"].add_argument("project", help="the directory of the project")
    parsers["suspend"].add_argument("--reason", default="")
    parsers["request"].add_argument("--token", default="", help="in place of the time")
    return parser


def _only_name(directory: str) -> str:
    names = configured_names(directory)
    if len(names) != 1:
        how = "Name one of them." if names else "Run the role 'reconcile' on this host."
        raise InvalidOption(f"There are {len(names)} configurations in {directory}.", how)
    return names[0]


def _run(configuration: Configuration, directory: str, *, if_due: bool) -> int:
    if if_due and not is_due(configuration, time.time()):
        return 0
    return reconcile(configuration, lambda: load_configuration(configuration.name, directory))


def _show(configuration: Configuration, output: str) -> int:
    status = observed_status(configuration.dest) or new_status(configuration.name)
    text = json.dumps(status, indent=2) if output == "json" else description(status, configuration.dest)
    sys.stdout.write(f"{text}\n")
    return 0


def _list(directory: str, output: str) -> int:
    found = [_status_of(name, directory) for name in configured_names(directory)]
    sys.stdout.write(f"{json.dumps(found, indent=2) if output == 'json' else listing(found)}\n")
    return 0


def _status_of(name: str, directory: str) -> Status:
    try:
        return observed_status(load_configuration(name, directory).dest) or new_status(name)
    except OciError as exc:
        status = new_status(name)
        set_condition(status, READY, FALSE, exc.reason, str(exc), "")
        return status


def _request(configuration: Configuration, token: str) -> int:
    token = token or time.strftime(TIME_FORMAT, time.gmtime())
    write_private(os.path.join(configuration.state, REQUESTED), f"{token}\n")
    if configuration.unit and os.path.isdir("/run/systemd/system"):
        words = ["systemctl", "start", "--no-block", configuration.unit]
        try:
            return 1 if subprocess.run(words, check=False, timeout=_SYSTEMD).returncode else 0
        except subprocess.TimeoutExpired:
            sys.stderr.write(
                f"oci-reconcile: {' '.join(words)} did not end within {_SYSTEMD:g} s. The request is noted, and the "
                "next run takes it up; see 'systemctl status'.\n"
            )
            return 1
    return 0


def _suspend(configuration: Configuration, reason: str) -> int:
    who = os.environ.get("SUDO_USER") or getpass.getuser()
    write_private(os.path.join(configuration.state, SUSPENSION), f"{reason or 'no reason was given'} ({who})\n")
    return 0


def _resume(configuration: Configuration) -> int:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(configuration.state, SUSPENSION))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
