# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a digest to the layers that are wanted, and from layers to a staged tree."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from .._oci import media, platforms
from .._oci.destination import is_reserved
from .._oci.errors import DigestMismatch, LayerError
from .._oci.manifest import Descriptor, Manifest
from .._oci.names import on_disk
from .._oci.transport import Repository, read_blob
from .._oci.tree import DIRECTORY, FILE, TreeEntry
from .layer_selector import FIRST, LayerSelector, Limits

if TYPE_CHECKING:
    from .._oci.blob_store import BlobStore
    from .._oci.cache import CachedRepository
    from .._oci.unpack import LayerWriter

MAX_LAYERS = 1000
# Few transfers at once fill a link with large layers; with small ones it is the way to the registry that takes time.
# As many as there may be while this many bytes (of layers of their average size) are on their way, within these bounds.
MIN_TRANSFERS, MAX_TRANSFERS = 4, 16
BYTES_ON_THE_WAY = 32 * 1024 * 1024
# bytes of layers for which digests of all files are always taken, since that costs next to nothing
MAX_ALWAYS_HASHED = 32 * 1024 * 1024
SPARE_OPEN_FILES = 256
SOURCE_IGNORE = ".sourceignore"
MAX_SOURCE_IGNORE = 1024 * 1024
MAX_INDEX_DEPTH = 3
# bytes of a layer that is read to its end although it cannot be unpacked
MAX_DRAINED = 256 * 1024 * 1024


def fetch_image_manifest(repository: Repository, digest: str, platform: str) -> Manifest:
    """The manifest with the layers; of an index, the one for ``platform`` (this host's when empty).

    :raises InvalidContent: when the index has none for it.
    """
    return choose_image(repository, repository.fetch_manifest(digest), platform)


def choose_image(repository: Repository, manifest: Manifest, platform: str) -> Manifest:
    """The manifest with the layers: this one, or of an index the one for ``platform`` (this host's when empty).

    :raises InvalidContent: when the index has none for it.
    """
    top = manifest.descriptor.digest
    for _level in range(MAX_INDEX_DEPTH):
        if not manifest.is_index:
            return manifest
        what = str(repository.reference.at(digest=manifest.descriptor.digest))
        child = platforms.select(manifest.manifests, platform or platforms.host(), what)
        manifest = repository.fetch_manifest(child.digest)
    if manifest.is_index:
        raise LayerError(f"{repository.reference.at(digest=top)} nests indexes more than {MAX_INDEX_DEPTH} deep.")
    return manifest


def select_layers(manifest: Manifest, selector: LayerSelector, what: str) -> list[Descriptor]:
    """The wanted layers, in the manifest's order. A media type is compared to the letter, as Flux does.

    :raises LayerError: when there is none.
    """
    layers = list(manifest.layers)
    if not layers:
        raise LayerError(f"{what} has no layers.", "Its content may be in the config, or it may be a referrer.")
    if selector.media_type:
        layers = [layer for layer in layers if layer.media_type == selector.media_type]
        if not layers:
            found = ", ".join(dict.fromkeys(layer.media_type for layer in manifest.layers[:10]))
            raise LayerError(
                f"{what} has no layer of media type {selector.media_type!r}: it has {found}.",
                "Correct 'media_type' in 'layer_selector', or leave it out for the first layer.",
            )
    if selector.layers == FIRST:
        return layers[:1]
    if len(layers) > MAX_LAYERS:
        raise LayerError(f"{what} has {len(layers)} layers, more than the {MAX_LAYERS} that are pulled at once.")
    return layers


def check_sizes(layers: Sequence[Descriptor], limits: Limits, what: str) -> None:
    """Refuse before the transfer what could not be kept after it.

    :raises LayerError: when the layers are larger than ``max_size``.
    """
    total = sum(layer.size for layer in layers)
    if total > limits.max_size:
        raise LayerError(
            f"{what} has {total} bytes of layers, more than the 'max_size' of {limits.max_size}.", "Raise 'max_size'."
        )


