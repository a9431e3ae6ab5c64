# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build: create layers, a config and a manifest from content on this host; nothing is sent yet, unless large layers are
delivered meanwhile (see ``one_pass.py``).

Builds are reproducible, the bytes depend on the content alone: order, names, owners, times and modes are normalised
(see ``pack.py``), JSON is canonical, and times come from ``SOURCE_DATE_EPOCH`` or are 1970-01-01T00:00:00Z
(https://reproducible-builds.org/specs/source-date-epoch/).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO

from ..._archive.left_out import LeftOut
from ..._errors import BuildError, InvalidContent, InvalidOption
from ..._files.bounded import expanded
from ..._files.names import is_reserved
from ..._files.tree import TreeEntry
from ..._oci import media
from ..._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, canonical_json, parse_manifest
from ..._oci.repository import BlobSource
from ..creation_time import creation_time
from ..layers import is_title
from .local_blob import Delivery, blob_of_bytes, blob_of_file, describe_file

FLUX, HELM, FILES, ANSIBLE = "flux", "helm", "files", "ansible"
# oras, content/file: the default artifact type of a push
UNKNOWN_ARTIFACT = "application/vnd.unknown.artifact.v1"

# With a blank as Python writes it, and YAML does for a time that is not in quotes.
_MEDIA_TYPE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}/[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}(?:;.*)?\Z")


@dataclass(frozen=True)
class Input:
    """One path to publish, with the media type and the name that its layer gets (empty: the type's own)."""

    path: str
    media_type: str = ""
    name: str = ""


