#!/usr/bin/env bash
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs one of the gates' programs in the version that CI uses: tests/support/gate.sh ruff check .
set -euo pipefail
shopt -s nullglob
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for folder in "$top"/.work/venvs/gates-*; do
    exec "$folder/bin/$1" "${@:2}"
done
echo "The environment of the gates is not there yet: run 'bash tests/run.sh gates' once." >&2
exit 1
