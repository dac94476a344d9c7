"""Answers for texts of many domains at once, each through its own adapter and heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nlptl.contracts import Ints
from nlptl.encoder.store import GROUP
from nlptl.encoder.tokens import token_batches, tokenize
from nlptl.errors import ModelError
from nlptl.model import Network
from nlptl.tune._bank import Bank, OwnLinear
from nlptl.tune._shelf import Shelf, read_config


@torch.inference_mode()
def own_logits(
    network: Network,
    shelf: Shelf,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    domains: Sequence[str | None],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """By task: (texts, outputs) logits, words not included. Rows of many domains share batches."""
    network.eval()
    backbone = network.backbone
    device = next(backbone.parameters()).device
    found = {name: np.zeros((len(texts), head.task.outputs)) for name, head in network.task_heads.items()}
    done = 0
    for rows in _parts(shelf.groups(domains)):
        slots = torch.from_numpy(shelf.seat([domains[row] for row in rows])).to(device)
        tokens = tokenize(backbone, [texts[row] for row in rows], pairs and [pairs[row] for row in rows])
        for places in token_batches(tokens.row_lengths, backbone.settings.batch_tokens):
            batch = tokens.batch(places, device)
            with shelf.bank.route.taken(slots[torch.from_numpy(places).to(device)], batch.owners):
                readings = backbone(batch, network.readings)
                for name, head in network.task_heads.items():
                    found[name][rows[places]] = head(readings).double().cpu().numpy()
        done += len(rows)
        if progress is not None:
            progress(done, len(texts))
    return found


def _parts(groups: Iterator[Ints]) -> Iterator[Ints]:
    """Each group in parts of a bounded number of rows."""
    for group in groups:
        yield from (group[start : start + GROUP] for start in range(0, len(group), GROUP))


def shared_heads(network: Network) -> dict[str, Tensor]:
    """The heads' weights by name; of heads that each domain has its own of, those that all start from."""
    state = dict(network.heads.state_dict())
    for name, head in network.task_heads.items():
        if isinstance(head.net, OwnLinear):
            state |= {f"{name}.net.{part}": getattr(head.net, part).detach()[0] for part in ("weight", "bias")}
    return state


def open_shelf(network: Network, folder: Path, slots: int) -> Shelf:
    """Put a bank of ``slots`` into ``network``, whose heads are the shared ones, and serve the adapters in ``folder``.

    Raises:
        ModelError: the folder is not whole, or a head is none that domains can have their own of.
    """
    bank = Bank(network.backbone.body, read_config(folder), slots)
    own_heads(network, bank)
    return Shelf(folder, bank)


def own_heads(network: Network, bank: Bank) -> None:
    """Give each slot of ``bank`` heads of its own, starting from those of ``network``."""
    for name, head in network.task_heads.items():
        if not isinstance(head.net, nn.Linear):
            raise ModelError(
                f"head {name!r} is not linear, so domains cannot have their own of it; set its kind to linear."
            )
        head.net = bank.own_head(name, head.net)
