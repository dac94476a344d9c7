"""What is trained among the gate's candidates: rehearsed on domains held out, and trained for those that it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.encoder.tokens import tokenize
from nlptl.fitting.answers import answer
from nlptl.fitting.bank import Lanes, apart, train_bank
from nlptl.fitting.folder import file_name
from nlptl.fitting.refit import refitted
from nlptl.fitting.rehearsal import Lane, Trained
from nlptl.fitting.setting import Setting
from nlptl.fitting.train import objective, split_off
from nlptl.fitting.turn import learn_turn
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Recipe
from nlptl.saved import Model
from nlptl.saved.bank import own_logits
from nlptl.saved.taken import load_backbone
from nlptl.transfer.plan import Turn
from nlptl.tune._shelf import Shelf
from nlptl.tune.frozen import Frozen
from nlptl.tune.lora import Lora

DOMAIN_LORA = "domain_lora"
"""Each domain's own adapter, taught by the labels that the domain shows. A body that all rows teach is named after the
kind of ``tune``."""


def trained_rung(recipe: Recipe) -> str | None:
    """The rung that the recipe adds above the solved ones, if any."""
    if not recipe.tune.learns:
        return None
    return DOMAIN_LORA if apart(recipe) else recipe.tune.kind


def without_training(setting: Setting) -> Setting:
    """The setting of the solved rungs, from which every target begins."""
    return replace(setting, recipe=setting.recipe.model_copy(update={"tune": Frozen()}))


def rehearsing(setting: Setting, turn: Turn, groups: Ints, task: str, seed: int) -> Trained | None:
    """How the trained rung is rehearsed for ``task`` of ``turn``, if there is one."""
    rung = trained_rung(setting.recipe)
    if rung is None:
        return None
    if rung == DOMAIN_LORA:
        return Trained(rung, partial(rehearse_apart, setting, turn, task, seed), lanes=None)
    trains = partial(rehearse, setting, turn, groups, task, seed)
    return Trained(rung, trains, lanes=setting.recipe.transfer.rehearsals)


def train_turn(setting: Setting, turn: Turn, groups: Ints, seed: int) -> tuple[Model, dict[str, Floats]]:
    """The trained rung in earnest, and by task its (scored rows, labels) probabilities."""
    own, held_back = split_off(setting.recipe, setting.corpus, turn, groups, seed)
    kept = groups[np.isin(turn.teach, own.teach)]
    learned = learn_turn(setting, own, kept, held_back=held_back, seed=seed)
    learned, _ = refitted(learn_turn, learned, turn, groups, held_back, seed=seed)
    return learned.model, answer(learned.setting, turn, learned.model)


def rehearse(
    setting: Setting, turn: Turn, groups: Ints, task: str, seed: int, lanes: Mapping[str, Lane]
) -> dict[str, Floats]:
    """By lane: (scored rows, labels) probabilities of the trained rung, from the solved head to the end as in earnest.

    Args:
        groups: (teaching rows of ``turn``,) near-duplicate groups.
    """
    answers = {}
    for place, (name, lane) in enumerate(lanes.items(), start=1):
        teach, order = np.union1d(lane.teach, lane.shown), np.argsort(lane.scored)
        targets = tuple(np.unique(setting.corpus.domains[lane.scored].astype(str)))
        part = Turn(
            name=f"{turn.name} rehearsed {place}", sources=turn.sources, targets=targets, teach=teach,
            validate=_validating(setting, turn, targets), score=lane.scored[order], unlabelled=teach[:0],
            labels_of_target=len(lane.shown), unscorable=0,
        )  # fmt: skip
        _, found = train_turn(setting, part, groups[np.searchsorted(turn.teach, teach)], seed)
        answers[name] = np.empty_like(found[task])
        answers[name][order] = found[task]
    return answers


def _validating(setting: Setting, turn: Turn, targets: Sequence[str]) -> Ints:
    """The official validation rows of ``turn`` that choose the epoch where ``targets`` are played: their own only where
    all labels of a target are shown, as in earnest."""
    if setting.recipe.transfer.target_labels == "all":
        return turn.validate
    return turn.validate[~np.isin(setting.corpus.domains[turn.validate].astype(str), targets)]


def rehearse_apart(setting: Setting, turn: Turn, task: str, seed: int, lanes: Mapping[str, Lane]) -> dict[str, Floats]:
    """By domain that rehearses: (scored rows, labels) probabilities of its own adapter, all of them trained side by
    side, each by the labels that its domain shows from the solved head of its own lane."""
    tune, accelerator = setting.recipe.tune, setting.accelerator
    assert isinstance(tune, Lora)
    starts = {name: {task: lane.start} for name, lane in lanes.items() if len(lane.shown) and lane.start is not None}
    if not starts:
        return {}
    rows_of = {name: lanes[name].shown for name in starts}
    backbone = load_backbone(setting.recipe.encoder, device=accelerator.device).freeze(setting.precision)
    if not setting.recipe.train.dropout:
        backbone.switch_off_dropout()
    network = Network(backbone, {task: TaskHead.solved(setting.corpus.tasks[task], next(iter(starts.values()))[task])})
    network.objective = objective(setting, turn)
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
    texts, pairs = setting.corpus.texts_of(rows)
    logits = own_logits(network, shelf, texts, pairs, [name] * len(rows))[task]
    return np.asarray(setting.corpus.tasks[task].probabilities(logits), dtype=np.float64)


def _examples(setting: Setting, network: Network, task: str, rows: Ints) -> Examples:
    corpus = setting.corpus
    tokens = tokenize(network.backbone, *corpus.texts_of(rows))
    return Examples(
        ids=list(corpus.ids[rows]), tasks={task: corpus.tasks[task]}, labels={task: corpus.encoded[task][rows]},
        lengths=tokens.row_lengths, tokens=tokens,
    )  # fmt: skip
