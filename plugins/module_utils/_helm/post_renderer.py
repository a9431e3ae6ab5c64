# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that change what Helm has rendered, as Helm 3 and Helm 4 want them: a path, and a plugin."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import MissingDependency
from .._files.bounded import expanded

_NAME = "rendered-by-command"


@dataclass(frozen=True)
class PostRenderer:
    """A program that reads the rendered manifests and prints the manifests to deploy."""

    command: str
    arguments: Sequence[str] = ()

    @property
    def path(self) -> str:
        """The absolute path of the program.

        :raises MissingDependency: when it is not there.
        """
        found = shutil.which(expanded(self.command))
        if found is None:
            raise MissingDependency(
                f"The post-renderer {self.command!r} is not a program on this host.", "Install it there."
            )
        return os.path.abspath(found)


def flags_for(
    renderer: PostRenderer, scratch: str, plugins: str, *, as_plugin: bool
) -> tuple[list[str], dict[str, str]]:
    """Return Helm's flags and environment for a post-renderer; with ``as_plugin``, write a plugin that calls it.

    :param plugins: the directories with plugins of the user.
    :raises MissingDependency: when the program is not there.
    """
    arguments = [f"--post-renderer-args={each}" for each in renderer.arguments]
    command = renderer.path
    if not as_plugin:
        return [f"--post-renderer={command}", *arguments], {}
    name = f"{_NAME}-{hashlib.sha256(os.fsencode(command)).hexdigest()[:12]}"
    own = os.path.join(scratch, "plugins")
    folder = os.path.join(own, name)
    if not os.path.isdir(folder):
        staged = f"{folder}.{os.getpid()}"
        os.makedirs(staged, mode=0o700)
        with open(os.path.join(staged, "run"), "w", encoding="utf-8") as stream:
            stream.write(f'#!/bin/sh\nexec {shlex.quote(command)} "$@"\n')
        os.chmod(os.path.join(staged, "run"), 0o700)
        with open(os.path.join(staged, "plugin.yaml"), "w", encoding="utf-8") as stream:
            stream.write(_PLUGIN.format(name=name))
        with contextlib.suppress(OSError):
            os.rename(staged, folder)
    return [f"--post-renderer={name}", *arguments], {"HELM_PLUGINS": f"{own}{os.pathsep}{plugins}" if plugins else own}


_PLUGIN = """\
apiVersion: v1
type: postrenderer/v1
name: {name}
version: 1.0.0
runtime: subprocess
runtimeConfig:
  platformCommand:
    - command: ${{HELM_PLUGIN_DIR}}/run
"""
