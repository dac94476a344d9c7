"""LoRA among the gate's candidates: trained once for each domain that rehearses, all of them side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.fitting.bank import Lanes, apart, train_bank
from nlptl.fitting.evidence import Lane
from nlptl.fitting.folder import file_name
from nlptl.fitting.setting import Setting
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Recipe
from nlptl.saved.bank import own_logits
from nlptl.transfer.plan import Turn
from nlptl.tune._shelf import Shelf
from nlptl.tune.lora import Lora

TRAINED = ("lora", "domain_lora")
"""Rungs above those that are solved: LoRA from the solved head, taught by everybody; and each domain's own adapter from
that head, taught by the labels that the domain shows."""


def trained_rung(recipe: Recipe) -> str | None:
    """The trained rung that the recipe adds to the solved ones, if any."""
    if not isinstance(recipe.tune, Lora):
        return None
    return TRAINED[1] if apart(recipe) else TRAINED[0]


def train_rehearsals(
    setting: Setting, turn: Turn, task: str, seed: int, lanes: Mapping[str, Lane]
) -> dict[str, Floats]:
    """By domain that rehearses: (scored rows, labels) probabilities of the trained rung, each adapter trained by its
    own lane's rows from its own solved head, as the turn's was by the turn's."""
    tune, accelerator = setting.recipe.tune, setting.accelerator
    assert isinstance(tune, Lora)
    own = apart(setting.recipe)
    rows_of = {name: lane.shown if own else np.union1d(lane.teach, lane.shown) for name, lane in lanes.items()}
    rows_of = {name: rows for name, rows in rows_of.items() if len(rows)}
    if not rows_of:
        return {}
    backbone = Backbone.load(setting.recipe.encoder, device=accelerator.device).freeze(setting.precision)
    if not setting.recipe.train.dropout:
        backbone.switch_off_dropout()
    starts = {name: {task: lanes[name].start} for name in rows_of}
    network = Network(backbone, {task: TaskHead.solved(setting.corpus.tasks[task], lanes[next(iter(rows_of))].start)})
    told = {"seed": seed, "turn": f"{turn.name} rehearsed"}
    shelf = train_bank(
        Lanes(
            tune=tune, train=setting.recipe.train, seed=seed,
            folder=setting.folder.checkpoints / f"{seed}-{file_name(turn.name)}-rehearsed",
            fingerprint=setting.fingerprint, resume=setting.resume, accelerator=accelerator,
            log=lambda entry: setting.folder.log(told | entry),
        ),
        network, rows_of, lambda rows: _examples(setting, network, task, rows), starts,
    )  # fmt: skip
    return {name: _answers(setting, network, shelf, task, name, lanes[name].scored) for name in rows_of}


def _answers(
    setting: Setting, network: Network, shelf: Shelf, task: str, name: str, rows: Ints
) -> npt.NDArray[np.float64]:
    texts, pairs = _texts(setting, rows)
    logits = own_logits(network, shelf, texts, pairs, [name] * len(rows))[task]
    return np.asarray(setting.corpus.tasks[task].probabilities(logits), dtype=np.float64)


def _examples(setting: Setting, network: Network, task: str, rows: Ints) -> Examples:
    corpus = setting.corpus
    tokens = tokenize(network.backbone, *_texts(setting, rows))
    return Examples(
        ids=list(corpus.ids[rows]), tasks={task: corpus.tasks[task]}, labels={task: corpus.encoded[task][rows]},
        lengths=tokens.row_lengths, tokens=tokens,
    )  # fmt: skip


def _texts(setting: Setting, rows: Ints) -> tuple[list[str], list[str] | None]:
    corpus = setting.corpus
    return list(corpus.texts[rows]), None if corpus.pairs is None else list(corpus.pairs[rows])
