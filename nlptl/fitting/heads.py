"""Heads that are solved on stored vectors: what each may look at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.texts import TextHead, texts_reading
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.store import encode
from nlptl.heads._evidence import ClosedForm, Evidence, Folds, Names, as_logits
from nlptl.heads._names import cosine_answers, directions, label_vectors
from nlptl.heads._reading import CHOICES, parts
from nlptl.heads._solved import PriorMean
from nlptl.heads._student import zero_shot
from nlptl.recipe import Recipe

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting


log = logging.getLogger("nlptl")

CALIBRATING = 2000
"""At most so many unlabelled texts, evenly spaced, are read by heads that calibrate on them."""

FEWEST_TEXTS = 50
"""Fewer say too little of a prior's intercepts."""


def calibrating(unlabelled: Ints) -> Ints:
    """Those of a turn's unlabelled rows that heads read."""
    return unlabelled[:: max(1, -(-len(unlabelled) // CALIBRATING))]


def reads_all_unlabelled(recipe: Recipe) -> bool:
    """Whether something reads every unlabelled text; heads that calibrate on them read some."""
    transfer = recipe.transfer
    weighs = transfer.choose is not None or transfer.weigh != "equal" or bool(transfer.through)
    return weighs or bool(recipe.adapt) or recipe.train.select != "source"


def plain_cosines(setting: Setting, name: str, rows: Ints) -> dict[str, Floats]:
    """Baseline ``cosine`` of a task whose labels are called something: nothing for others."""
    task = setting.corpus.tasks[name]
    names = embed_names(setting.backbone, task, "last")
    if not names or task.head.multilabel:  # how near is near enough for a label among several, cosines do not say
        return {}
    return {"cosine": cosine_answers(setting.vectors.of(rows, "last"), label_vectors(names["last"]))}


def embed_names(backbone: Backbone, task: Task, pool: str) -> Names:
    """As ``names_by_reading``, for all that ``encoder.pool`` allows a head to read."""
    return names_by_reading(backbone, task, CHOICES[pool])


def names_by_reading(backbone: Backbone, task: Task, readings: Sequence[str]) -> Names:
    """The vectors of what the labels of ``task`` are called, by reading; nothing where its head does not ask."""
    phrasings = task.head.phrasings(task.labels)
    if not phrasings:
        return {}
    found = encode(
        backbone, [text for label in phrasings for text in label], None, readings=parts(readings), store=None
    )
    ends = np.cumsum([len(label) for label in phrasings])[:-1]
    return {
        reading: tuple(np.split(np.concatenate([found[part] for part in parts([reading])], axis=1), ends))
        for reading in readings
    }


def prior_mean(setting: Setting, task: Task, unlabelled: Ints) -> dict[str, PriorMean] | None:
    """By reading, the head's prior mean: the head of the run that this one goes on from, or what the labels are called,
    as the rows ``unlabelled`` of the target calibrate it; None where it has neither."""
    earlier = setting.earlier_heads.get(task.name)
    if earlier is not None:
        return {earlier.reading: PriorMean(earlier.weights)}
    return names_prior(setting, task, unlabelled)


def names_prior(setting: Setting, task: Task, unlabelled: Ints) -> dict[str, PriorMean] | None:
    """By reading, the prior mean of what the labels are called, as the rows ``unlabelled`` calibrate it; None where the
    head does not ask."""
    names = embed_names(setting.backbone, task, setting.recipe.encoder.pool)
    rows = calibrating(unlabelled)
    return {reading: zero_shot_prior(of, setting.vectors.of(rows, reading)) for reading, of in names.items()} or None


def zero_shot_prior(names: Sequence[Floats], texts: Floats) -> PriorMean:
    """The zero-shot head of what the labels are called, as it is for raw vectors of the texts' usual length.

    Args:
        names: for each label (phrasings, width) vectors.
        texts: (rows, width) vectors without labels; below ``FEWEST_TEXTS`` the names' directions are left as they are.
    """
    toward = directions(label_vectors(names))
    if len(texts) < FEWEST_TEXTS:
        return PriorMean(as_logits(toward.T))
    scores = zero_shot(toward, texts).scores
    length = float(np.sqrt((np.asarray(texts, dtype=np.float64) ** 2).sum(axis=1).mean()))
    return PriorMean(as_logits(scores.weights) / length, as_logits(scores.bias))


def directions_of_names(backbone: Backbone, task: Task, readings: Sequence[str]) -> dict[str, PriorMean] | None:
    """By reading, the directions of what the labels are called, with no text to calibrate them on; None where the head
    does not ask."""
    names = names_by_reading(backbone, task, readings)
    return {reading: PriorMean(as_logits(directions(label_vectors(of)).T)) for reading, of in names.items()} or None


def solve_closed_form(setting: Setting, name: str, rows: Ints, folds: Folds, unlabelled: Ints) -> ClosedForm:
    """The head of task ``name``, taught by ``rows``."""
    corpus, pool = setting.corpus, setting.recipe.encoder.pool
    task = corpus.tasks[name]
    if task.head.reads_unlabelled and not len(unlabelled):
        log.warning(
            "task %s: no unlabelled text to calibrate the labels' names on, so a label may win by its wording; lower "
            "transfer.hold_out, or set transfer.transductive: true",
            name,
        )

    def vectors(of: Ints) -> dict[str, Floats]:
        return {reading: setting.vectors.of(of, reading) for reading in CHOICES[pool]}

    if isinstance(task.head, TextHead):
        scores = task.head.scores(task.labels, device=str(setting.accelerator.device))
        read = {texts_reading(name): scores(list(corpus.texts[calibrating(unlabelled)]))}
        nothing = corpus.encoded[name][:0]
        return replace(task.head.solve(Evidence(task, {}, nothing, (), unlabelled=read)), scores=scores)

    return task.head.solve(
        Evidence(
            task=task,
            readings=vectors(rows),
            encoded=corpus.encoded[name][rows],
            folds=folds,
            unlabelled=vectors(calibrating(unlabelled)) if task.head.reads_unlabelled else {},
            names=embed_names(setting.backbone, task, pool),
        )
    )
