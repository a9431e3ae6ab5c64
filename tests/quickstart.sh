#!/usr/bin/env bash
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Run the quick start playbook of this checkout. Needs python3 and git; sets up the rest in .work/.
#
#   tests/quickstart.sh [ansible-playbook arguments, for instance -e registry=localhost:5000]
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/support/quickstart.py" "$@"
