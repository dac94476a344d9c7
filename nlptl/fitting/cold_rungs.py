"""Every rung and baseline on one draw of a target's labels, over stored vectors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.store import encode
from nlptl.errors import DataError
from nlptl.evaluate._scores import correct
from nlptl.evaluate.baselines import fit_baselines
from nlptl.fitting.contrast import Lesson, learn
from nlptl.fitting.heads import calibrating, embed_names, names_prior, plain_cosines
from nlptl.fitting.setting import Setting
from nlptl.heads._crossfit import Body
from nlptl.heads._domains import GroupedRows, choose_spread, deviate
from nlptl.heads._evidence import ClosedForm, Evidence
from nlptl.heads._reading import CHOICES, parts
from nlptl.heads._scaling import Scaling
from nlptl.heads._solved import Folds, LinearWeights, PriorMean, Solved, solve_head
from nlptl.heads.knn import Knn
from nlptl.heads.label_names import LabelNames
from nlptl.heads.prototype import Prototype
from nlptl.saved.taken import load_backbone
from nlptl.transfer.folds import folds as make_folds
from nlptl.transfer.plan import Turn
from nlptl.tune.contrastive import Contrastive

log = logging.getLogger("nlptl")

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cold:
    """One task of one target as it is served before it has labels.

    Attributes:
        sources: the head that other domains' labels teach, where there are any that folds can divide.
        named: by reading, the prior mean of what the labels are called, where they are called something.
        fresh: the encoder to be copied, where the recipe asks for contrasts.
    """

    setting: Setting
    task: Task
    scored: Ints
    unlabelled: Ints
    sources: Solved | None
    scaling: Scaling | None
    named: Mapping[str, PriorMean] | None
    fresh: Backbone | None

    @classmethod
    def of(cls, setting: Setting, turn: Turn, name: str, target: str, scored: Ints) -> Cold:
        """Solve what the target's labels have no part in."""
        corpus, task = setting.corpus, setting.corpus.tasks[name]
        taught = corpus.labelled(name, turn.teach[corpus.domains[turn.teach] != target])
        unlabelled = calibrating(corpus.of_domain(turn.unlabelled, target))
        contrasts = isinstance(setting.recipe.tune, Contrastive)
        cold = cls(
            setting, task, scored, unlabelled, None, None, names_prior(setting, task, unlabelled),
            load_backbone(setting.recipe.encoder, device=setting.accelerator.device) if contrasts else None,
        )  # fmt: skip
        if len(np.unique(corpus.encoded[name][taught])) < 2:
            return cold
        try:
            folds = cold.folds(taught, 0, True)
        except DataError as error:
            log.warning("evaluate.cold_start: task %r, target %r: no head that sources teach: %s", name, target, error)
            return cold
        sources = solve_head(task, cold.vectors(taught), corpus.encoded[name][taught], folds)
        return replace(cold, sources=sources, scaling=Scaling.of(setting.vectors.of(taught, sources.reading)))

    def vectors(self, rows: Ints) -> dict[str, Floats]:
        """By reading that a head may choose."""
        return {
            reading: self.setting.vectors.of(rows, reading) for reading in CHOICES[self.setting.recipe.encoder.pool]
        }

    def texts(self, rows: Ints) -> Ints:
        """(rows,) numbers, the same for equal texts."""
        return np.unique(self.setting.corpus.texts[rows].astype(str), return_inverse=True)[1].astype(np.int64)

    def can_teach(self, rows: Ints) -> bool:
        """Whether ``rows`` show two labels and two texts, so that folds can be made of them."""
        labels = self.setting.corpus.encoded[self.task.name][rows]
        return len(np.unique(self.texts(rows))) > 1 and len(np.unique(labels)) > 1

    def folds(self, rows: Ints, seed: int, sources: bool = False) -> Folds:
        """Over ``rows``; equal texts stay together.

        Raises:
            DataError: they cannot be divided.
        """
        corpus = self.setting.corpus
        return make_folds(
            labels=corpus.encoded[self.task.name][rows], domains=corpus.domains[rows], groups=self.texts(rows),
            target_labels=0 if sources else len(rows), seed=seed,
        )  # fmt: skip

    def right(self, probabilities: Floats) -> Right:
        """(scored rows,) whether ``probabilities`` answer them rightly."""
        return correct(probabilities, self.setting.corpus.encoded[self.task.name][self.scored])

    def right_of(self, head: LinearWeights) -> Right:
        """The same of a linear head."""
        return self.right(self.task.probabilities(head.logits(self.setting.vectors.of(self.scored, head.reading))))

    def right_of_net(self, closed: ClosedForm) -> Right:
        """The same of another head over stored vectors."""
        vectors = torch.as_tensor(self.setting.vectors.of(self.scored, closed.reading)).float()
        with torch.no_grad():
            return self.right(self.task.probabilities(closed.net(vectors).double().numpy()))


