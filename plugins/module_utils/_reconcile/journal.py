# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the events of a run go beside the status: the journal, or the system log where there is no journal."""

from __future__ import annotations

import os
import sys
import syslog

from .status import WARNING

# sd-daemon(3)
_PRIORITIES = {WARNING: syslog.LOG_WARNING}


def is_in_journal() -> bool:
    """Whether what is printed goes into the journal (systemd.exec(5), JOURNAL_STREAM)."""
    return "JOURNAL_STREAM" in os.environ


def say(name: str, kind: str, reason: str, message: str) -> None:
    """Write one line about an event.

    In a service of systemd it is printed with its priority in front, else it is sent to the system log, so that cron
    has nothing to send by mail.
    """
    priority = _PRIORITIES.get(kind, syslog.LOG_NOTICE)
    line = " ".join(f"{kind} {reason}: {message}".split())
    if is_in_journal():
        sys.stdout.write(f"<{priority}>{line}\n")
        sys.stdout.flush()
        return
    syslog.openlog(f"oci-reconcile-{name}", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(priority, line)
    syslog.closelog()
