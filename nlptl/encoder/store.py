"""The feature store: a text is encoded once per encoder, and its readings are kept on disk for every later use.

Under ``<cache folder>/features/<key>/`` lie shards, each whole or absent: ``keys.npy`` (texts, 16 bytes of hash), one
``<reading>.npy`` of (texts, width) each, and ``manifest.json`` with checksums. A shard is written under another name
and renamed, so two runs may write at once and a kill leaves nothing half-written. Shards are checked when they are
first read and memory-mapped; a damaged one is named, removed, and its texts are encoded again.

What a text's vector is does not depend on the texts beside it (``tokens.PAD_MULTIPLE``), so neither does it matter
which run encoded it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import token_batches, tokenize

log = logging.getLogger("nlptl")

FORMAT = 1
GROUP = 2048
"""Distinct texts that are tokenised, sorted by length, encoded and written together."""
STALE_SECONDS = 24 * 3600
"""Age at which the remains of a killed writer are swept."""

Progress = Callable[[int, int], None]


def cache_folder() -> Path:
    """Where nlptl keeps what it can make again: ``NLPTL_CACHE``, else the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("NLPTL_CACHE") or user_cache_dir("nlptl"))


def encode(
    backbone: Backbone,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    readings: Sequence[str],
    store: FeatureStore | None,
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """By reading: (texts, width) float32. Equal texts are encoded once; with a ``store``, once for good.

    Args:
        progress: receives the distinct texts done and those there are to do, where any are.
    """
    if not readings:
        return {}
    texts, pairs = list(texts), None if pairs is None else list(pairs)  # a pandas column is indexed by its labels
    keys = _keys(texts, pairs)
    distinct, places, back = np.unique(keys, return_index=True, return_inverse=True)
    kept: dict[str, Floats] = {name: np.zeros((len(distinct), backbone.width), np.float32) for name in readings}
    lacking = np.ones(len(distinct), dtype=bool)
    if store is not None:
        lacking = store.read_into(distinct, kept)
    todo = np.flatnonzero(lacking)
    todo = todo[np.argsort(places[todo], kind="stable")]  # in order of appearance: the same groups each time
    for start in range(0, len(todo), GROUP):
        group = todo[start : start + GROUP]
        rows = places[group]
        found = _run(backbone, [texts[row] for row in rows], pairs and [pairs[row] for row in rows], readings)
        for name in readings:
            kept[name][group] = found[name]
        if store is not None:
            store.write(distinct[group], found)
        if progress is not None:
            progress(start + len(group), len(todo))
    return {name: vectors[back] for name, vectors in kept.items()}


def _keys(texts: Sequence[str], pairs: Sequence[str] | None) -> npt.NDArray[np.void]:
    def digest(text: str, pair: str | None) -> bytes:
        content = text if pair is None else f"{len(text)}:{text}{pair}"
        return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    both = zip(texts, pairs if pairs is not None else [None] * len(texts), strict=True)
    return np.frombuffer(b"".join(digest(text, pair) for text, pair in both), dtype="V16")


@torch.inference_mode()
def _run(
    backbone: Backbone, texts: Sequence[str], pairs: Sequence[str] | None, readings: Sequence[str]
) -> dict[str, Floats]:
    backbone.eval()
    device = next(backbone.parameters()).device
    tokens = tokenize(backbone, texts, pairs)
    found: dict[str, Floats] = {name: np.zeros((len(texts), backbone.width), np.float32) for name in readings}
    for rows in token_batches(tokens.row_lengths, backbone.batch_tokens):
        for name, vectors in backbone(tokens.batch(rows, device), readings).items():
            found[name][rows] = vectors.cpu().numpy()
    return found


@dataclass
class FeatureStore:
    """The shards of one encoder at one precision and length."""

    folder: Path
    about: dict[str, Any]
    _checked: dict[Path, _Shard] = field(default_factory=dict)

    @classmethod
    def of(cls, backbone: Backbone) -> FeatureStore:
        """The store of ``backbone`` as it is now: its weights and adapter, precision, max_length and the rest."""
        settings = backbone.settings
        # A card rounds otherwise than a processor.
        where = [] if next(backbone.parameters()).device.type == "cpu" else ["card"]
        described = [FORMAT, backbone.identity(), str(backbone.dtype), settings.max_length, settings.long, *where]
        key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]
        folder = cache_folder() / "features" / key
        precision = str(backbone.dtype).removeprefix("torch.")
        about = {"encoder": backbone.located.name, "precision": precision, "max_length": settings.max_length}
        store = cls(folder, about)
        store._make()
        return store

    def _make(self) -> None:
        """The folder and what it is about; again before each write, as someone may have cleared it meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "about.json").is_file():
            partial = self.folder / f".about-{uuid.uuid4().hex}"
            partial.write_text(json.dumps(self.about), encoding="utf-8")
            partial.replace(self.folder / "about.json")

    def read_into(self, keys: npt.NDArray[np.void], kept: dict[str, Floats]) -> npt.NDArray[np.bool_]:
        """Fill in the readings that are stored of the sorted ``keys``; which keys lack any of them."""
        with suppress(FileNotFoundError):
            os.utime(self.folder)
        lacking = np.zeros(len(keys), dtype=bool)
        missing = {name: np.ones(len(keys), dtype=bool) for name in kept}
        for shard in self._shards():
            at = np.searchsorted(keys, shard.keys)
            at[at == len(keys)] = 0
            hit = np.flatnonzero(keys[at] == shard.keys) if len(keys) else np.array([], dtype=np.int64)
            for name in kept.keys() & shard.readings.keys():
                kept[name][at[hit]] = shard.readings[name][hit]
                missing[name][at[hit]] = False
        for absent in missing.values():
            lacking |= absent
        return lacking

    def write(self, keys: npt.NDArray[np.void], readings: dict[str, Floats]) -> None:
        """Keep the readings of ``keys``, at once or not at all."""
        self._make()
        partial = self.folder / f".writing-{uuid.uuid4().hex}"
        partial.mkdir()
        np.save(partial / "keys.npy", keys.view(np.uint8).reshape(-1, 16))
        for name, vectors in readings.items():
            np.save(partial / f"{name}.npy", vectors)
        sums = {path.name: _checksum(path) for path in sorted(partial.glob("*.npy"))}
        (partial / "manifest.json").write_text(json.dumps(sums), encoding="utf-8")
        for path in partial.iterdir():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        partial.rename(self.folder / f"shard-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}")

    def _shards(self) -> Iterator[_Shard]:
        for remains in self.folder.glob(".writing-*"):
            with suppress(FileNotFoundError):  # its writer may be renaming it
                if time.time() - remains.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(remains, ignore_errors=True)
        for path in sorted(self.folder.glob("shard-*")):
            if path not in self._checked:
                try:
                    self._checked[path] = _Shard.open(path)
                except (OSError, ValueError, KeyError) as error:
                    log.warning("feature store: %s is damaged (%s): removed, its texts are encoded again", path, error)
                    shutil.rmtree(path, ignore_errors=True)
                    continue
            yield self._checked[path]


@dataclass(frozen=True)
class _Shard:
    keys: npt.NDArray[np.void]
    readings: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> _Shard:
        """Raises ValueError, OSError or KeyError where anything is not as it was written."""
        sums = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        if not isinstance(sums, dict) or sums.keys() != {file.name for file in path.glob("*.npy")} or not sums:
            raise ValueError("its manifest and its files differ")
        for name, checksum in sums.items():
            if _checksum(path / name) != checksum:
                raise ValueError(f"{name} does not match its checksum")
        keys = np.ascontiguousarray(np.load(path / "keys.npy")).view("V16").reshape(-1)
        names = [file.stem for file in path.glob("*.npy") if file.stem != "keys"]
        return cls(keys, {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in names})


def _checksum(path: Path) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(2**22):
            digest.update(block)
    return str(digest.hexdigest())


@dataclass(frozen=True)
class Usage:
    """What one encoder's store takes up. ``used`` is in Unix seconds."""

    encoder: str
    precision: str
    max_length: int
    texts: int
    bytes: int
    used: float


def usage() -> list[Usage]:
    """What is stored, by encoder, most recently used first."""
    found = []
    for home in (cache_folder() / "features").glob("*/"):
        about: dict[str, Any] = {"encoder": "unknown", "precision": "unknown", "max_length": 0}
        texts = 0
        with suppress(OSError, ValueError):  # a damaged file is told of when it is next read, not here
            about |= json.loads((home / "about.json").read_text(encoding="utf-8"))
            texts = sum(int(np.load(path, mmap_mode="r").shape[0]) for path in home.glob("shard-*/keys.npy"))
        size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
        used = home.stat().st_mtime
        found.append(Usage(about["encoder"], about["precision"], about["max_length"], texts, size, used))
    return sorted(found, key=lambda each: -each.used)


def clear() -> int:
    """Remove everything that is stored; returns the bytes freed."""
    freed = sum(each.bytes for each in usage())
    shutil.rmtree(cache_folder() / "features", ignore_errors=True)
    return freed
