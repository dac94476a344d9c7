"""A LoRA difference that all tasks share, with one of each task's own beside it, and their folders.

``h = W₀x + s B₀A₀x + s B_t A_t x`` for a row that is run for task t: LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3)
twice over, with one scale s. In a folder, ``tasks.json`` names each task's folder beside ``shared``; each is a stock
PEFT adapter, and two of them active together in PEFT are what a task is answered by.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nlptl.errors import ModelError
from nlptl.tune._adapter import WEIGHTS
from nlptl.tune._bank import PREFIX, Bank, BankLinear, Route
from nlptl.tune._shelf import adapter_id, write_config

if TYPE_CHECKING:
    from peft import LoraConfig

INDEX = "tasks.json"
SHARED = "shared"


class SharedBankLinear(BankLinear):
    """A frozen linear map with one low-rank difference for all rows, and one a slot, beside it."""

    def __init__(self, base: nn.Linear, slots: int, config: LoraConfig, route: Route) -> None:
        super().__init__(base, slots, config, route)
        device = base.weight.device
        self.lora_shared_A = nn.Parameter(torch.zeros(config.r, base.in_features, device=device))
        self.lora_shared_B = nn.Parameter(torch.zeros(base.out_features, config.r, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """(sequences, tokens, inputs) → (sequences, tokens, outputs)."""
        dropped = nn.functional.dropout(x, self.dropout, self.training)
        a, b = self.lora_shared_A.to(x.dtype), self.lora_shared_B.to(x.dtype)
        return super().forward(x) + dropped @ a.T @ b.T * self.scale


class TaskBank(Bank):
    """A bank with a slot for each of ``tasks``, and a difference beside it that all slots share."""

    linear = SharedBankLinear

    def __init__(self, body: nn.Module, config: LoraConfig, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)
        super().__init__(body, config, len(self.tasks))

    def own_parameters(self) -> list[nn.Parameter]:
        """What single tasks do not share, all slots stacked."""
        return [part for layer in self.layers.values() for part in (layer.lora_A, layer.lora_B)]

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Draw every A from ``generator`` as PEFT does; every B is zero."""
        for slot in range(self.slots):
            self.draw(slot, generator)
        for a, _ in self._shared().values():
            fresh = torch.empty(a.shape)  # where the generator is
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            a.copy_(fresh)

    def shared_adapter(self) -> dict[str, Tensor]:
        """What all tasks share, named as PEFT names it in its files."""
        state = {}
        for path, (a, b) in self._shared().items():
            state[f"{PREFIX}{path}.lora_A.weight"], state[f"{PREFIX}{path}.lora_B.weight"] = a, b
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def put_shared(self, adapter: Mapping[str, Tensor]) -> None:
        """Fill in what ``shared_adapter`` gave.

        Raises:
            ModelError: a tensor is missing, unknown or of another shape.
        """
        places = {
            f"{PREFIX}{path}.lora_{letter}.weight": part
            for path, pair in self._shared().items()
            for letter, part in zip("AB", pair, strict=True)
        }
        wrong = adapter.keys() ^ places.keys()
        wrong |= {name for name in adapter.keys() & places.keys() if adapter[name].shape != places[name].shape}
        if wrong:
            raise ModelError(
                f"the shared adapter does not fit this encoder: {len(wrong)} weights are missing, unknown or of "
                f"another shape, such as {min(wrong)}; save the model again."
            )
        for name, place in places.items():
            place.copy_(adapter[name])

    def _shared(self) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
        layers = {path: layer for path, layer in self.layers.items() if isinstance(layer, SharedBankLinear)}
        return {path: (layer.lora_shared_A, layer.lora_shared_B) for path, layer in layers.items()}


class TaskShelf:
    """The adapters of a ``TaskBank``, to be answered by and to be written; all of them are in memory."""

    def __init__(self, bank: TaskBank, base_name: str) -> None:
        self.bank, self.base_name = bank, base_name

    def copy(self, folder: Path) -> None:
        """Write all adapters to ``folder``, each as PEFT does."""
        folders = {task: adapter_id(task) for task in self.bank.tasks}
        for name, state in [
            (SHARED, self.bank.shared_adapter()),
            *((folders[task], self.bank.adapter(slot)) for slot, task in enumerate(self.bank.tasks)),
        ]:
            (folder / name).mkdir(parents=True, exist_ok=True)
            save_file(state, folder / name / WEIGHTS, metadata={"format": "pt"})
            write_config(self.bank, folder / name, self.base_name)
        (folder / INDEX).write_text(json.dumps(folders, indent=1, ensure_ascii=False), encoding="utf-8")
        write_config(self.bank, folder, self.base_name)

    @classmethod
    def open(cls, body: nn.Module, config: LoraConfig, folder: Path, base_name: str) -> TaskShelf:
        """Put a bank into ``body`` with the adapters in ``folder``.

        Raises:
            ModelError: an adapter is absent, damaged or of another shape.
        """
        try:
            folders = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            shared = load_file(folder / SHARED / WEIGHTS)
            own = [load_file(folder / name / WEIGHTS) for name in folders.values()]
        except (OSError, ValueError, SafetensorError) as error:
            raise ModelError(f"the adapters in {folder} cannot be read ({error}); save the model again.") from error
        bank = TaskBank(body, config, list(folders))
        bank.put_shared(shared)
        for slot, adapter in enumerate(own):
            bank.put(slot, adapter, {})
        return cls(bank, base_name)
