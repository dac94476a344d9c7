"""Checkpoints that a kill cannot half-write and that a damaged disk cannot smuggle in.

``checkpoints/<turn>/step-00000050/`` holds ``state.safetensors`` (weights that learn, optimizer moments),
``state.json`` (counters, history) and ``manifest.json`` (checksums). It is written under another name and renamed, so
a folder that has its final name is whole; its checksums are verified before it is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

KEEP = 2
"""Checkpoints kept: the newest, and the one to go back to if the newest is damaged."""

log = logging.getLogger("nlptl")


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on: named tensors, and JSON-able counters and history."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write ``folder/step-<step>`` atomically and remove all but the newest ``KEEP``."""
    from safetensors.torch import save_file

    final, partial = folder / f"step-{step:08d}", folder / f".partial-{step:08d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}, partial / "state.safetensors")
    (partial / "state.json").write_text(json.dumps(checkpoint.state), encoding="utf-8")
    names = ("state.safetensors", "state.json")
    manifest = {name: hashlib.sha256((partial / name).read_bytes()).hexdigest() for name in names}
    (partial / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for name in (*names, "manifest.json"):
        _sync(partial / name)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(folder)
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint, or None; a damaged one is named in the log and passed over."""
    from safetensors.torch import load_file

    for path in sorted(folder.glob("step-*"), reverse=True):
        damage = _damage(path)
        if damage is None:
            state = json.loads((path / "state.json").read_text(encoding="utf-8"))
            return Checkpoint(load_file(path / "state.safetensors"), state)
        log.warning("checkpoint %s is damaged (%s): going on from the one before it", path, damage)
    return None


def _damage(path: Path) -> str | None:
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        for name, digest in manifest.items():
            if hashlib.sha256((path / name).read_bytes()).hexdigest() != digest:
                return f"{name} does not match its checksum"
    except (OSError, ValueError) as error:
        return f"manifest.json: {error}"
    return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