def file_name(layer: Descriptor, manifest: Manifest, fallback: str) -> str:
    """The name under which the bytes of a layer are kept.

    ``org.opencontainers.image.title`` when it is a plain relative path; for a Helm chart ``<title>-<version>.tgz``
    from the manifest's annotations, as ``helm pull`` names it; else ``fallback``.

    :raises LayerError: when the title would leave the directory.
    """
    title = layer.annotations.get(media.ANNOTATION_TITLE, "")
    if title:
        return _checked_title(title)
    if layer.media_type in (media.HELM_LAYER, media.HELM_PROVENANCE):
        chart = manifest.annotations.get(media.ANNOTATION_TITLE, "")
        version = manifest.annotations.get(media.ANNOTATION_VERSION, "")
        if chart and version:
            suffix = ".tgz" if layer.media_type == media.HELM_LAYER else ".tgz.prov"
            return _checked_title(f"{chart}-{version}{suffix}")
    return _checked_title(fallback)


@contextlib.contextmanager
def opened_layers(
    repository: Repository, cached: CachedRepository | None, layers: Sequence[Descriptor], stage: str
) -> Iterator[LayerReader]:
    """A reader of the layers: of the cache (where ``cached`` is the repository with one), of ``stage``, into which
    several are fetched in parallel, or of the repository itself.

    A single layer without a cache streams from the repository in one pass, without a copy on disk, unless there is
    another place to begin again at when its bytes turn out wrong. What is taken from the cache stays in it until the
    reader is done with.
    """
    distinct = {layer.digest: layer for layer in layers}
    with contextlib.ExitStack() as stack:
        held: dict[str, BinaryIO] = {}
        if cached is not None:
            held = _hold_all(cached, list(distinct.values()), stack)
        rest = [layer for digest, layer in distinct.items() if digest not in held]
        store = _fetch_to_stage(repository, rest, len(distinct), stage)
        yield LayerReader(repository, held, store, Counter(layer.digest for layer in layers))


class LayerReader:
    """Gives the checked bytes of a layer; an error in the middle makes everything that came before it void."""

    def __init__(
        self, repository: Repository, held: Mapping[str, BinaryIO], store: BlobStore | None, uses: Mapping[str, int]
    ) -> None:
        self._repository = repository
        self._held = dict(held)
        self._store = store
        self._uses = uses

    def __call__(self, layer: Descriptor) -> Iterator[bytes]:
        handle = self._held.get(layer.digest)
        if handle is not None:
            from .._oci.cache_store import checked

            return checked(handle, layer)
        return self._store.stream(layer) if self._store else read_blob(self._repository, layer)

    def take_in(self, layers: Iterable[Descriptor]) -> None:
        """Read layers, which are small, into memory."""
        self._held.update({layer.digest: io.BytesIO(b"".join(self(layer))) for layer in layers})

    def move(self, layer: Descriptor, path: str) -> bool:
        """Make the layer, where it is a checked file that nothing else needs, the file ``path``; whether it is.

        Its bytes cannot be read any more then.
        """
        if self._store is None or layer.digest in self._held or self._uses[layer.digest] != 1:
            return False
        # the stage is private, and so on one file system, as nothing else is
        os.rename(self._store.path(layer.digest), path)
        return True


def _hold_all(
    repository: CachedRepository, layers: Sequence[Descriptor], stack: contextlib.ExitStack
) -> dict[str, BinaryIO]:
    _allow_open_files(len(layers))
    held: dict[str, BinaryIO] = {}

    def hold(layer: Descriptor) -> None:
        found = repository.hold_blob(layer)
        if found is not None:
            held[layer.digest] = stack.enter_context(found)

    _fetch_all(hold, layers)
    return held


