"""What an encoder has from earlier runs: those of its weights that are not the ones of the encoder that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nlptl.errors import ModelError

FILE = "inherited.safetensors"


@dataclass(frozen=True)
class Inherited:
    """Weights in the place of the named encoder's own.

    Attributes:
        weights: by name, whole tensors (not differences), in float32 on the CPU.
        parents: the runs they come from, as ``lock.json`` and ``model.json`` tell of them.
    """

    weights: Mapping[str, Tensor]
    parents: tuple[Mapping[str, Any], ...]

    def put_into(self, body: nn.Module) -> None:
        """Copy the weights to where they belong in ``body``.

        Raises:
            ModelError: it has no weight of that name and shape.
        """
        own = dict(body.named_parameters())
        with torch.no_grad():
            for name, tensor in self.weights.items():
                if name not in own or own[name].shape != tensor.shape:
                    raise ModelError(f"inherited weight {name!r} fits no weight of this encoder; it is another one.")
                own[name].copy_(tensor)

    def save(self, folder: Path) -> None:
        """Write the weights to a model folder."""
        save_file(dict(self.weights), folder / FILE)

    @classmethod
    def load(cls, folder: Path, parents: Sequence[Mapping[str, Any]]) -> Inherited:
        """What ``save`` wrote to ``folder``.

        Raises:
            ModelError: it is absent or damaged.
        """
        try:
            return cls(load_file(folder / FILE), tuple(parents))
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{folder / FILE} is absent or damaged ({error}); save the model again.") from error
