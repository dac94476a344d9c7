"""What closes the gap to the target in one turn: which of its rows may be read, and the terms that join the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch

from nlptl.adapt.importance import Importance, effective_rows, with_shares_kept
from nlptl.adapt.label_shift import LabelShift
from nlptl.adapt.tapt import Tapt
from nlptl.contracts import UNLABELLED, Floats, Ints
from nlptl.contracts.adapt import Answers, Term
from nlptl.encoder.masked_head import masked_head
from nlptl.fitting.answers import logits_of
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.setting import Setting, SolvedTurn, teaching
from nlptl.heads._temperature import fit_bias_corrected, fit_temperature
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Recipe
from nlptl.saved import Model
from nlptl.train.adaptation import Adaptation, batch_rows
from nlptl.train.guessing import Guessing
from nlptl.transfer.needs import one_target, target_texts
from nlptl.transfer.plan import Turn


def terms_of(recipe: Recipe) -> tuple[Term, ...]:
    """The terms of the training loss that ``adapt`` names."""
    return tuple(adapt for adapt in recipe.adapt if isinstance(adapt, Term))


def adaptation(
    setting: Setting,
    turn: Turn,
    network: Network,
    taught: Examples,
    examples: Callable[[Ints], Examples],
    *,
    seed: int,
) -> Adaptation | None:
    """The terms that the recipe names, upon ``network``; None where it names none.

    Args:
        taught: the rows that teach.
        examples: makes rows of the corpus into rows for the loop; the labels that it finds are taken away.
        seed: of the masks.
    """
    terms = terms_of(setting.recipe)
    guesses = [way for way in setting.recipe.adapt if isinstance(way, Tapt) and way.joins]
    if not terms and not guesses:
        return None
    target = without_labels(
        examples(target_texts(turn, setting.corpus.domains, kind=f"adapt: {[*terms, *guesses][0].kind}"))
    )
    settings, guessing = setting.recipe.train, None
    rows = settings.batch_rows or batch_rows(taught.lengths, target.lengths, settings.batch_tokens)
    if guesses:
        assert target.tokens is not None, "a body learns"
        head = masked_head(network.backbone)
        guessing = Guessing(
            network.backbone, head, target.tokens, rate=guesses[0].mask, seed=seed, weight=guesses[0].weight
        )
    return Adaptation(network, terms, taught, target, rows=rows, guessing=guessing)


def without_labels(examples: Examples) -> Examples:
    """The same rows, none with a label."""
    labels = {
        name: np.full_like(encoded, np.nan if encoded.ndim == 2 else UNLABELLED)
        for name, encoded in examples.labels.items()
    }
    return replace(examples, labels=labels)


def row_weights(setting: Setting, turn: Turn, groups: Ints, seed: int) -> dict[str, Floats]:
    """By task, how much each row that teaches it counts; empty where ``importance`` is not among the ways to adapt.

    Args:
        groups: (teaching rows,) near-duplicate groups.
    """
    ways = [way for way in setting.recipe.adapt if isinstance(way, Importance)]
    if not ways:
        return {}
    target = setting.vectors.of(target_texts(turn, setting.corpus.domains, kind=f"adapt: {ways[0].kind}"), "last")
    weights = ways[0].weights(setting.vectors.of(turn.teach, "last"), target, groups, seed=seed)
    found = {name: spread(weights, turn.teach, rows) for name, rows in teaching(setting.corpus, turn).items()}
    if not ways[0].keep_shares:
        return {name: of_task / of_task.mean() for name, of_task in found.items()}
    return {name: _kept(setting.corpus, name, of_task, turn) for name, of_task in found.items()}


def _kept(corpus: Corpus, name: str, weights: Floats, turn: Turn) -> Floats:
    """Weights of a task's teaching rows with the shares of its labels kept; of several labels a row, as they are."""
    if corpus.tasks[name].head.multilabel:
        return np.asarray(weights / weights.mean())
    return with_shares_kept(weights, corpus.encoded[name][teaching(corpus, turn)[name]])


