"""Where a model is written to: the model that was there goes, whatever had written it, and everything else stays.

A part that only the earlier model had, such as its words or the list of its targets, would else answer beside the new
ones.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nlptl.errors import ModelError, writing
from nlptl.report.card import CARD, is_card
from nlptl.saved.parts import TARGETS
from nlptl.transfer import taught
from nlptl.tune import _shelf, _task_bank
from nlptl.tune._adapter import CONFIG, WEIGHTS

OURS = (
    "model.json", TARGETS, "agreement.json", "lexical.json", "adapter", "adapters", "body.safetensors",
    "inherited.safetensors", "anomaly.safetensors", "encoder", "model.onnx", "tokenizer", "words.safetensors",
    "domains.safetensors", "heads.safetensors", taught.FILE,
)  # fmt: skip
"""What lies in the folder of a model, saved or exported; the first two say that it is one."""

log = logging.getLogger("nlptl")


@contextmanager
def written_anew(folder: Path, kept: Collection[Path] = ()) -> Iterator[Path]:
    """A folder inside ``folder`` to write a model to. Once that is done without an error, what was written takes the
    place of the model in ``folder``, if there is one; no other file there is touched.

    Args:
        kept: what the model goes on reading, wherever it lies; it stays.

    Raises:
        DataError: ``folder`` cannot be written.
    """
    with writing(folder, "name another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        beside = TemporaryDirectory(prefix=".writing-", dir=folder)
    with beside as made:
        yield Path(made)
        _clear(folder, {path.resolve() for path in kept})
        if (Path(made) / CONFIG).is_file():
            _clear_adapters(folder)
        _move_inside(Path(made), folder)


def copy_model(source: Path, folder: Path) -> Path:
    """Copy the model folder ``source`` to ``folder``, if that is another, in the place of the model that is there.

    Raises:
        ModelError: one of the two models lies in the other.
        DataError: ``folder`` cannot be written.
    """
    if source.resolve() == folder.resolve():
        return folder
    refuse_nested(source, folder)
    with written_anew(folder, kept=_encoders(source)) as made:
        shutil.copytree(source, made, dirs_exist_ok=True)
    return folder


def refuse_nested(source: Path, folder: Path) -> None:
    """Refuse to write to ``folder`` what is made from the model folder ``source``, where one would harm the other.

    Raises:
        ModelError: ``folder`` lies in ``source``, or holds it beside the models of other targets.
    """
    here, there = source.resolve(), folder.resolve()
    if here in there.parents or (there in here.parents and (there / TARGETS).is_file()):
        raise ModelError(f"{folder} and the model in {source} lie in one another; name another folder.")


def _encoders(source: Path) -> list[Path]:
    """What the models in ``source`` name as their encoders, where those do not lie in their own folders."""
    found = []
    for folder in (source, *_listed(source)):
        encoder = _read(folder / "model.json").get("encoder")
        name = encoder.get("model") if isinstance(encoder, dict) else None
        if isinstance(name, str) and not (name.startswith("./") and (folder / name).is_dir()):
            found.append(Path(name))
    return found


def _clear(folder: Path, kept: Collection[Path]) -> None:
    """Take away the model in ``folder``, if there is one, and the models of targets that it lists."""
    if not (isinstance(_read(folder / TARGETS).get("targets"), dict) or "tasks" in _read(folder / "model.json")):
        return
    for inside in _listed(folder):
        _clear(inside, kept)
        if is_card(inside / CARD):
            (inside / CARD).unlink()
        with suppress(OSError):  # it is not there, or holds something else
            inside.rmdir()
    for name in OURS:
        if (folder / name).resolve() not in kept:
            _remove(folder / name)


def _clear_adapters(folder: Path) -> None:
    """Take away the adapters that were exported to ``folder``."""
    for listed in (_shelf.INDEX, _task_bank.INDEX):
        known = [str(name) for name in _read(folder / listed).values()]
        if known and all(re.fullmatch("[0-9a-f]{16}", name) for name in known):
            for inside in _named(folder, [*known, _task_bank.SHARED if listed == _task_bank.INDEX else None]):
                _remove(inside)
            _remove(folder / listed)
    _remove(folder / CONFIG)
    _remove(folder / WEIGHTS)


def _listed(folder: Path) -> list[Path]:
    """The folders of the models of targets that the list in ``folder`` names."""
    index = _read(folder / TARGETS)
    targets = index.get("targets")
    return _named(folder, [*(targets.values() if isinstance(targets, dict) else ()), index.get("shared")])


def _named(folder: Path, names: Collection[Any]) -> list[Path]:
    """The folders directly in ``folder`` of these names."""
    plain = [name for name in names if isinstance(name, str) and Path(name).name == name != ".."]
    return [folder / name for name in plain if (folder / name).is_dir()]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _move_inside(made: Path, folder: Path) -> None:
    """Move what is in ``made`` to ``folder``, file by file where a folder of that name is there; a ``README.md`` there
    that is no card of ours stays."""
    for path in list(made.iterdir()):
        target = folder / path.name
        if path.is_dir() and target.is_dir():
            _move_inside(path, target)
        elif path.name == CARD and target.is_file() and not is_card(target):
            log.warning("%s is no model card of nlptl and stays as it is: the card of this model is left out", target)
        else:
            path.replace(target)


def _read(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file; an empty one where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
