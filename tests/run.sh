#!/usr/bin/env bash
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every check of this collection: gates, unit tests, integration tests. Needs python3 and git; sets up the rest in
# .work/ and in the user's caches.
#
#   tests/run.sh [all|gates|unit|integration] [--core both|oldest|newest|2.18] [--module-files] [-- pytest arguments]
#   tests/run.sh one FILE... [pytest arguments]     some test files alone, on the oldest ansible-core
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/support/run_tests.py" "$@"