def spread(weights: Floats, taught: Ints, rows: Ints) -> Floats:
    """(rows,) the weights of ``rows`` where they are among ``taught``, which ``weights`` are of; 1 elsewhere."""
    places = np.clip(np.searchsorted(taught, rows), 0, len(taught) - 1)
    return np.where(taught[places] == rows, weights[places], 1.0)


@dataclass(frozen=True, eq=False)
class Shift:
    """How one task's logits were moved to the target's label shares.

    Attributes:
        offsets: (outputs,) what was added to them.
        temperature: what the sums are to be divided by: the odds of the labels moved on that scale, and on no other
            are the probabilities those of the target.
    """

    offsets: Floats
    temperature: float


def corrected(
    setting: Setting, turn: Turn, held_back: Ints, solved: SolvedTurn, model: Model, judged: Model
) -> tuple[Model, dict[str, str], Mapping[str, Shift]]:
    """``model`` after what is corrected once training is over, and by task what was found on the way and, where its
    logits were moved, how.

    The target's label shares are read off the solved heads' answers, whose logits out of fold tell how far to trust
    them. A model that was trained further is calibrated on the rows that were held back, where there are any, by the
    answers of ``judged``: the model that they did not teach, which is another one once all rows have taught.
    """
    corpus = setting.corpus
    weighs = any(isinstance(way, Importance) for way in setting.recipe.adapt)
    effective = {name: _effective(solved, name) if weighs else "" for name in corpus.tasks}
    notes = {name: "; ".join(filter(None, [setting.said, said])) for name, said in effective.items()}
    ways = [way for way in setting.recipe.adapt if isinstance(way, LabelShift)]
    if not ways:
        return model, notes, {}
    one_target(turn, what="adapt: label_shift estimates the shares of")
    target = logits_of(setting, solved.model, target_texts(turn, corpus.domains, kind=f"adapt: {ways[0].kind}"))
    heads, shifts = {}, {}
    for name, head in model.network.task_heads.items():
        answers = _answers(corpus, solved, name, teaching(corpus, turn)[name], target)
        temperature = None
        rows = corpus.labelled(name, held_back)
        if model is not solved.model and len(rows):
            temperature = fit_temperature(
                corpus.tasks[name], logits_of(setting, judged, rows)[name], corpus.encoded[name][rows]
            )
        offsets, found = ways[0].offsets(answers, temperature)
        notes[name] = "; ".join(filter(None, [notes[name], found]))
        heads[name] = _moved(head, offsets)
        if offsets.any():
            own = temperature or fit_bias_corrected(corpus.tasks[name], answers.source, answers.labels)[0]
            shifts[name] = Shift(offsets, own)
    return Model(Network(model.network.backbone, heads), model.words, model.columns), notes, shifts


def _effective(solved: SolvedTurn, task: str) -> str:
    weights = solved.weights.get(task)
    return "" if weights is None else f"importance: {effective_rows(weights):.0f} effective rows of {len(weights)}"


def _answers(corpus: Corpus, solved: SolvedTurn, name: str, rows: Ints, target: dict[str, Floats]) -> Answers:
    """Of the rows that teach the task, those that some fold held."""
    folds, domains = solved.folds[name], corpus.domains[rows].astype(str)
    held = np.unique(np.concatenate([held for _, held in folds]))
    apart = len(set(domains[held])) > 1 and not any(np.isin(domains[h], domains[taught]).any() for taught, h in folds)
    out_of_fold, labels = solved.heads[name].out_of_fold[held], corpus.encoded[name][rows][held]
    return Answers(corpus.tasks[name], out_of_fold, labels, target[name], domains[held] if apart else None)


def _moved(head: TaskHead, offsets: Floats) -> TaskHead:
    """A copy of ``head`` with ``offsets`` added to its logits."""
    copied = deepcopy(head)
    with torch.no_grad():
        copied.last.bias.add_(torch.from_numpy(offsets).to(copied.last.bias))
    return copied
