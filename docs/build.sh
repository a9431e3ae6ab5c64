#!/usr/bin/env bash
# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Build the documentation site: the guides, and a page for each module, lookup and role. A warning is an error.
#
#   docs/build.sh [FOLDER]      default: .work/site; open index.html there in a browser
#
# Needs git, and a python3 from 3.11 on. antsibull-docs and sphinx-build are taken from PATH; where they are not, they are
# installed into .work/venvs/docs. The build itself uses no network.
set -euo pipefail

docs=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$docs")
site=$(realpath -m "${1:-$checkout/.work/site}")

# an earlier site is replaced, and nothing else
if [[ -e "$site" && ! -f "$site/.buildinfo" && -n "$(ls -A "$site")" ]]; then
    echo "$site holds something other than a site: name a new or empty folder." >&2
    exit 1
fi

if ! command -v antsibull-docs >/dev/null || ! command -v sphinx-build >/dev/null; then
    venv="$checkout/.work/venvs/docs"
    if ! cmp --silent "$docs/requirements.txt" "$venv/made-of"; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --requirement "$docs/requirements.txt"
        cp "$docs/requirements.txt" "$venv/made-of"
    fi
    PATH="$venv/bin:$PATH"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Ansible knows a collection by the place where it lies
python3 "$checkout/tests/support/collection_tree.py" "$scratch/tree" >/dev/null
export ANSIBLE_COLLECTIONS_PATH="$scratch/tree" ANSIBLE_HOME="$scratch/ansible"

# the module pages, and the guides beside them; antsibull-docs wants the folder for itself
mkdir -m 0755 "$scratch/pages"
antsibull-docs --config-file "$docs/site/antsibull-docs.cfg" collection --use-current --squash-hierarchy --no-indexes \
    --fail-on-error --dest-dir "$scratch/pages" cloudnative.artifacts

# the landing page is our own
cp "$docs/site/index.rst" "$scratch/pages/"
cp "$docs/speed.svg" "$scratch/pages/"

rm -rf "$site"
sphinx-build -b html -c "$docs/site" -d "$scratch/doctrees" -W --keep-going --quiet "$scratch/pages" "$site"
# pages refer to drawings beside them for code hosts that show no other ones
cp "$docs"/docsite/rst/*.svg "$site/docsite/"
echo "The site is in $site"
