"""Answers of a model whose domains or tasks have adapters of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nlptl.contracts import Ints
from nlptl.encoder.store import GROUP
from nlptl.encoder.tokens import Tokens, token_batches, tokenize
from nlptl.errors import ModelError
from nlptl.model import Network
from nlptl.tune._bank import Bank, OwnLinear
from nlptl.tune._shelf import Shelf, read_config
from nlptl.tune._task_bank import INDEX as TASKS
from nlptl.tune._task_bank import TaskShelf

Logits: TypeAlias = npt.NDArray[np.float64]


@torch.inference_mode()
def own_logits(
    network: Network,
    shelf: Shelf | TaskShelf,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    domains: Sequence[str | None],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Logits]:
    """By task: (texts, outputs) logits, words not included. Rows of many domains share batches; where tasks have
    adapters of their own, each text is run once for each of them, and ``domains`` make no difference."""
    texts, pairs = list(texts), None if pairs is None else list(pairs)  # a pandas column is indexed by its labels
    network.eval()
    found = {name: np.zeros((len(texts), head.task.outputs)) for name, head in network.task_heads.items()}
    done = 0
    groups = iter([np.arange(len(texts))]) if isinstance(shelf, TaskShelf) else shelf.groups(domains)
    for rows in _parts(groups):
        tokens = tokenize(network.backbone, [texts[row] for row in rows], pairs and [pairs[row] for row in rows])
        if isinstance(shelf, TaskShelf):
            for slot, task in enumerate(shelf.bank.tasks):
                _answer(network, shelf.bank, tokens, np.full(len(rows), slot), [task], rows, found)
        else:
            slots = shelf.seat([domains[row] for row in rows])
            _answer(network, shelf.bank, tokens, slots, list(network.task_heads), rows, found)
        done += len(rows)
        if progress is not None:
            progress(done, len(texts))
    return found


def _answer(
    network: Network,
    bank: Bank,
    tokens: Tokens,
    slots: Ints,
    tasks: Sequence[str],
    rows: Ints,
    found: dict[str, Logits],
) -> None:
    """Put the logits of ``tasks`` into ``found`` at ``rows``, which are those of ``tokens``, each through its slot."""
    backbone = network.backbone
    device = next(backbone.parameters()).device
    for places in token_batches(tokens.row_lengths, backbone.batch_tokens):
        batch = tokens.batch(places, device)
        with bank.route.taken(torch.from_numpy(slots[places]).to(device), batch.owners):
            readings = backbone(batch, network.readings)
            for task in tasks:
                found[task][rows[places]] = network.task_heads[task](readings).cpu().double().numpy()


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


def open_shelf(network: Network, folder: Path, slots: int) -> Shelf | TaskShelf:
    """Put a bank of ``slots`` into ``network``, whose heads are the shared ones, and serve the adapters in ``folder``.

    Raises:
        ModelError: the folder is not whole, or a head is none that domains can have their own of.
    """
    body, config = network.backbone.body, read_config(folder)
    if (folder / TASKS).is_file():
        return TaskShelf.open(body, config, folder, network.backbone.base_name)
    bank = Bank(body, config, slots)
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