def _fetch_to_stage(repository: Repository, layers: Sequence[Descriptor], count: int, stage: str) -> BlobStore | None:
    """The checked layers in files of the stage; None when they are to be read where they are."""
    if not layers or repository.reference.is_layout or (count == 1 and not repository.has_alternatives):
        return None
    from .._oci.blob_store import BlobStore

    store = BlobStore(os.path.join(stage, ".layers"))

    def fetch(layer: Descriptor) -> None:
        what = f"The blob {layer.digest} of {repository.reference.name}"
        while True:
            try:
                store.fetch(layer, lambda offset: repository.stream_blob(layer, offset), what)
                return
            except DigestMismatch:
                if not repository.distrust(layer):
                    raise

    _fetch_all(fetch, layers)
    return store


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files for so many, beside those that are open anyway, as far as the system allows it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _transfers(layers: Sequence[Descriptor]) -> int:
    """How many layers to fetch at the same time."""
    average = sum(layer.size for layer in layers) // len(layers)
    return max(MIN_TRANSFERS, min(BYTES_ON_THE_WAY // max(1, average), MAX_TRANSFERS))


def _fetch_all(fetch: Callable[[Descriptor], None], layers: Sequence[Descriptor]) -> None:
    if len(layers) < 2:
        for layer in layers:
            fetch(layer)
        return
    from concurrent.futures import FIRST_EXCEPTION, wait

    from .._oci.threads import thread_pool

    with thread_pool(min(_transfers(layers), len(layers))) as pool:
        started = [pool.submit(fetch, layer) for layer in layers]
        wait(started, return_when=FIRST_EXCEPTION)
        # the first failure is the answer: what has not begun need not begin
        pool.shutdown(wait=True, cancel_futures=True)
    for done in started:
        if not done.cancelled():
            done.result()


def stage_extracted(
    layers: Sequence[Descriptor],
    manifest: Manifest,
    read: LayerReader,
    root: str,
    limits: Limits,
    *,
    flatten: bool,
    ignore: str,
    digests: bool = True,
) -> tuple[dict[str, TreeEntry], list[str], int]:
    """Unpack layers in order into ``root``; returns the tree, warnings, and how many entries the ignore rules left out.

    ``flatten`` makes of the layers what `oras pull` and container runtimes make of them: whiteouts are honoured, and a
    layer that has a title and is not marked for unpacking is a file of that name. Without ``digests`` what is unpacked
    has none in the tree, see :func:`needs_digests`.

    :raises LayerError: when a layer is no archive, or one that may not be unpacked.
    """
    from .._oci.unpack import Limits as UnpackLimits
    from .._oci.unpack import Unpacker, remove_paths

    unpacker = Unpacker(root, UnpackLimits(limits.max_size, limits.max_files), digests=digests)
    titled: list[tuple[str, Descriptor]] = []
    try:
        for layer in layers:
            if flatten and _is_plain_file(layer):
                titled.append((file_name(layer, manifest, ""), layer))
                continue
            writer = unpacker.layer(f"The layer {layer.digest}", whiteouts=flatten)
            _unpack(read(layer), writer, layer)
        tree = dict(unpacker.tree())
        warnings = list(unpacker.warnings)
    finally:
        unpacker.abort()
    tree.update(_stage_files(titled, read, root, tree))
    reserved = {path for path in tree if is_reserved(path)}
    if reserved:
        warnings.append(f"The artifact holds {min(reserved)!r}, which is a reserved name: it was not unpacked.")
    excluded = _excluded(tree, root, ignore)
    if excluded or reserved:
        tree = dict(remove_paths(root, tree, excluded | reserved))
    return tree, warnings, len(excluded)


def needs_digests(layers: Sequence[Descriptor], root: str, is_strict: bool) -> bool:
    """Whether the digests of files are wanted, beside those of the layers that they come from.

    They tell which files an update leaves alone, and whether a file was altered whose time is another. For a large
    artifact they cost as much as checking its layers, and it can do without when the directory is empty: what has no
    digest in the record is fetched again, once, when its time changes or contents are to be compared.
    """
    if is_strict or sum(layer.size for layer in layers) <= MAX_ALWAYS_HASHED:
        return True
    try:
        return any(not is_reserved(os.fsdecode(name)) for name in os.listdir(os.fsencode(root)))
    except FileNotFoundError:
        return False


def _unpack(chunks: Iterator[bytes], writer: LayerWriter, layer: Descriptor) -> None:
    try:
        for chunk in chunks:
            writer.write(chunk)
    except LayerError:
        # an archive that was altered on the way is to be named as that: the rest shows whether it is what it claims
        if layer.size <= MAX_DRAINED:
            for _chunk in chunks:
                pass
        raise
    writer.close()


def stage_copied(named: Sequence[tuple[str, Descriptor]], read: LayerReader, root: str) -> dict[str, TreeEntry]:
    """Write the bytes of layers, unaltered, to files of the given names.

    :raises LayerError: when two layers have one name.
    """
    return _stage_files(named, read, root, {})


def _stage_files(
    named: Sequence[tuple[str, Descriptor]], read: LayerReader, root: str, tree: Mapping[str, TreeEntry]
) -> dict[str, TreeEntry]:
    placed: dict[str, TreeEntry] = {}
    for name, layer in named:
        parts = name.split("/")
        parents = ["/".join(parts[:count]) for count in range(1, len(parts))]
        found = {path: placed.get(path) or tree.get(path) for path in [*parents, name]}
        if any(entry is not None and (path == name or entry.kind != DIRECTORY) for path, entry in found.items()):
            raise LayerError(
                f"The layer {layer.digest} is the file {name!r}, where the artifact has another entry.",
                "Choose one with 'layer_selector'.",
            )
        for path in parents:
            if found[path] is None:
                os.mkdir(on_disk(root, path), 0o755)
                placed[path] = TreeEntry(DIRECTORY, 0o755)
        path = on_disk(root, name)
        # what is read was checked against the layer's digest: that is the file's
        known = layer.digest if layer.digest.startswith("sha256:") else ""
        if not (known and read.move(layer, path)):
            content = _write_file(path, read(layer), not known)
            known = known or content
        placed[name] = TreeEntry(FILE, 0o644, layer.size, known)
    return placed


def _write_file(path: str, chunks: Iterator[bytes], is_hashed: bool) -> str:
    """Write a new file; its digest when it is wanted."""
    content = hashlib.sha256()
    with open(path, "xb", buffering=0) as stream:
        for chunk in chunks:
            if is_hashed:
                content.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[stream.write(view) :]
    return f"sha256:{content.hexdigest()}" if is_hashed else ""


def _is_plain_file(layer: Descriptor) -> bool:
    annotations = layer.annotations
    return bool(annotations.get(media.ANNOTATION_TITLE)) and annotations.get(media.ANNOTATION_ORAS_UNPACK) != "true"


def _excluded(tree: dict[str, TreeEntry], root: str, ignore: str) -> set[str]:
    from .._oci.ignore import PULL_DEFAULTS, excluded_paths

    rules: dict[str, str] = {}
    for path, entry in tree.items():
        directory, _slash, name = path.rpartition("/")
        if name == SOURCE_IGNORE and entry.kind == FILE:
            if entry.size > MAX_SOURCE_IGNORE:
                raise LayerError(f"{path} in the artifact has {entry.size} bytes, too many for ignore rules.")
            with open(on_disk(root, path), encoding="utf-8", errors="surrogateescape") as stream:
                rules[directory] = stream.read()
    return excluded_paths({path: entry.kind == DIRECTORY for path, entry in tree.items()}, ignore, rules, PULL_DEFAULTS)


def _checked_title(title: str) -> str:
    parts = title.split("/")
    bad = title.startswith("/") or any(part in ("", ".", "..") or len(part) > 255 for part in parts)
    if bad or not title.isprintable() or len(title) > 1024 or is_reserved(title):
        raise LayerError(
            f"A layer's title {title[:200]!r} is not a plain relative path.",
            "Give a file name in 'dest' to keep its bytes.",
        )
    return title