@dataclass(frozen=True)
class BuildOptions:
    """The options of a build. ``ignore`` None means no rules, ``provenance`` None the file next to a packaged chart, an
    empty ``provenance`` none. ``vendor_collections`` puts the collections that a project requires into it."""

    inputs: Sequence[Input]
    type: str = FLUX
    artifact_type: str = ""
    config_media_type: str = ""
    layer_media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    revision: str = ""
    created: str = ""
    ignore: str | None = None
    provenance: str | None = None
    vendor_collections: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer that was built. ``diff_id`` is the digest of its uncompressed content, empty when it is not an archive;
    ``tree`` and ``directory`` are the packed content, for a comparison file by file, ``left_out`` the excluded one."""

    source: BlobSource
    diff_id: str = ""
    tree: Mapping[str, TreeEntry] | None = None
    directory: str = ""
    left_out: LeftOut = field(default_factory=LeftOut)


@dataclass(frozen=True)
class Built:
    """An artifact, ready to be published. ``tag`` is the default from its content (a chart's version), or empty.

    ``has_own_time`` is True when ``org.opencontainers.image.created`` is from an option, the environment or the chart:
    then a tag with the same content and another time counts as different. ``chart`` is the metadata of a Helm chart.
    ``left_out`` has the excluded entries of directories, with their paths in the archives.
    """

    manifest: Manifest
    config: BlobSource
    layers: Sequence[Layer]
    tag: str = ""
    has_own_time: bool = False
    warnings: Sequence[str] = ()
    chart: Mapping[str, str] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def blobs(self) -> list[BlobSource]:
        return [*(layer.source for layer in self.layers), self.config]


def parse_inputs(value: Any, type_name: str) -> list[Input]:
    """Parse the option ``path``: a path, or for files a list of paths and of mappings with path, media_type and name.

    ``~`` and variables in paths are expanded.

    :raises InvalidOption: when it is malformed.
    """
    items = value if isinstance(value, list) else [value]
    if isinstance(value, list) and type_name != FILES and len(value) != 1:
        raise InvalidOption(f"'path' is a list of {len(value)}, but type: {type_name} publishes one path.")
    inputs = []
    for item in items:
        fields = {"path": item} if isinstance(item, str) else item
        if not isinstance(fields, Mapping) or not fields.get("path") or set(fields) - {"path", "media_type", "name"}:
            raise InvalidOption("'path' holds something other than paths, or mappings with path, media_type and name.")
        path, media_type, name = (str(fields.get(key) or "") for key in ("path", "media_type", "name"))
        if media_type and not _MEDIA_TYPE.match(media_type):
            raise InvalidOption(f"The media type {media_type!r} in 'path' is not valid.")
        if name and not is_title(name):
            raise InvalidOption(f"The name {name[:200]!r} in 'path' is not a plain, printable relative path.")
        inputs.append(Input(expanded(path), media_type, name))
    return inputs


def build(options: BuildOptions, workspace: str, delivery: Delivery | None = None) -> Built:
    """Build the artifact; created layers are files in ``workspace``, which must exist until they are pushed.

    ``delivery`` reads the files and writes the archives, and may send them meanwhile.

    :raises InvalidOption: when options contradict each other.
    :raises BuildError: when the content cannot be packed.
    """
    _check(options)
    maker = {FLUX: _build_flux, HELM: _build_helm, FILES: _build_files, ANSIBLE: _build_ansible}[options.type]
    built = maker(options, workspace, delivery or Delivery())
    left_out = LeftOut()
    for layer in built.layers:
        title = layer.source.descriptor.annotations.get(media.ANNOTATION_TITLE, "")
        left_out.extend(layer.left_out, title)
    return replace(built, left_out=left_out, warnings=[*built.warnings, *_exclusion_warnings(options, left_out)])


def _exclusion_warnings(options: BuildOptions, left_out: LeftOut) -> list[str]:
    """A warning when default exclusions, and not the user's rules, excluded entries; at most one."""
    count, some, first = left_out.default_exclusions()
    if not count:
        return []
    where = options.inputs[0].path if len(options.inputs) == 1 else "what 'path' names"
    entries = "1 entry" if count == 1 else f"{count} entries"
    if options.type == HELM:
        return [
            f"{entries} of the chart {where} left out by Helm's default rules: {some}. Rename what Helm is to take; a "
            "rule in '.helmignore' leaves it out without this warning."
        ]
    return [
        f"{entries} of {where} left out by the default exclusions: {some}. To publish them, name them in 'ignore' with "
        f"a '!' before, as in {'!' + first!r}; to leave them out without this warning, name them there without one. "
        "Any rule in 'ignore' replaces the default exclusions, except those for version control files."
    ]


def _check(options: BuildOptions) -> None:
    if not options.inputs:
        raise InvalidOption("'path' names nothing to publish.")
    for option in ("artifact_type", "config_media_type", "layer_media_type"):
        value = getattr(options, option)
        if value and not _MEDIA_TYPE.match(value):
            raise InvalidOption(
                f"'{option}' is {value[:200]!r}: wanted a media type, as in application/vnd.example.config.v1+json."
            )
        if value and options.type == HELM:
            raise InvalidOption(f"'{option}' cannot be combined with type: helm, whose media types are Helm's own.")
    if options.provenance and options.type != HELM:
        raise InvalidOption(f"'provenance' is of charts: it cannot be combined with type: {options.type}.")
    if options.vendor_collections and options.type != ANSIBLE:
        raise InvalidOption(f"'vendor_collections' is of projects: it cannot be combined with type: {options.type}.")
    if options.type != FILES and len(options.inputs) > 1:
        raise InvalidOption(f"'path' names {len(options.inputs)} places, but type: {options.type} publishes one.", "")
    for each in options.inputs:
        if not os.path.lexists(each.path):
            raise BuildError(f"There is no {each.path} on the host that runs the module.", "Check 'path'.")


def _build_flux(options: BuildOptions, workspace: str, delivery: Delivery) -> Built:
    """Build as `flux push artifact` does: one archive, Flux's media types, annotations created, source and revision."""
    created = creation_time(options.created)
    media_type = options.layer_media_type or media.FLUX_LAYER
    layer = _archive_layer(options, options.inputs[0].path, media_type, workspace, delivery)
    config = canonical_json(
        {
            "architecture": "",
            "config": {},
            "created": created,
            "history": [{"created": "0001-01-01T00:00:00Z"}],
            "os": "",
            "rootfs": {"diff_ids": [layer.diff_id], "type": "layers"},
        }
    )
    config_source = blob_of_bytes(config, options.config_media_type or media.FLUX_CONFIG)
    return _assemble(options, config_source, [layer], {media.ANNOTATION_CREATED: created})


def _build_helm(options: BuildOptions, workspace: str, delivery: Delivery) -> Built:
    """Build as `helm push` does: the unaltered archive, the metadata as config, the provenance file if there is one."""
    from ..._helm.chart import pack_chart, read_chart
    from ..._helm.provenance import check_provenance, provenance_beside

    path = options.inputs[0].path
    chart = read_chart(path)
    warnings = list(chart.warnings)
    layers = []
    if os.path.isdir(path):
        archive = os.path.join(workspace, "chart.tgz")
        left_out = LeftOut()
        with open(archive, "w+b") as output:
            packed = pack_chart(path, output, left_out)
        descriptor = Descriptor(media.HELM_LAYER, packed.digest, packed.size)
        layers.append(Layer(blob_of_file(archive, descriptor), packed.diff_id, left_out=left_out))
    else:
        descriptor = describe_file(path, media.HELM_LAYER)
        layers.append(Layer(blob_of_file(path, descriptor)))
    provenance = options.provenance
    if provenance is None:
        # a directory has no provenance: helm signs only archives that it packed
        provenance = "" if os.path.isdir(path) else provenance_beside(path)
    if provenance:
        file_name = f"{chart.name}-{chart.version}.tgz"
        warnings += check_provenance(provenance, path, descriptor.digest, file_name)
        layers.append(Layer(blob_of_file(provenance, describe_file(provenance, media.HELM_PROVENANCE))))
    # as helm's registry client orders them
    layers.sort(key=lambda layer: layer.source.descriptor.digest)
    annotations = {media.ANNOTATION_CREATED: creation_time(options.created), **chart.annotations}
    if options.created:
        annotations[media.ANNOTATION_CREATED] = creation_time(options.created)
    if options.ignore is not None:
        warnings.append("'ignore' has no effect with type: helm, where '.helmignore' says what is left out of a chart.")
    built = _assemble(options, blob_of_bytes(chart.config, media.HELM_CONFIG), layers, annotations)
    has_own_time = built.has_own_time or media.ANNOTATION_CREATED in chart.annotations
    about = {"name": chart.name, "version": chart.version, "app_version": chart.app_version}
    return replace(built, tag=chart.tag, has_own_time=has_own_time, warnings=warnings, chart=about)


def _build_ansible(options: BuildOptions, workspace: str, delivery: Delivery) -> Built:
    """Build one archive of a directory with playbooks, roles and inventories."""
    path = options.inputs[0].path
    if not os.path.isdir(path):
        raise BuildError(f"{path} is no directory.", "With type: ansible, 'path' is a project with playbooks.")
    if options.vendor_collections:
        from .vendored import with_collections

        path = with_collections(path, workspace)
    layer = _archive_layer(options, path, options.layer_media_type or media.OCI_LAYER_GZIP, workspace, delivery)
    config = blob_of_bytes(media.EMPTY_JSON, options.config_media_type or media.OCI_EMPTY)
    named = replace(options, artifact_type=options.artifact_type or media.ANSIBLE_PROJECT)
    return _assemble(named, config, [layer], {media.ANNOTATION_CREATED: creation_time(options.created)})


def _build_files(options: BuildOptions, workspace: str, delivery: Delivery) -> Built:
    """Build as `oras push` does: a layer per path, titled with its name; directories are packed, and marked for it."""
    names = [each.name or _own_title(each.path) for each in options.inputs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidOption(f"Two of the paths have the name {twice!r}.", "Give each a name of its own with 'name'.")
    created = {}
    if options.created or os.environ.get("SOURCE_DATE_EPOCH"):
        created = {media.ANNOTATION_CREATED: creation_time(options.created)}
    config = blob_of_bytes(media.EMPTY_JSON, options.config_media_type or media.OCI_EMPTY)
    jobs = [partial(_file_layer, options, number, name, workspace, delivery) for number, name in enumerate(names)]
    return _assemble(options, config, delivery.gather(jobs), created)


def _file_layer(options: BuildOptions, number: int, name: str, workspace: str, delivery: Delivery) -> Layer:
    each = options.inputs[number]
    if os.path.isdir(each.path):
        media_type = each.media_type or options.layer_media_type or media.OCI_LAYER_GZIP
        layer = _archive_layer(options, each.path, media_type, workspace, delivery, number, prefix=name)
        annotations = {
            media.ANNOTATION_TITLE: name,
            media.ANNOTATION_ORAS_UNPACK: "true",
            media.ANNOTATION_ORAS_DIGEST: layer.diff_id,
        }
        return _annotated(layer, annotations)
    media_type = each.media_type or options.layer_media_type or media.OCTET_STREAM
    described = delivery.describe(each.path, media_type)
    return _annotated(Layer(blob_of_file(each.path, described)), {media.ANNOTATION_TITLE: name})


def _own_title(path: str) -> str:
    name = os.path.basename(os.path.abspath(path))
    if not is_title(name):
        raise BuildError(
            f"{path!r} cannot be published under the name {name!r}, which could not be pulled.",
            "Give it another with 'name'.",
        )
    return name


def _archive_layer(
    options: BuildOptions,
    path: str,
    media_type: str,
    workspace: str,
    delivery: Delivery,
    number: int = 0,
    prefix: str = "",
) -> Layer:
    from ..._archive.ignore import PROJECT_DEFAULTS, PUSH_DEFAULTS, VCS_PATTERNS, excluded_paths
    from ..._archive.pack import PackResult, pack_file, pack_tree

    # `oras push` packs all entries; version control files are excluded here
    defaults = {FLUX: PUSH_DEFAULTS, ANSIBLE: PROJECT_DEFAULTS}.get(options.type, VCS_PATTERNS)
    archive = os.path.join(workspace, f"layer{number}.tar.gz")
    left_out = LeftOut()

    def excluded(paths: dict[str, bool]) -> set[str]:
        found = excluded_paths(paths, options.ignore or "", {}, defaults, left_out)
        # records of pulls belong to this host and are excluded, wherever they are in the directory
        reserved = {path for path in paths if is_reserved(path) and path not in found}
        for path in reserved:
            if path.rpartition("/")[0] not in reserved:
                left_out.add(path)
        return found | reserved

    def pack(output: BinaryIO) -> PackResult:
        if os.path.isdir(path):
            return pack_tree(path, output, excluded=excluded, prefix=prefix)
        return pack_file(path, output, os.path.basename(path))

    packed = delivery.archive(archive, pack)
    descriptor = Descriptor(media_type, packed.digest, packed.size)
    directory = path if os.path.isdir(path) and not prefix else ""
    return Layer(blob_of_file(archive, descriptor), packed.diff_id, packed.tree, directory, left_out)


def _annotated(layer: Layer, annotations: Mapping[str, str]) -> Layer:
    descriptor = replace(layer.source.descriptor, annotations=annotations)
    return replace(layer, source=BlobSource(descriptor, layer.source.open))


def _assemble(options: BuildOptions, config: BlobSource, layers: list[Layer], annotations: Mapping[str, str]) -> Built:
    merged = dict(annotations)
    for key, value in ((media.ANNOTATION_SOURCE, options.source), (media.ANNOTATION_REVISION, options.revision)):
        if value:
            merged[key] = value
    merged.update(options.annotations)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": config.descriptor.as_json(),
        "layers": [layer.source.descriptor.as_json() for layer in layers],
    }
    if merged:
        document["annotations"] = merged
    artifact_type = options.artifact_type
    if options.type == FILES and not artifact_type and not options.config_media_type:
        artifact_type = UNKNOWN_ARTIFACT
    if artifact_type:
        document["artifactType"] = artifact_type
    has_own_time = bool(
        options.created or os.environ.get("SOURCE_DATE_EPOCH") or media.ANNOTATION_CREATED in options.annotations
    )
    return Built(_build_manifest(document), config, layers, has_own_time=has_own_time)


def with_subject(built: Built, subject: Descriptor) -> Built:
    """The same artifact as a referrer of ``subject`` (image-spec, manifest.md, "subject")."""
    document = json.loads(built.manifest.raw)
    document["subject"] = Descriptor(subject.media_type, subject.digest, subject.size).as_json()
    return replace(built, manifest=_build_manifest(document))


def _build_manifest(document: Mapping[str, Any]) -> Manifest:
    """The manifest of a document.

    :raises InvalidOption: when it is larger than the limit of registries, or not valid UTF-8.
    """
    try:
        raw = canonical_json(document)
        if len(raw) > MAX_MANIFEST_SIZE:
            raise InvalidOption(f"The manifest would have {len(raw)} bytes, more than the {MAX_MANIFEST_SIZE} allowed.")
        return parse_manifest(raw, media.OCI_MANIFEST, "The manifest")
    except UnicodeEncodeError:
        raise InvalidOption("An annotation holds something that is not text.", "Give it in UTF-8.") from None
    except InvalidContent as exc:
        raise InvalidOption(exc.message) from None
