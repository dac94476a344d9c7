"""One turn of the plan: solve the heads, train what learns, answer the scored rows, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from nlptl._fitting_clock import Clock
from nlptl._fitting_corpus import Corpus, Vectors
from nlptl._fitting_folder import RunFolder, file_name
from nlptl.contracts import Floats, Ints, Source
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.lexical import Lexical
from nlptl.encoder.tokens import tokenize
from nlptl.evaluate.baselines import fit_baselines
from nlptl.evaluate.predictions import Scored
from nlptl.heads._reading import CHOICES
from nlptl.heads._solved import Folds, Solved, solve_head
from nlptl.model import Examples, Network, TaskHead
from nlptl.progress import bar
from nlptl.recipe import Recipe
from nlptl.saved import Model, Words
from nlptl.train.loop import train
from nlptl.transfer.folds import folds as make_folds
from nlptl.transfer.plan import Turn

SOLVED = "solved"
"""The rung of solved heads on the frozen encoder; where more was trained, it answers too, to be compared with."""


@dataclass(frozen=True)
class Setting:
    """What all turns of a run share."""

    recipe: Recipe
    corpus: Corpus
    vectors: Vectors
    backbone: Backbone
    accelerator: Accelerator
    precision: str
    folder: RunFolder
    fingerprint: str
    resume: bool
    clock: Clock


@dataclass(frozen=True)
class Outcome:
    """What a turn leaves: the model, its answers beside the baselines', and what was chosen on the way."""

    model: Model
    scored: tuple[Scored, ...]
    chosen: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class SolvedTurn:
    """The rung below: heads solved on the frozen encoder. ``folds`` and ``heads`` are by task."""

    folds: Mapping[str, Folds]
    heads: Mapping[str, Solved]
    model: Model


def run_turn(setting: Setting, turn: Turn, groups: Ints, *, seed: int) -> Outcome:
    """Run ``turn``, from which leaks have been dropped.

    Args:
        groups: (teaching rows,) near-duplicate groups, which no fold divides.
    """
    own, held_back = _split_off(setting.recipe, turn, seed)
    with setting.clock("train"):
        solved = solve_turn(setting, own, groups[np.isin(turn.teach, own.teach)], seed=seed)
        model = _trained(setting, own, held_back, solved, seed) if _trains(setting.recipe) else solved.model
    with setting.clock("evaluate"):
        answers = _answer(setting, turn, model)
        below = {} if model is solved.model else _answer(setting, turn, solved.model)
        baselines = _baselines(setting, turn, groups, seed) if setting.folder.main else {}
    scored = tuple(
        _scored(
            setting.corpus,
            turn,
            name,
            {"model": answers[name]} | baselines[name] | ({SOLVED: below[name]} if below else {}),
            seed,
            _rung(setting.recipe, name),
        )
        for name in baselines
    )
    chosen = tuple(
        {
            "task": name,
            "reading": s.reading,
            "precision of vectors": s.precision[0],
            "precision of words": None if s.words is None else s.precision[1],
            "loss": s.loss,
            "folds": len(solved.folds[name]),
        }
        for name, s in solved.heads.items()
    )
    return Outcome(model, scored, chosen)


def _rung(recipe: Recipe, task: str) -> str:
    """What serves ``task``: the tuned body, a trained head over the frozen one, or the solved head."""
    if recipe.tune.learns:
        return recipe.tune.kind
    return SOLVED if recipe.heads[task].kind == "linear" else recipe.heads[task].kind


def solve_turn(setting: Setting, turn: Turn, groups: Ints, *, seed: int) -> SolvedTurn:
    """Solve every task's linear head on the frozen encoder, with the words beside it where the recipe asks for them."""
    corpus, encoder = setting.corpus, setting.recipe.encoder
    folds = {name: _folds(setting, turn, groups, name, seed) for name in corpus.tasks}
    lexical = None if encoder.lexical is None else Lexical.fit(list(corpus.texts[turn.teach]))
    solved = {
        name: solve_head(
            corpus.tasks[name],
            {reading: setting.vectors.of(rows, reading) for reading in CHOICES[encoder.pool]},
            corpus.encoded[name][rows],
            folds[name],
            None if lexical is None else lexical.transform(list(corpus.texts[rows])),
        )
        for name, rows in _teaching(corpus, turn).items()
    }
    words = None if lexical is None else Words(lexical, {n: s.words for n, s in solved.items() if s.words is not None})
    heads = {name: TaskHead.solved(corpus.tasks[name], s) for name, s in solved.items()}
    return SolvedTurn(folds, solved, Model(Network(setting.backbone, heads), words, _columns(setting.recipe)))


def _columns(recipe: Recipe) -> dict[str, str | None]:
    """The text columns of the first source, by which files are read that the model is to answer."""
    source = recipe.data if isinstance(recipe.data, Source) else next(iter(recipe.data.values()))
    return {"text": source.text, "text_pair": source.text_pair}


def _teaching(corpus: Corpus, turn: Turn) -> dict[str, Ints]:
    """By task, the rows that teach it."""
    return {name: corpus.labelled(name, turn.teach) for name in corpus.tasks}


def _folds(setting: Setting, turn: Turn, groups: Ints, task: str, seed: int) -> Folds:
    """Folds over the rows that teach ``task``, as places among them."""
    corpus = setting.corpus
    rows = corpus.labelled(task, turn.teach)
    kept = np.isin(turn.teach, rows)
    return make_folds(
        labels=corpus.encoded[task][rows],
        domains=corpus.domains[rows],
        groups=groups[kept],
        target_labels=turn.labels_of_target,
        seed=seed,
    )


def _trains(recipe: Recipe) -> bool:
    """Whether anything is left to learn once the linear heads are solved."""
    return recipe.tune.learns or any(head.kind != "linear" for head in recipe.heads.values())


