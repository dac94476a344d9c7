"""An adapter and heads for each target of its own, trained side by side from the solved heads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from nlptl.contracts import Ints
from nlptl.errors import RunError
from nlptl.fitting.folder import file_name
from nlptl.fitting.setting import Setting, SolvedTurn
from nlptl.heads._solved import LinearWeights
from nlptl.model import Examples, Network, TaskHead
from nlptl.model.objective import Objective
from nlptl.progress import bar
from nlptl.recipe import Recipe, Train
from nlptl.saved import Model
from nlptl.saved.bank import own_heads
from nlptl.saved.taken import load_backbone
from nlptl.train.gather import while_others_wait
from nlptl.train.lanes import train_lanes
from nlptl.transfer.plan import Turn
from nlptl.tune._shelf import Shelf, adapter_id, index, put_away, write_whole
from nlptl.tune.lora import Lora


def apart(recipe: Recipe) -> bool:
    """Whether each target is to have an adapter of its own."""
    return isinstance(recipe.tune, Lora) and recipe.tune.per == "domain"


def trained_apart(
    setting: Setting, turn: Turn, solved: SolvedTurn, seed: int, examples: Callable[[Network, Ints], Examples],
    objective: Objective,
) -> Model:  # fmt: skip
    """The model of which each target has an adapter and heads of its own; all of them start from the solved heads.

    Args:
        examples: network, rows → what the loop reads.
        objective: what each adapter's training minimises.
    """
    tune = setting.recipe.tune
    assert isinstance(tune, Lora)
    backbone = load_backbone(setting.recipe.encoder, device=setting.accelerator.device).freeze(setting.precision)
    if not setting.recipe.train.dropout:
        backbone.switch_off_dropout()
    network = Network(
        backbone, {name: TaskHead.solved(setting.corpus.tasks[name], s) for name, s in solved.heads.items()}
    )
    network.objective = objective
    lanes = Lanes(
        tune=tune,
        train=setting.recipe.train,
        seed=seed,
        folder=setting.folder.checkpoints / f"{seed}-{file_name(turn.name)}",
        fingerprint=setting.fingerprint,
        resume=setting.resume,
        accelerator=setting.accelerator,
        log=lambda entry: setting.folder.log({"seed": seed, "turn": turn.name} | entry),
    )
    domains = setting.corpus.domains[turn.teach]
    taught = {name: turn.teach[domains == name] for name in turn.targets}
    taught = {name: rows for name, rows in taught.items() if len(rows)}
    shelf = train_bank(lanes, network, taught, partial(examples, network))
    return Model(network, solved.model.words, solved.model.columns, shelf)


@dataclass(frozen=True)
class Lanes:
    """What the adapters of many domains are trained with. ``fingerprint`` is of recipe, data and encoder."""

    tune: Lora
    train: Train
    seed: int
    folder: Path
    fingerprint: str
    resume: bool
    accelerator: Accelerator
    log: Callable[[dict[str, Any]], None]


def train_bank(
    lanes: Lanes,
    network: Network,
    rows_of: Mapping[str, Ints],
    examples: Callable[[Ints], Examples],
    starts: Mapping[str, Mapping[str, LinearWeights]] | None = None,
) -> Shelf:
    """Train an adapter for each domain, ``lanes.tune.together`` at a time, and serve them from a shelf.

    Each domain has the rows, batches, rates and first weights that it would have alone, so that neither their number
    nor their order matters, but for ``train.dropout``, whose draws depend on who shares a wave. What is finished stays
    on the shelf, what was logged of it beside it, and a resumed run goes on with the next wave.

    Args:
        network: the encoder, not adapted, with the heads that all domains start from; it is given the bank.
        rows_of: by domain, the rows that teach it.
        examples: rows → what the loop reads.
        starts: by domain and task, the head that it starts from, where that is not the network's.
    """
    bank = lanes.tune.stack(network.backbone)
    own_heads(network, bank)
    network.to(lanes.accelerator.device)
    base, folder = network.backbone.base_name, lanes.folder
    finished = _finished(lanes)
    for wave in _waves([domain for domain in rows_of if domain not in finished], lanes.tune.together):
        for slot, domain in enumerate(wave, start=1):
            bank.draw(slot, torch.Generator().manual_seed(_seed(lanes.seed, domain)))
            for task, start in ({} if starts is None else starts[domain]).items():
                bank.start_head(slot, task, torch.from_numpy(start.weights.T), torch.from_numpy(start.bias))
        rows = np.concatenate([rows_of[domain] for domain in wave])
        slots = np.repeat(np.arange(1, len(wave) + 1), [len(rows_of[domain]) for domain in wave])
        order = np.argsort(rows, kind="stable")
        logged: list[dict[str, Any]] = []
        with bar(f"train {len(wave)} adapters") as progress:
            train_lanes(
                network, bank, examples(rows[order]), slots[order], settings=lanes.train, seed=lanes.seed,
                accelerator=lanes.accelerator, log=_by_domain(logged.append, lanes.log, wave), progress=progress,
            )  # fmt: skip
        finished += wave
        with while_others_wait():
            if lanes.accelerator.is_main_process:
                for slot, domain in enumerate(wave, start=1):
                    put_away(bank, slot, domain, folder, base)
                index(bank, finished, folder, base)
                told = {"fingerprint": lanes.fingerprint, "domains": wave, "log": logged}
                _ended(folder).mkdir(exist_ok=True)
                write_whole(_ended(folder) / f"{len(finished):06d}.json", json.dumps(told))
    with while_others_wait():
        if not finished and lanes.accelerator.is_main_process:
            index(bank, [], folder, base)
    return Shelf(folder, bank)


def _ended(folder: Path) -> Path:
    """Beside the shelf in ``folder``: a file for each wave that has ended and been put away, in order."""
    return folder.with_name(f"{folder.name}.waves")


def _finished(lanes: Lanes) -> list[str]:
    """The domains whose adapters an interrupted run has put away; what it logged of them is logged again."""
    finished: list[str] = []
    for file in sorted(_ended(lanes.folder).glob("*.json")) if lanes.resume else ():
        wave = json.loads(file.read_text(encoding="utf-8"))
        if wave["fingerprint"] != lanes.fingerprint:
            raise RunError(
                f"the adapters in {lanes.folder} were made by another recipe, other data or another encoder; run "
                "without --resume, or into another folder with --out."
            )
        finished += wave["domains"]
        for entry in wave["log"]:
            lanes.log(entry)
    return finished


def _waves(domains: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(domains), size):
        yield list(domains[start : start + size])


def _seed(seed: int, domain: str) -> int:
    """Of a domain's first weights: they do not depend on who else is trained."""
    return int(
        np.random.SeedSequence((seed, int(adapter_id(domain), 16))).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )


def _by_domain(
    keep: Callable[[dict[str, Any]], None], log: Callable[[dict[str, Any]], None], wave: Sequence[str]
) -> Callable[[dict[str, Any]], None]:
    """What gives ``keep`` and ``log`` each entry, its losses by the domain's name instead of its slot."""

    def told(entry: dict[str, Any]) -> None:
        named = entry | {"losses": {wave[slot - 1]: loss for slot, loss in entry["losses"].items()}}
        keep(named)
        log(named)

    return told
