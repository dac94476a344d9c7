"""The contrastive rung: bodies that a few labels teach, cross-fitted, and kept where held-out rows gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch

from nlptl.contracts import UNLABELLED, Ints, Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.store import encode
from nlptl.encoder.tokens import tokenize
from nlptl.fitting.climb import once_a_text, wins
from nlptl.fitting.heads import directions_of_names
from nlptl.fitting.setting import Setting, SolvedTurn, teaching
from nlptl.fitting.train import Taught, train_model
from nlptl.heads._crossfit import Body, Choice, choose_crossfit, solve_chosen
from nlptl.heads._reading import CHOICES, parts
from nlptl.heads._solved import Folds, LinearWeights
from nlptl.model import Network, TaskHead
from nlptl.progress import bar
from nlptl.saved import Model
from nlptl.saved.taken import load_backbone
from nlptl.train.contrast import Contrasting
from nlptl.train.gather import of_first
from nlptl.train.state import Length
from nlptl.transfer.plan import Turn
from nlptl.tune._contrast import has_pairs
from nlptl.tune.contrastive import Contrastive
from nlptl.tune.frozen import Frozen

Choices = Mapping[str, Choice]
Decided = TypeVar("Decided")


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a body may learn from.

    Attributes:
        tune: how.
        reading: what is compared and what heads read.
        fresh: the pretrained encoder, not frozen; it is copied for each body.
        precision: of frozen weights.
        texts, pairs: of the rows that teach.
        classes: by task, (rows,) classes, −1 where there is no label.
        folds: by task, (teaching, held-out) positions among all rows.
        frozen: by task, the vectors of all rows that the rung below reads, with its prior's directions.
        alike: (rows,) numbers, the same for copies of one text; None: no row is a copy.
        alone: whether this process works by itself, while others wait for it or where there are none.
    """

    tune: Contrastive
    reading: str
    fresh: Backbone
    precision: str
    texts: Sequence[str]
    pairs: Sequence[str] | None
    tasks: Mapping[str, Task]
    classes: Mapping[str, Ints]
    folds: Mapping[str, Folds]
    frozen: Mapping[str, Body]
    seed: int
    alike: Ints | None = None
    alone: bool = False

    def decide(self, decided: Decided) -> Decided:
        """What the first process decided, where all of them work."""
        return decided if self.alone else of_first(decided)


@dataclass(frozen=True, eq=False)
class Contrasted:
    """A body with its heads, where the rung was kept, and a row for each rung that was tried."""

    backbone: Backbone | None
    heads: Mapping[str, LinearWeights]
    tried: list[dict[str, Any]]


def train_any(
    setting: Setting, turn: Turn, held_back: Ints, solved: SolvedTurn, *, seed: int,
    length: Length | None = None,
) -> Taught:  # fmt: skip
    """The model as ``tune`` says, by contrasts or in the loop, there for ``length`` if it is given."""
    if isinstance(setting.recipe.tune, Contrastive):
        return Taught(contrast(setting, turn, solved, seed)[1])
    return train_model(setting, turn, held_back, solved, seed=seed, length=length)


def contrast(
    setting: Setting, turn: Turn, solved: SolvedTurn, seed: int
) -> tuple[Setting, Model, list[dict[str, Any]]]:
    """The setting and model of the rung that is kept, and a row for each that was tried."""
    found = learn(_lesson(setting, turn, solved, seed))
    if found.backbone is None:
        below = setting.recipe.model_copy(update={"tune": Frozen()})
        return replace(setting, recipe=below), solved.model, found.tried
    heads = {name: TaskHead.solved(setting.corpus.tasks[name], head) for name, head in found.heads.items()}
    network = Network(found.backbone, heads).to(setting.accelerator.device)
    return setting, Model(network, None, solved.model.columns), found.tried


def _lesson(setting: Setting, turn: Turn, solved: SolvedTurn, seed: int) -> Lesson:
    recipe, corpus = setting.recipe, setting.corpus
    assert isinstance(recipe.tune, Contrastive)
    classes, folds, frozen = {}, {}, {}
    for name, rows in teaching(corpus, turn).items():
        places = np.searchsorted(turn.teach, rows).astype(np.int64)
        classes[name] = np.asarray(corpus.encoded[name][turn.teach])
        folds[name] = [(places[teach], places[held]) for teach, held in solved.folds[name]]
        reading = solved.heads[name].reading
        prior = directions_of_names(setting.backbone, corpus.tasks[name], (reading,))
        frozen[name] = Body(setting.vectors.of(turn.teach, reading), None if prior is None else prior[reading])
    texts, pairs = corpus.texts_of(turn.teach)
    return Lesson(
        tune=recipe.tune,
        reading=CHOICES[recipe.encoder.pool][0],
        fresh=load_backbone(recipe.encoder, device=setting.accelerator.device),
        precision=setting.precision,
        texts=texts, pairs=pairs, tasks=corpus.tasks, classes=classes, folds=folds, frozen=frozen, seed=seed,
        alike=corpus.texts_among(turn.teach),
    )  # fmt: skip


