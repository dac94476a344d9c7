"""Which encoder, or which earlier run, and which of its layers: from solved heads on vectors, nothing fine-tuned."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from nlptl.contracts import Ints
from nlptl.diagnose.hscore import hscore
from nlptl.diagnose.knn import knn_accuracy
from nlptl.diagnose.leep import leep
from nlptl.diagnose.logme import logme
from nlptl.diagnose.nce import nce
from nlptl.diagnose.nleep import nleep
from nlptl.encoder.backbone import resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.errors import DataError
from nlptl.fitting.corpus import Corpus
from nlptl.heads._reading import CHOICES, every_layer, parts
from nlptl.heads._solved import solve_head
from nlptl.progress import bar
from nlptl.recipe import Encoder, Recipe
from nlptl.saved.parts import model_folder
from nlptl.saved.taken import is_run, load_backbone
from nlptl.train.gather import of_first, while_others_wait
from nlptl.transfer.draw import first_of_each, keyed
from nlptl.transfer.folds import folds
from nlptl.transfer.plan import Turn
from nlptl.transfer.taught import load_taught

log = logging.getLogger("nlptl")

MOST = 1000
"""Labelled rows that candidates are compared on, drawn by row id."""

LEAST = 20
"""Fewer of them tell no candidate from another."""


def choose_encoder(
    recipe: Recipe, corpus: Corpus, turn: Turn, groups: Ints, accelerator: Accelerator
) -> tuple[Recipe, list[dict[str, Any]]]:
    """``recipe`` with the best of ``encoder.among`` as its encoder, and how they were ranked, by the first process."""
    if not recipe.encoder.among:
        return recipe, []
    ranked: list[dict[str, Any]] = []
    with while_others_wait():
        if accelerator.is_main_process:
            ranked = rank_encoders(
                recipe, corpus, turn, groups, recipe.encoder.among, device=accelerator.device, each_layer=False
            )
    ranked = of_first(ranked)
    best = str(ranked[0]["encoder"])
    log.info("encoder: %s, of %s", best, ", ".join(recipe.encoder.among))
    return recipe.model_copy(update={"encoder": as_encoder(recipe.encoder, best)}), ranked


def rank_encoders(
    recipe: Recipe,
    corpus: Corpus,
    turn: Turn,
    groups: Ints,
    models: Sequence[str],
    *,
    device: Any,
    each_layer: bool,
) -> list[dict[str, Any]]:
    """Each of ``models`` at each reading, the best first: by the cross-validated loss of the first task's solved head.

    Only rows that teach are looked at, and none that taught one of ``models``, which knows them by heart. Beside
    ``score``, which is minus that loss in nats a row, stand the same head's ``accuracy``, the nearest neighbours' and
    LogME; with ``each_layer`` H-score and NLEEP too, and LEEP and NCE of what an earlier run answers, by its first
    task's head: None for an encoder without one, or where that is multilabel.

    Args:
        groups: (teaching rows,) near-duplicate groups.
        models: encoders, or run folders whose body and adapter are taken.
        each_layer: read every layer too, not only what ``encoder.pool`` would.

    Raises:
        DataError: the rows that taught none of ``models`` are too few to take the best by; for those who only look
            (``each_layer``), and with ``transfer.leaks: keep``, all rows stay, and that is told.
    """
    name, task = next(iter(corpus.tasks.items()))
    rows = _fresh(recipe, corpus, corpus.labelled(name, turn.teach), models, only_told=each_layer)
    rows = _drawn(corpus, rows, recipe.seed)
    labels, of_groups = corpus.encoded[name][rows], groups[np.searchsorted(turn.teach, rows)]
    held = folds(
        labels=labels, domains=corpus.domains[rows], groups=of_groups, target_labels=turn.labels_of_target,
        seed=recipe.seed,
    )  # fmt: skip
    texts, pairs = corpus.texts_of(rows)

    def rows_of(model: str) -> Iterator[dict[str, Any]]:
        """Of one encoder, which is let go before the next is loaded."""
        settings = as_encoder(recipe.encoder, model)
        backbone = load_backbone(settings, device=device)
        backbone.freeze(resolve_precision(settings.precision, device))
        readings = CHOICES[settings.pool] + (every_layer(backbone.depth)[:-1] if each_layer else ())
        store = FeatureStore.of(backbone) if settings.cache else None
        with bar(f"encode {model}") as progress:
            found = encode(backbone, texts, pairs, readings=parts(readings), store=store, progress=progress)
        answered = _answered(model, texts, pairs, labels) if each_layer and not task.head.multilabel else {}
        for reading in dict.fromkeys(readings):
            vectors = np.concatenate([found[part] for part in parts([reading])], axis=1)
            solved = solve_head(task, {reading: vectors}, labels, held)
            row: dict[str, Any] = {"encoder": model, "reading": reading, "score": -solved.loss}
            if not task.head.multilabel:
                answers = task.probabilities(solved.out_of_fold).argmax(axis=1)
                row |= {
                    "accuracy": float(np.mean(answers == labels)),
                    "logme": logme(vectors, labels),
                    "knn": knn_accuracy(vectors, labels, groups=of_groups),
                }
                if each_layer:  # to be looked at; the choice does not ask them
                    row |= {"hscore": hscore(vectors, labels), "nleep": nleep(vectors, labels), **answered}
            yield row

    return sorted((row for model in models for row in rows_of(model)), key=lambda row: -float(row["score"]))


def _answered(model: str, texts: Sequence[str], pairs: Sequence[str] | None, labels: Ints) -> dict[str, float | None]:
    """How well the labels that an earlier run answers tell ours, as LEEP and NCE, in nats a row; None where it has no
    head whose labels exclude one another."""
    unknown: dict[str, float | None] = {"leep": None, "nce": None}
    if not is_run(model):
        return unknown
    from nlptl.saved import load

    run = load(model)
    first, theirs = next(iter(run.tasks.items()))
    if theirs.head.multilabel:
        return unknown
    answers = run.probabilities(texts, pairs)[first]
    return {"leep": leep(answers, labels), "nce": nce(answers.argmax(axis=1), labels)}


def as_encoder(settings: Encoder, model: str) -> Encoder:
    """``settings`` for the candidate ``model``; what is to be taken is only said of runs."""
    plain = {} if is_run(model) else {"take": Encoder().take}
    return settings.model_copy(update={"model": model, "among": (), "revision": None, **plain})


def _fresh(recipe: Recipe, corpus: Corpus, rows: Ints, models: Sequence[str], *, only_told: bool) -> Ints:
    """Those of ``rows`` that taught none of ``models``; all where these are too few and it is told instead."""
    told = [load_taught(model_folder(Path(model))) for model in models if is_run(model)]
    known = [hashes for hashes in told if hashes is not None]
    if not known:
        return rows
    taught = np.isin(corpus.hashes(rows), np.concatenate(known))
    fresh, labels = rows[~taught], corpus.encoded[next(iter(corpus.tasks))][rows[~taught]]
    if not taught.any() or (len(fresh) >= LEAST and bool(np.any(labels.min(axis=0) != labels.max(axis=0)))):
        return fresh
    what = f"{int(taught.sum())} of the {len(rows)} rows that would compare encoders taught one of {', '.join(models)}"
    if only_told or recipe.transfer.leaks == "keep":
        log.warning("%s, which looks better than it is", what)
        return rows
    raise DataError(
        f"encoder.among: {what}, which knows them by heart; the others are fewer than {LEAST}, or of one label. Leave "
        "that run out, or let such rows judge, with transfer.leaks: keep."
    )


def _drawn(corpus: Corpus, rows: Ints, seed: int) -> Ints:
    hashes = keyed((str(corpus.ids[row]) for row in rows), seed=seed, purpose="encoders")
    return np.sort(rows[first_of_each(np.zeros(len(rows), np.int64), np.array([MOST]), hashes)])
