# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for secrets at the end of a run finds one wherever it is left, and nothing where it belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import secret_search

pytestmark = pytest.mark.once

MARK = "pW4hJn8sYb2dK6"
SUPPORT = Path(secret_search.__file__).parent
CONFTEST = """
import pytest
from secret_search import SEARCH

@pytest.fixture(scope="session", autouse=True)
def _no_secret_is_left(tmp_path_factory):
    with SEARCH.over(tmp_path_factory.getbasetemp()):
        yield
    findings = SEARCH.findings()
    SEARCH.forget()
    if findings:
        pytest.fail(f"{len(findings)} found: " + "; ".join(findings), pytrace=False)
    print("searched", SEARCH.looked_at)
"""
# each test is one way to leave a secret, or one to have it where it may be
TESTS = """
import base64, json, os, subprocess, sys, time, urllib.parse
import pytest, secret_search
from secret_search import SEARCH, new_secret

def child(code, *arguments, **more):
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=300, **more)

def leave(path, text):
    child("import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", str(path), input=text, text=True)

def test_input(tmp_path):
    secret = new_secret()
    (tmp_path / "credentials").write_text(secret)
    os.rename(tmp_path / "credentials", tmp_path / "moved")
    child("import time; time.sleep(0.3)", "password=" + secret)
    child("import sys; assert sys.stdin.read()", input=secret, text=True)

def test_belongs(tmp_path):
    secret_search.belongs(tmp_path / "login")
    (tmp_path / "login").mkdir()
    leave(tmp_path / "login/config.json", new_secret())

def test_file(tmp_path):
    leave(tmp_path / "log", "x" * 2_000_000 + new_secret("a"))

def test_hidden_file(tmp_path):
    (tmp_path / "closed").mkdir()
    leave(tmp_path / "closed/log", new_secret())
    os.chmod(tmp_path / "closed/log", 0)
    os.chmod(tmp_path / "closed", 0)

def test_temporary_file(tmp_path):
    child("import os, tempfile; os.write(tempfile.mkstemp()[0], input().encode())", input=new_secret(), text=True)

def test_base64(tmp_path):
    leave(tmp_path / "header", "Basic " + base64.b64encode(b"user:" + new_secret().encode()).decode())

def test_url(tmp_path):
    secret = secret_search.register("a b/c+d&e:f", "a password")
    leave(tmp_path / "url", "GET /token?p=" + urllib.parse.quote(secret, safe=""))

def test_json(tmp_path):
    secret = secret_search.register('quo"ted\\\\word', "a password")
    leave(tmp_path / "json", json.dumps({"password": secret}))

def test_key(tmp_path):
    lines = ["-----BEGIN KEY-----", "first1" * 8, "second" * 8, "short", "-----END KEY-----"]
    (tmp_path / "key").write_text("\\n".join(lines))
    secret_search.register_key(tmp_path / "key")
    leave(tmp_path / "log", "second" * 8)

def test_output():
    SEARCH.capture("a task", "fatal: " + new_secret())

# a process that stays until its command line was noted, which ends with a folder and a secret
INNER = "import os, sys, time\\nwhile not os.path.exists(sys.argv[1] + '/noted'): time.sleep(0.01)"

def until_noted(secret, folder):
    while not any(command.endswith(secret) for command in SEARCH._sampler.commands):
        time.sleep(0.01)
    (folder / "noted").touch()

def test_argv(tmp_path):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:], input()])"
    secret = new_secret()
    command = [sys.executable, "-c", code, INNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as started:
        started.stdin.write(secret + "\\n")
        started.stdin.close()
        until_noted(secret, tmp_path)

def test_orphan(tmp_path):
    # its parents are gone before it is looked at
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:], input()])"
    secret = new_secret()
    child(code, INNER, str(tmp_path), input=secret + "\\n", text=True, start_new_session=True)
    until_noted(secret, tmp_path)

def test_product(tmp_path):
    # as code of the collection does it in this process
    name = "/x/ansible_collections/cloudnative/artifacts/plugins/module_utils/x.py"
    exec(compile("with open(path, 'w') as stream: stream.write(text)", name, "exec"),
         {"path": str(tmp_path / "state"), "text": new_secret()})
"""
LEAKS = {
    "file": "test_file0/log",
    "hidden_file": "closed/log",
    "temporary_file": "/secret-search-",
    "base64": "test_base640/header",
    "url": "a password in ",
    "json": "a password in ",
    "key": "the key key in ",
    "output": "the output of a task, behind 'fatal: '",
    "argv": "the command line of a process",
    "orphan": "the command line of a process",
    "product": "test_product0/state",
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", "--rootdir", str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TMPDIR"))}
    python_path = os.pathsep.join([str(SUPPORT), *filter(None, [environment.get("PYTHONPATH")])])
    command += ["--basetemp", str(folder / "left")]
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**environment, "PYTHONPATH": python_path, "SECRET_SEARCH_MARK": MARK},
    )
    assert MARK not in done.stdout + done.stderr, "what is found is not shown"
    return done


def test_what_is_left_is_found_and_what_belongs_is_not(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "input or belongs")
    assert done.returncode == 0, done.stdout
    assert "searched {'outputs': 0, 'commands': " in done.stdout and "2 passed" in done.stdout
    done = run(tmp_path)
    assert done.returncode == 1 and f"{len(TESTS.split('def test_')) - 1} passed, 1 error" in done.stdout, done.stdout
    missing = {name: words for name, words in LEAKS.items() if words not in done.stdout}
    assert missing == {} and f"{len(LEAKS)} found: " in done.stdout, done.stdout


def test_each_process_of_a_run_searches(tmp_path: Path) -> None:
    done = run(tmp_path, "--numprocesses=2", "--dist=load", "-k", "file or output or input")
    assert done.returncode == 1 and "found: " in done.stdout, done.stdout
    for name in ("file", "hidden_file", "temporary_file", "output"):
        assert LEAKS[name] in done.stdout, (name, done.stdout)