def learn(lesson: Lesson) -> Contrasted:
    """Train a body without each fold to choose how far to go, then, where that wins, one with all rows.

    Held-out rows are looked at after every ``check_steps`` batches, and training ends where they are no better for it.
    Every process does all of it, and goes by what the first one found (``Lesson.alone``: there is no other). The rung
    wins where the mean loss that it saves on held-out texts, over the solved head on the frozen encoder at its best on
    the same folds, is above that mean's standard error; by ``keep: always`` that head is not asked.
    """
    folds = merged(lesson.folds, lesson.classes, lesson.tune.folds)
    if folds is None:
        nothing = {"rung": "contrastive", "won": False, "why": "the folds leave no label with two rows to compare"}
        return Contrasted(None, {}, [nothing])
    taught = [
        {name: _without(classes, folds[name], fold) for name, classes in lesson.classes.items()}
        for fold in range(max(map(len, folds.values())))
    ]
    bodies = [_body(lesson, classes) for classes in taught]
    best: tuple[int, Choices] | None = None
    steps = 0
    with bar("contrast") as progress:
        while steps < lesson.tune.steps:
            for body in bodies:
                body.advance(min(lesson.tune.check_steps, lesson.tune.steps - steps))
                progress(sum(each.steps for each in bodies), lesson.tune.steps * len(bodies))
            now = lesson.decide(_choices(lesson, folds, _read_each(lesson, bodies)))
            if best is not None and _losses(now).mean() >= _losses(best[1]).mean():
                break
            steps = bodies[0].steps
            best = (steps, now)
    assert best is not None
    tried: list[dict[str, Any]] = [
        {"rung": "contrastive", "validation loss": float(_losses(best[1]).mean()), "won": True, "steps": best[0]}
    ]
    if lesson.tune.keep == "won":
        frozen = _choices(lesson, folds, lambda name: [lesson.frozen[name]] * len(folds[name]))
        below, texts = _losses(lesson.decide(frozen)), _texts(lesson, folds)
        won = wins(once_a_text(_losses(best[1]), texts), once_a_text(below, texts))
        tried = [{"rung": "frozen", "validation loss": float(below.mean()), "won": True}, {**tried[0], "won": won}]
        if not won:
            return Contrasted(None, {}, tried)
    last = _body(lesson, lesson.classes)
    last.advance(best[0])
    if not lesson.alone:
        last.take_first()
    heads = {}
    for name, task in lesson.tasks.items():
        rows = np.flatnonzero(lesson.classes[name] != UNLABELLED).astype(np.int64)
        [read] = _read_each(lesson, [last])(name)
        heads[name] = solve_chosen(task, lesson.reading, read, lesson.classes[name], rows, best[1][name])
    return Contrasted(last.backbone, lesson.decide(heads), tried)


def merged(folds: Mapping[str, Folds], classes: Mapping[str, Ints], most: int) -> dict[str, Folds] | None:
    """By task, at most ``most`` folds, each of which holds out what several of the given ones do; the given ones where
    fewer would leave no pair to learn from, and None where they do so too."""
    for count in (most, max(map(len, folds.values()))):
        found = {name: _merge(of_task, count) for name, of_task in folds.items()}
        if all(has_pairs(classes[name][teach]) for name, of_task in found.items() for teach, _ in of_task):
            return found
    return None


def _merge(folds: Folds, most: int) -> Folds:
    joined = []
    for start in range(min(most, len(folds))):
        of = folds[start::most]
        teach = set(of[0][0].tolist()).intersection(*(rows.tolist() for rows, _ in of))
        joined.append((np.array(sorted(teach), dtype=np.int64), np.sort(np.concatenate([held for _, held in of]))))
    return joined


def _without(classes: Ints, folds: Folds, fold: int) -> Ints:
    """The classes of the rows that teach in fold number ``fold``; −1 for all others."""
    if fold >= len(folds):
        return classes
    kept = np.full_like(classes, UNLABELLED)
    kept[folds[fold][0]] = classes[folds[fold][0]]
    return kept


def _body(lesson: Lesson, classes: Mapping[str, Ints]) -> Contrasting:
    torch.manual_seed(lesson.seed)  # adapters are drawn from torch's own generator
    tokenizer = lesson.fresh.tokenizer
    copied = deepcopy(lesson.fresh, {id(tokenizer): tokenizer})
    backbone = lesson.tune.apply(copied).freeze(lesson.precision)
    tokens = tokenize(backbone, lesson.texts, lesson.pairs)
    readings = dict.fromkeys(classes, lesson.reading)
    return Contrasting(backbone, lesson.tune, tokens, classes, readings, lesson.seed)


def _read_each(lesson: Lesson, bodies: Sequence[Contrasting]) -> Callable[[str], list[Body]]:
    """Task → what each body makes of the rows, and of what the task's labels are called."""
    names = parts([lesson.reading])
    vectors = []
    for body in bodies:
        found = encode(body.backbone, lesson.texts, lesson.pairs, readings=names, store=None)
        vectors.append(np.concatenate([found[name] for name in names], axis=1))

    def of(name: str) -> list[Body]:
        made = []
        for body, of_body in zip(bodies, vectors, strict=True):
            prior = directions_of_names(body.backbone, lesson.tasks[name], (lesson.reading,))
            made.append(Body(of_body, None if prior is None else prior[lesson.reading]))
        return made

    return of


def _choices(lesson: Lesson, folds: Mapping[str, Folds], bodies: Callable[[str], Sequence[Body]]) -> Choices:
    return {
        name: choose_crossfit(task, bodies(name)[: len(folds[name])], lesson.classes[name], folds[name])
        for name, task in lesson.tasks.items()
    }


def _losses(choices: Choices) -> Any:
    return np.concatenate([choice.losses for choice in choices.values()])


def _texts(lesson: Lesson, folds: Mapping[str, Folds]) -> Ints:
    """For each of ``_losses`` the number of its text, the same for copies."""
    rows = np.concatenate([held for name in lesson.tasks for _, held in folds[name]])
    return rows if lesson.alike is None else lesson.alike[rows]
