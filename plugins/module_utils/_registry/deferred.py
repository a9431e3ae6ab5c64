# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libraries that another library imports at once and uses seldom: loaded when they are used."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any


class _Deferred(types.ModuleType):
    """Stands for a module until something is asked of it.

    ``importlib.util.LazyLoader`` is of no use here: the ``import`` statement looks at ``__spec__`` of a module that is
    in ``sys.modules``, and that makes it load (seen with Python 3.9 to 3.13).
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def deferred(*names: str) -> Iterator[None]:
    """What is imported within binds a stand-in for each of these modules, unless it is loaded already.

    Afterwards they are as if they had never been asked for; the stand-in loads the real one at its first use, and only
    then raises ``ImportError`` where it is not installed.
    """
    made = {name: _Deferred(name) for name in names if name not in sys.modules}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, module in made.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
