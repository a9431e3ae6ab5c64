# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx makes the documentation site, see docs/build.sh."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes

_GALAXY = yaml.safe_load((Path(__file__).resolve().parents[2] / "galaxy.yml").read_text())

project = f"{_GALAXY['namespace']}.{_GALAXY['name']}"
author = _GALAXY["authors"][0]
version = release = _GALAXY["version"]
project_copyright = f"2026, {author}"
html_title = f"{project} {version}"
html_short_title = project

extensions = ["sphinx_antsibull_ext"]
default_role = "any"
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
nitpicky = True

html_theme = "sphinx_ansible_theme"
html_theme_options = {
    "navigation_depth": 2,
    "show_extranav": False,
    "show_rtd_ethical_ads": False,
    "titles_only": True,
    "topbar_links": {},
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False

# Labels of Ansible's own documentation. They are turned into addresses by rule, so that a build needs no network and
# gives the same pages everywhere.
_ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"
_PAGES = {
    "action_plugins": "plugins/action.html#action-plugins",
    "ansible_configuration_settings": "reference_appendices/config.html#ansible-configuration-settings",
    "common_return_values": "reference_appendices/common_return_values.html#common-return-values",
}
_PLUGIN = re.compile(r"ansible_collections\.(\w+)\.(\w+)\.(\w+)_([a-z]+?)(?:__(parameter|return)-(.+))?")


def _address(label: str) -> str | None:
    """The address of what a label of another documentation than this one names, or None."""
    if label in _PAGES:
        return f"{_ANSIBLE}/{_PAGES[label]}"
    plugin = _PLUGIN.fullmatch(label)
    if not plugin or f"{plugin[1]}.{plugin[2]}" == project:
        return None
    page = f"{_ANSIBLE}/collections/{plugin[1]}/{plugin[2]}/{plugin[3]}_{plugin[4]}.html"
    return f"{page}#{plugin[5]}-{plugin[6]}" if plugin[5] else page


def _resolve(_app: Any, _env: Any, node: Any, content: Any) -> nodes.reference | None:
    """A link to the documentation of Ansible; what is left unresolved is a warning, and so an error."""
    address = _address(str(node.get("reftarget", ""))) if node.get("reftype") in ("ref", "any") else None
    return nodes.reference("", "", content, internal=False, refuri=address) if address else None


def _lead_home(app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """The bar on top leads to the landing page, from every folder."""
    context["theme_documentation_home_url"] = context["pathto"](app.config.root_doc)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx what this file adds to it."""
    app.connect("missing-reference", _resolve)
    app.connect("html-page-context", _lead_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
