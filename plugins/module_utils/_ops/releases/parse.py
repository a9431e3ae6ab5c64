# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses and checks the wanted releases of the module's options."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import InvalidOption
from ..._helm.flags import DeployFlags, UninstallFlags
from ..._helm.post_renderer import PostRenderer
from ..._helm.schedule import check_order
from ..._oci.digest import parse_digest
from ..._oci.options import parse_duration
from .labels import parse_labels
from .references import (
    check_references,
    check_source,
    parse_files,
    parse_reference,
    parse_set_values,
)
from .spec import FetchedChart, ReleaseKey, ReleaseSpec, ReleaseTests, Remedy

if TYPE_CHECKING:
    from ..._manifests.ignored_fields import DriftRule
    from ..._manifests.post_rendering import PostRendering
    from ..._policy.window import Schedule

# helm, pkg/chartutil/validate_name.go
MAX_NAME = 53
MAX_ACCOUNT = 253
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def parse_releases(
    items: Sequence[Mapping[str, Any]], sources: Mapping[str, FetchedChart], artifacts: Collection[str] = ()
) -> list[ReleaseSpec]:
    """The releases of the option ``releases``.

    :param artifacts: the names of the sources whose files values can be taken from.
    :raises ChartError: when the source of a release is an artifact without a chart.
    :raises InvalidOption: for names that are invalid in Kubernetes, an unknown source, two entries for one release, and
        circular dependencies.
    """
    specs: dict[ReleaseKey, ReleaseSpec] = {}
    for item in items:
        spec = _parse_release(item)
        if spec.key in specs:
            raise InvalidOption(f"The release {spec.key} is given twice.", "Give each release once.")
        if spec.present:
            check_source(spec.source, str(spec.key), sources, artifacts)
            check_references(spec.values_from, str(spec.key), artifacts)
        specs[spec.key] = spec
    found = [_with_records(spec, specs) for spec in specs.values()]
    check_order(list(specs), {spec.key: spec.depends_on for spec in found})
    return found


def _with_records(spec: ReleaseSpec, specs: Mapping[ReleaseKey, ReleaseSpec]) -> ReleaseSpec:
    """The release, with those that it depends on by the namespaces of their records."""
    records = _records(spec, specs)
    named = [(need, record) for need, record in zip(spec.depends_on, records) if need in spec.ready_when]
    return dataclasses.replace(
        spec, depends_on=records, ready_when={record: spec.ready_when[need] for need, record in named}
    )


def _records(spec: ReleaseSpec, specs: Mapping[ReleaseKey, ReleaseSpec]) -> list[ReleaseKey]:
    """The releases that a release depends on, each by the namespace of its record.

    :raises InvalidOption: when two of the list go by the same namespace and name.
    """
    records = []
    for need in spec.depends_on:
        named = [key for key, each in specs.items() if ReleaseKey(each.namespace, key.name) == need]
        if len(named) > 1:
            raise InvalidOption(
                f"The release {spec.key} depends on {need}, which are {len(named)} releases with records in "
                f"{', '.join(sorted(key.namespace for key in named)[:20])}.",
                "Give each of them a 'namespace' of its own.",
            )
        records += named or [need]
    return records