def without_labels(cold: Cold) -> dict[str, Right]:
    """The rungs and baselines that need no label of the target: they are the same at every point of the curve."""
    setting, task = cold.setting, cold.task
    found = {name: cold.right(shares) for name, shares in plain_cosines(setting, task.name, cold.scored).items()}
    if cold.named is not None:
        phrasings = dict(zip(task.labels, map(tuple, task.head.phrasings(task.labels)), strict=True))
        evidence = Evidence(
            task, {}, np.empty(0, dtype=np.int64), (), unlabelled=cold.vectors(cold.unlabelled),
            names=embed_names(setting.backbone, task, setting.recipe.encoder.pool),
        )  # fmt: skip
        found["label_names"] = cold.right_of_net(LabelNames(labels=task.labels, names=phrasings).solve(evidence))
    if cold.sources is not None:
        found["sources"] = cold.right_of(cold.sources)
    return found


def of_labels(cold: Cold, shown: Ints, draw: int) -> dict[str, Right]:
    """The rungs and baselines that the labels of the rows ``shown`` teach, which ``can_teach``."""
    setting, task = cold.setting, cold.task
    classes, folds, vectors = setting.corpus.encoded[task.name][shown], cold.folds(shown, draw), cold.vectors(shown)
    baselines = fit_baselines(
        task, texts=list(setting.corpus.texts[shown]), features=setting.vectors.of(shown, "last"), labels=classes,
        folds=folds, seed=draw,
    )  # fmt: skip
    texts, features = list(setting.corpus.texts[cold.scored]), setting.vectors.of(cold.scored, "last")
    found = {name: cold.right(baseline.predict(texts, features)) for name, baseline in baselines.items()}
    evidence = Evidence(task, vectors, classes, folds)
    found |= {head.kind: cold.right_of_net(head.solve(evidence)) for head in (Prototype(), Knn())}
    below = solve_head(task, vectors, classes, folds)
    found["labels"] = cold.right_of(below)
    if cold.named is not None:
        below = solve_head(task, vectors, classes, folds, prior=cold.named)
        found["names+labels"] = cold.right_of(below)
    if cold.sources is not None:
        found["sources+labels"] = cold.right_of(_moved(cold, cold.sources, shown))
    if cold.fresh is not None:
        found["contrastive"] = _contrasted(cold, below, shown, folds, draw)
    return found


def _moved(cold: Cold, sources: Solved, shown: Ints) -> LinearWeights:
    """The sources' head, and away from it as far as these labels ask (``heads._domains``, of one domain)."""
    assert cold.scaling is not None
    vectors = cold.setting.vectors.of(shown, sources.reading)
    targets = cold.task.targets(cold.setting.corpus.encoded[cold.task.name][shown])
    rows = GroupedRows(cold.scaling(vectors), targets, sources.logits(vectors), [np.arange(len(shown))], cold.task.link)
    found = deviate(rows, choose_spread(rows)[0])
    weights, bias = cold.scaling.raw(found.weights[0], found.bias[0])
    return LinearWeights(sources.reading, sources.weights + weights, sources.bias + bias, None)


def _contrasted(cold: Cold, below: Solved, shown: Ints, folds: Folds, draw: int) -> Right:
    """The contrastive rung, which is the solved head ``below`` where it does not win."""
    setting, corpus = cold.setting, cold.setting.corpus
    tune, name, reading = setting.recipe.tune, cold.task.name, CHOICES[setting.recipe.encoder.pool][0]
    assert isinstance(tune, Contrastive) and cold.fresh is not None
    toward = None if cold.named is None else cold.named[below.reading]
    texts, pairs = corpus.texts_of(shown)
    found = learn(
        Lesson(
            tune=tune, reading=reading, fresh=cold.fresh, precision=setting.precision,
            texts=texts, pairs=pairs, tasks={name: cold.task},
            classes={name: corpus.encoded[name][shown]}, folds={name: folds},
            frozen={name: Body(setting.vectors.of(shown, below.reading), toward)}, seed=draw,
            alike=cold.texts(shown), alone=True,
        )
    )  # fmt: skip
    if found.backbone is None:
        return cold.right_of(below)
    names = parts([reading])
    vectors = encode(found.backbone, *corpus.texts_of(cold.scored), readings=names, store=None)
    beside = np.concatenate([vectors[part] for part in names], axis=1)
    return cold.right(cold.task.probabilities(found.heads[name].logits(beside)))