def _trained(setting: Setting, turn: Turn, held_back: Ints, solved: SolvedTurn, seed: int) -> Model:
    """The model after the loop: from the solved heads where the body learns, else over its vectors."""
    network = _network(setting, solved, seed)
    examples = partial(_examples, setting, turn, network, solved)
    with bar(f"train {turn.name}") as progress:
        train(
            network,
            examples(turn.teach),
            validation=examples(held_back) if len(held_back) else None,
            settings=setting.recipe.train,
            seed=seed,
            folder=setting.folder.checkpoints / f"{seed}-{file_name(turn.name)}",
            fingerprint=setting.fingerprint,
            resume=setting.resume,
            accelerator=setting.accelerator,
            log=lambda entry: setting.folder.log({"seed": seed, "turn": turn.name} | entry),
            progress=progress,
        )
    return Model(network, solved.model.words, solved.model.columns)


def _network(setting: Setting, solved: SolvedTurn, seed: int) -> Network:
    """Encoder and heads; what is to learn requires gradients, and only that."""
    backbone, tune = setting.backbone, setting.recipe.tune
    torch.manual_seed(seed)
    if tune.learns:
        backbone = tune.apply(Backbone.load(setting.recipe.encoder, device=setting.accelerator.device))
        backbone.freeze(setting.precision)
    heads = {}
    for name, s in solved.heads.items():
        task = setting.corpus.tasks[name]
        if task.head.kind == "linear":
            heads[name] = TaskHead.solved(task, s).requires_grad_(tune.learns)
        else:
            heads[name] = TaskHead.fresh(task, s.reading, backbone.width)
    return Network(backbone, heads).to(setting.accelerator.device)


def _split_off(recipe: Recipe, turn: Turn, seed: int) -> tuple[Turn, Ints]:
    """The turn that ours are taught by, and the rows that choose the epoch, which teach none of ours: the official
    validation rows, or a share of those that teach. Baselines choose on folds and are taught by all of them."""
    settings = recipe.train
    if len(turn.validate) or settings.validation == 0 or not _trains(recipe):
        return turn, turn.validate
    held = max(1, round(settings.validation * len(turn.teach)))
    order = np.arange(len(turn.teach))
    if settings.validation_rows == "random":
        order = np.random.default_rng((seed, 1)).permutation(order)
    own = replace(turn, teach=np.sort(turn.teach[order[:-held]]))
    return own, np.sort(turn.teach[order[-held:]])


def _examples(setting: Setting, turn: Turn, network: Network, solved: SolvedTurn, rows: Ints) -> Examples:
    """Rows as the loop wants them; the words' logits of rows that taught the words are those out of fold."""
    corpus, words = setting.corpus, solved.model.words
    offsets = {} if words is None else words.logits(list(corpus.texts[rows]))
    for name, taught in _teaching(corpus, turn).items():
        out_of_fold = solved.heads[name].words_out_of_fold
        if out_of_fold is not None:
            here = np.isin(rows, taught)
            offsets[name][here] = out_of_fold[np.searchsorted(taught, rows[here])]
    tokens = None
    if setting.recipe.tune.learns:
        pairs = None if corpus.pairs is None else list(corpus.pairs[rows])
        tokens = tokenize(network.backbone, list(corpus.texts[rows]), pairs)
    return Examples(
        ids=list(corpus.ids[rows]),
        tasks=corpus.tasks,
        labels={name: encoded[rows] for name, encoded in corpus.encoded.items()},
        lengths=np.ones(len(rows), dtype=np.int64) if tokens is None else tokens.row_lengths,
        tokens=tokens,
        readings=None if tokens is not None else setting.vectors.parts(rows, network.readings),
        offsets=offsets,
    )


def _answer(setting: Setting, turn: Turn, model: Model) -> dict[str, Floats]:
    """By task: (scored rows, labels) probabilities; a body that did not learn is not run again."""
    corpus, rows, network = setting.corpus, turn.score, model.network
    readings = setting.vectors.parts(rows, network.readings) if network.backbone is setting.backbone else None
    with bar(f"answer {turn.name}") as progress:
        return model.probabilities(
            list(corpus.texts[rows]),
            None if corpus.pairs is None else list(corpus.pairs[rows]),
            readings=readings,
            progress=progress,
        )


def _baselines(setting: Setting, turn: Turn, groups: Ints, seed: int) -> dict[str, dict[str, Floats]]:
    """By task and baseline: (scored rows, labels) probabilities."""
    corpus = setting.corpus
    texts, features = list(corpus.texts[turn.score]), setting.vectors.of(turn.score, "last")
    answers = {}
    for name, rows in _teaching(corpus, turn).items():
        fitted = fit_baselines(
            corpus.tasks[name],
            texts=list(corpus.texts[rows]),
            features=setting.vectors.of(rows, "last"),
            labels=corpus.encoded[name][rows],
            folds=_folds(setting, turn, groups, name, seed),
            seed=seed,
        )
        answers[name] = {kind: baseline.predict(texts, features) for kind, baseline in fitted.items()}
    return answers


def _scored(corpus: Corpus, turn: Turn, task: str, probabilities: Mapping[str, Floats], seed: int, rung: str) -> Scored:
    has_label = corpus.tasks[task].labelled(corpus.encoded[task][turn.score])
    rows = turn.score[has_label]
    return Scored(
        seed=seed,
        turn=turn.name,
        task=task,
        ids=corpus.ids[rows],
        domains=corpus.domains[rows],
        labels=corpus.encoded[task][rows],
        probabilities={system: values[has_label] for system, values in probabilities.items()},
        shipped=np.full(len(rows), rung, dtype=object),
    )
