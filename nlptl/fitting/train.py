"""The training of one turn: which rows teach and which choose, from which network, over which rows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from nlptl.contracts import Floats, Head, Ints
from nlptl.encoder.tokens import tokenize
from nlptl.fitting.adapt import adaptation, spread
from nlptl.fitting.bank import apart, trained_apart
from nlptl.fitting.before import learning_body
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.folder import file_name
from nlptl.fitting.reuse import with_reuse
from nlptl.fitting.select import judge, validation_rows
from nlptl.fitting.setting import Setting, SolvedTurn, teaching
from nlptl.fitting.tasks import per_task, shelf_of, task_network
from nlptl.model import Examples, Network, TaskHead
from nlptl.model.objective import Objective, balanced_weights
from nlptl.progress import bar
from nlptl.recipe import Recipe
from nlptl.recipe.rules_heads import learns_further
from nlptl.saved import Model
from nlptl.saved.texts import texts_readings
from nlptl.train.loop import train
from nlptl.train.state import Length
from nlptl.transfer.held_back import classes_of, hold_back
from nlptl.transfer.plan import Turn
from nlptl.tune._mixout import mixing_out
from nlptl.tune.lora import Lora

log = logging.getLogger("nlptl")


@dataclass(frozen=True)
class Taught:
    """What a training came to: the model, how long it learned where the loop says so, and what the loop logged."""

    model: Model
    length: Length | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def learns(recipe: Recipe, head: Head) -> bool:
    """Whether what ``head`` answers is still to learn once the linear heads are solved."""
    return learns_further(head, recipe.tune, recipe.encoder, recipe.adapt)


def trains(recipe: Recipe) -> bool:
    """Whether anything is."""
    return any(learns(recipe, head) for head in recipe.heads.values())


def train_model(
    setting: Setting,
    turn: Turn,
    held_back: Ints,
    solved: SolvedTurn,
    *,
    seed: int,
    length: Length | None = None,
) -> Taught:
    """The model after the loop: from the solved heads where the body learns, else over its vectors.

    Args:
        held_back: rows that choose how long; none where ``length`` says it.
    """
    if apart(setting.recipe):
        examples_of = partial(_examples, setting, turn, solved)
        return Taught(trained_apart(setting, turn, solved, seed, examples_of, objective(setting, turn)))
    network = _network(setting, solved, seed)
    network.objective = objective(setting, turn)
    examples = partial(_examples, setting, turn, solved, network)
    taught = examples(turn.teach)
    adapting = adaptation(setting, turn, network, taught, examples, seed=seed)
    mixing = mixing_out(network.backbone.body, network.backbone.rates, setting.recipe.train.mixout)
    with bar(f"train {turn.name}") as progress, mixing:
        history, reached = train(
            network,
            taught,
            validation=validation_rows(setting, turn, held_back, examples, seed),
            judge=judge(setting, turn, network, examples) if length is None else None,
            settings=setting.recipe.train,
            seed=seed,
            folder=setting.folder.checkpoints / f"{seed}-{file_name(turn.name)}",
            fingerprint=setting.fingerprint,
            resume=setting.resume,
            accelerator=setting.accelerator,
            log=lambda entry: setting.folder.log({"seed": seed, "turn": turn.name} | entry),
            progress=progress,
            balance=setting.recipe.balance,
            adaptation=adapting,
            augment=setting.recipe.augment,
            length=length,
        )
    setting.accelerator.free_memory()  # it would hold every network that was ever trained
    model = Model(network, solved.model.words, solved.model.columns, shelf_of(network))
    return Taught(model, reached, history)


def _network(setting: Setting, solved: SolvedTurn, seed: int) -> Network:
    """Encoder and heads; what is to learn requires gradients, and only that."""
    backbone, tune = setting.backbone, setting.recipe.tune
    torch.manual_seed(seed)
    if tune.learns:
        backbone = learning_body(setting, setting.precision)
        if not setting.recipe.train.dropout:
            backbone.switch_off_dropout()
    heads = {}
    mixes = setting.recipe.encoder.pool == "mix"
    for name, task in setting.corpus.tasks.items():
        if name in solved.closed:
            heads[name] = solved.model.network.task_heads[name]
            continue
        s = solved.heads[name]
        if task.head.kind == "linear":
            head = TaskHead.solved(task, s).requires_grad_(learns(setting.recipe, task.head))
        else:
            head = TaskHead.fresh(task, s.reading, backbone.width)
        heads[name] = head.mixing(backbone.depth) if mixes else head
    if isinstance(tune, Lora) and per_task(setting.recipe):
        return task_network(backbone, heads, tune, seed).to(setting.accelerator.device)
    scores = {name: each for name, each in solved.model.network.text_scores.items() if name in heads}
    return Network(backbone, heads, scores).to(setting.accelerator.device)


def objective(setting: Setting, turn: Turn) -> Objective:
    """What the loop minimises, as ``train`` says."""
    settings, corpus = setting.recipe.train, setting.corpus
    weights = {}
    for name, rows in teaching(corpus, turn).items() if settings.class_weights else ():
        task = corpus.tasks[name]
        targets = torch.as_tensor(task.targets(corpus.encoded[name][rows]), dtype=torch.float32)
        weights[name] = balanced_weights(targets, task.link).to(setting.accelerator.device)
    return Objective(settings.label_smoothing, settings.focal_gamma, settings.r_drop, weights)


def split_off(recipe: Recipe, corpus: Corpus, turn: Turn, groups: Ints, seed: int) -> tuple[Turn, Ints]:
    """The turn that ours are taught by, and the rows that choose the epoch, which teach none of ours: the official
    validation rows, or at most a share of those that teach, with their copies and without the last rows of any label.
    Baselines choose on folds and are taught by all of them.

    Args:
        groups: (teaching rows,) near-duplicate groups.
    """
    settings = recipe.train
    if len(turn.validate) or settings.validation == 0 or not trains(recipe):
        return turn, turn.validate
    order = np.arange(len(turn.teach))
    if settings.validation_rows == "random":
        order = np.random.default_rng((seed, 1)).permutation(order)
    known = np.unique(groups[~corpus.fresh(turn.teach)])
    order = order[~np.isin(groups[order], known)]
    encoded = {name: corpus.encoded[name] for name in corpus.tasks}
    many = max(1, round(settings.validation * len(turn.teach)))
    chooses = hold_back(groups, order[::-1], classes_of(encoded, turn.teach), many)
    if not chooses.any():
        log.warning(
            "turn %r: no row is held back (train.validation): each, with its copies, is all that teaches some label, "
            "or is known to the run that this one goes on from",
            turn.name,
        )
    return replace(turn, teach=turn.teach[~chooses]), turn.teach[chooses]


def _examples(setting: Setting, turn: Turn, solved: SolvedTurn, network: Network, rows: Ints) -> Examples:
    """Rows as the loop wants them; the words' logits of rows that taught the words are those out of fold."""
    corpus, words = setting.corpus, solved.model.words
    offsets = {} if words is None else words.logits(list(corpus.texts[rows]))
    for name, taught in teaching(corpus, turn).items():
        out_of_fold = None if name in solved.closed else solved.heads[name].words_out_of_fold
        if out_of_fold is not None:
            here = np.isin(rows, taught)
            offsets[name][here] = out_of_fold[np.searchsorted(taught, rows[here])]
    tokens = None
    if setting.recipe.tune.learns:
        tokens = tokenize(network.backbone, *corpus.texts_of(rows))
        tokens = with_reuse(setting, turn.name, network, tokens)
    return Examples(
        ids=list(corpus.ids[rows]),
        tasks=corpus.tasks,
        labels={name: encoded[rows] for name, encoded in corpus.encoded.items()},
        lengths=np.ones(len(rows), dtype=np.int64) if tokens is None else tokens.row_lengths,
        tokens=tokens,
        readings=None if tokens is not None else _readings(setting, network, rows),
        offsets=offsets,
        weights={name: spread(weights, teaching(corpus, turn)[name], rows) for name, weights in solved.weights.items()},
    )


def _readings(setting: Setting, network: Network, rows: Ints) -> dict[str, Floats]:
    """By name, (rows, width) vectors of ``rows`` that the heads of a frozen body read, and the scores of those heads
    that read texts themselves."""
    vectors = setting.vectors.parts(rows, network.readings)
    return vectors | texts_readings(network, list(setting.corpus.texts[rows]))