def _parse_release(item: Mapping[str, Any]) -> ReleaseSpec:
    name, namespace = item["name"], item["namespace"]
    if not _NAME.match(name) or len(name) > MAX_NAME:
        raise InvalidOption(
            f"{name[:100]!r} cannot be the name of a release.",
            f"Wanted are lower case letters, digits and hyphens, at most {MAX_NAME}.",
        )
    for each in (namespace, item["storage_namespace"], item["target_namespace"]):
        if each and not _NAMESPACE.match(each):
            raise InvalidOption(f"{each[:100]!r}, of the release {name}, cannot be the name of a namespace.")
    key = ReleaseKey(item["storage_namespace"] or namespace, name)
    user = _user(namespace, item["service_account"] or "", key)
    _check_force(item, key)
    if (item["rollback"] or {}).get("force"):
        _check_force({**item, "force": True}, key)
    if item["rollback_to"]:
        parse_digest(item["rollback_to"])
    test = item["test"] or {}
    rendering = _rendering(item)
    needs = [_dependency(each, ReleaseKey(namespace, name)) for each in item["depends_on"] or ()]
    return ReleaseSpec(
        key=key,
        namespace=namespace,
        target=item["target_namespace"] or namespace,
        user=user,
        present=item["state"] == "present",
        suspend=item["suspend"],
        source=item["source"] or "",
        values=item["values"] or {},
        values_files=parse_files(item["values_files"], str(key), "values_files"),
        chart_values_files=[
            dataclasses.replace(each, path=posixpath.normpath(each.path))
            for each in parse_files(item["chart_values_files"], str(key), "chart_values_files")
        ],
        values_from=[parse_reference(each, str(key), namespace, user) for each in item["values_from"] or ()],
        set_values=parse_set_values(item["set_values"], str(key)),
        preserve_values=item["preserve_values"],
        depends_on=[need for need, _ready_when in needs],
        ready_when={need: ready_when for need, ready_when in needs if ready_when},
        labels=parse_labels(item["labels"] or {}, str(key)),
        create_namespace=item["create_namespace"],
        crds=item["crds"],
        rendering=rendering,
        flags=_flags(item, rendering),
        install_remedy=_remedy(item["install"], "none"),
        upgrade_remedy=_remedy(item["upgrade"], "rollback"),
        remediate_last_failure=item["remediate_last_failure"],
        test=ReleaseTests(
            enable=bool(test.get("enable")),
            timeout=parse_duration(test.get("timeout") or item["timeout"], "test.timeout"),
            ignore_failures=bool(test.get("ignore_failures")),
            filters=[_filter(each) for each in test.get("filters") or ()],
        ),
        pending=item["pending"],
        drift=item["drift"],
        drift_ignore=_drift_rules(item["drift_ignore"] or (), key),
        rollback_to=item["rollback_to"] or "",
        rollback_flags=_rollback_flags(item),
        uninstall_flags=_uninstall_flags(item),
        window=_window(item.get("window"), key),
    )


def _user(namespace: str, account: str, key: ReleaseKey) -> str:
    """The user name of a service account; empty without one."""
    if not account:
        return ""
    if not _NAME.match(account) or len(account) > MAX_ACCOUNT:
        raise InvalidOption(
            f"{account[:100]!r} cannot be the 'service_account' of the release {key}.",
            f"Wanted is the name of a service account in the namespace {namespace}, without that namespace.",
        )
    return f"system:serviceaccount:{namespace}:{account}"


def _check_force(item: Mapping[str, Any], key: ReleaseKey) -> None:
    """Check the options that exclude each other in Helm.

    :raises InvalidOption: when two of them are set.
    """
    if not item["force"]:
        return
    for other, is_set, what in (
        ("force_conflicts", item["force_conflicts"], "takes over fields of objects that are kept"),
        ("server_side: true", item["server_side"] == "true", "leaves the update to the server, which cannot replace"),
    ):
        if is_set:
            raise InvalidOption(
                f"The release {key} has both 'force', which replaces objects, and '{other}', which {what}.",
                "Set one of them, also in the defaults of the releases.",
            )


def _window(option: Mapping[str, Any] | None, key: ReleaseKey) -> Schedule | None:
    """Return when the release may be changed; None without the option.

    :raises InvalidOption: when it cannot be understood, or holds no window, as a wrong variable makes it.
    """
    if option is None:
        return None
    from ..._policy.window import check_schedule

    return check_schedule(option, f"'window' of the release {key}")


def _drift_rules(entries: Sequence[Mapping[str, Any]], key: ReleaseKey) -> list[DriftRule]:
    if not entries:
        return []
    # imported here: few releases have any
    from ..._manifests.ignored_fields import parse_drift_rule

    return [parse_drift_rule(each, f"the release {key}") for each in entries]


def _filter(entry: Mapping[str, Any]) -> str:
    """The argument of ``helm test --filter``."""
    return f"{'!' if entry.get('exclude') else ''}name={entry['name']}"


def _rendering(item: Mapping[str, Any]) -> PostRendering | None:
    """Return what is done with the rendered manifests; None where nothing is."""
    common = item.get("common_metadata") or {}
    labels, annotations = common.get("labels") or {}, common.get("annotations") or {}
    if not (item.get("patches") or item.get("images") or labels or annotations):
        return None
    # imported here: few releases have any
    from ..._manifests.post_rendering import PostRendering

    return PostRendering(
        patches=item.get("patches") or (),
        images=item.get("images") or (),
        labels=labels,
        annotations=annotations,
        strategy=item.get("post_render_strategy") or "",
    )


def _flags(item: Mapping[str, Any], rendering: PostRendering | None = None) -> DeployFlags:
    renderer = item["post_renderer"]
    return DeployFlags(
        wait=item["wait"],
        wait_for_jobs=item["wait_for_jobs"],
        wait_strategy=item["wait_strategy"] or "",
        timeout=parse_duration(item["timeout"], "timeout"),
        history_max=item["history_max"],
        disable_hooks=item["disable_hooks"],
        disable_openapi_validation=item["disable_openapi_validation"],
        skip_schema_validation=item["skip_schema_validation"],
        take_ownership=item["take_ownership"],
        force=item["force"],
        force_conflicts=item["force_conflicts"],
        server_side=item["server_side"] or "",
        cleanup_on_fail=item["cleanup_on_fail"],
        post_renderer=PostRenderer(renderer["command"], tuple(renderer.get("args") or ())) if renderer else None,
        render=rendering.render if rendering is not None else None,
        render_hooks=rendering is not None and rendering.strategy in ("combined", "separate"),
    )


def _own_settings(item: Mapping[str, Any], action: str) -> dict[str, Any]:
    """What an action has settings of its own for.

    :raises InvalidOption: for a ``timeout`` that is not a duration.
    """
    own = {name: value for name, value in (item[action] or {}).items() if value is not None}
    if "timeout" in own:
        # refused by its own name, which is not that of the release
        parse_duration(own["timeout"], f"{action}.timeout")
    return own


def _rollback_flags(item: Mapping[str, Any]) -> DeployFlags:
    """Return the options of rollbacks: those of ``rollback``, and of the release for what it does not say."""
    own = _own_settings(item, "rollback")
    recreate = own.pop("recreate", False)
    return dataclasses.replace(_flags({**item, **own}), recreate=recreate)


def _uninstall_flags(item: Mapping[str, Any]) -> UninstallFlags:
    """Return the options of removals, as for rollbacks."""
    given = {**item, **_own_settings(item, "uninstall")}
    return UninstallFlags(
        timeout=parse_duration(given["timeout"], "timeout"),
        wait=given["wait"],
        wait_strategy=given["wait_strategy"] or "",
        keep_history=given["keep_history"],
        disable_hooks=given["disable_hooks"],
        propagation=given["deletion_propagation"] or "",
    )


def _dependency(entry: Any, key: ReleaseKey) -> tuple[ReleaseKey, str]:
    """Parse a name, ``namespace/name``, or a mapping of both; the default is the release's namespace.

    The second value is the expression that says when it is ready, empty without one.
    """
    if isinstance(entry, str):
        namespace, slash, name = entry.rpartition("/")
        if name and bool(namespace) == bool(slash):
            return ReleaseKey(namespace or key.namespace, name), ""
    elif isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        unknown = [str(name) for name in entry if name not in ("name", "namespace", "ready_when")]
        if unknown:
            raise InvalidOption(
                f"An entry of 'depends_on' of the release {key} has the unknown key {unknown[0][:100]!r}.",
                "Wanted are name, namespace and ready_when.",
            )
        ready_when = entry.get("ready_when")
        if ready_when is None:
            ready_when = ""
        elif not isinstance(ready_when, str) or not ready_when.strip():
            # a bare true, or a wrong variable: a condition that is none
            raise InvalidOption(
                f"'ready_when' in 'depends_on' of the release {key} is {str(ready_when)[:100]!r}, which is not a text.",
                "Write an expression in CEL, in quotes, such as \"dep.status == 'deployed'\".",
            )
        return ReleaseKey(str(entry.get("namespace") or key.namespace), entry["name"]), ready_when.strip()
    raise InvalidOption(
        f"An entry of 'depends_on' of the release {key} is not a name.", "Wanted is NAME, or NAMESPACE/NAME."
    )


def _remedy(option: Mapping[str, Any] | None, default: str) -> Remedy:
    option = option or {}
    retries = option.get("retries") or 0
    if not 0 <= retries <= 100:
        raise InvalidOption(f"'retries' is {retries}: wanted 0 to 100.")
    return Remedy(option.get("remediation") or default, retries)
