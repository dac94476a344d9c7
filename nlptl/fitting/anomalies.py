"""How well a run tells texts unlike anything that taught it from those it is for, where rows are labelled so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.diagnose.anomaly import energy, knn_distance, mahalanobis, max_softmax, one_a_label
from nlptl.encoder.store import FeatureStore, encode
from nlptl.evaluate._scores import auc
from nlptl.evaluate.intervals import FEW, around, bootstrap, draw_seeds, on_rarer_side
from nlptl.heads._reading import parts
from nlptl.progress import bar
from nlptl.transfer.leaks import Signatures

if TYPE_CHECKING:
    from datasets import Dataset

    from nlptl.fitting.setting import Setting
    from nlptl.fitting.turn import Outcome
    from nlptl.saved import Model
    from nlptl.transfer.plan import Turn


SERVED = "served"
"""The score that the model itself tells (``heads.<task>.anomaly``), whatever kind it is of."""


def anomaly_rows(setting: Setting, seed: int, turn: Turn, outcome: Outcome, outside: Dataset) -> list[dict[str, Any]]:
    """A row a score: the area under the ROC curve of anomalies against the turn's scored rows, with its 95 % interval
    over rows. Where targets have models of their own, each has its rows, by its own model and on its own scored rows.

    Of ``max_softmax``, the score that others must beat, the row comes first; of ``served``, what the model itself tells
    of strange texts, the last, with the shares of both that it flags.
    """
    own = set(outcome.models) != {turn.name}
    rows = []
    for name, model in outcome.models.items():
        score = setting.corpus.of_domain(turn.score, name) if own else turn.score
        if not len(score):
            continue  # the results say of whom nothing could be scored
        told = {"seed": seed, "turn": turn.name, "target": name if own else None}
        rows += [told | row for row in _rows_of(setting, seed, turn, model, score, outside)]
    return rows


def _rows_of(
    setting: Setting, seed: int, turn: Turn, model: Model, score: Ints, outside: Dataset
) -> Iterator[dict[str, Any]]:
    """The rows of one model; ``score`` are the rows that it is for. Of few rows of a kind there is no interval."""
    copies = np.concatenate([setting.corpus.copies[score], _copies(outside, setting.recipe.transfer.near)])
    truth = np.arange(len(copies)) >= len(score)
    task, fewest = next(iter(setting.corpus.tasks)), on_rarer_side(truth, copies)
    for name, values in _scores(setting, turn, model, score, outside).items():
        found, (low, high) = area(values, truth, copies, setting.recipe.evaluate.bootstrap, seed)
        row = {
            "score": name, "auroc": found, "ci95": [low, high] if fewest >= FEW else [None, None],
            "anomalies": int(truth.sum()), "usual": int((~truth).sum()),
        }  # fmt: skip
        threshold = model.gauges[task].threshold if name == SERVED else None
        if threshold is not None:
            beyond = values >= threshold
            row |= {"anomalies_flagged": float(beyond[truth].mean()), "usual_flagged": float(beyond[~truth].mean())}
        yield row


def _copies(rows: Dataset, near: float) -> npt.NDArray[np.object_]:
    """(rows,) the id of the first row whose text is the same, or nearly."""
    every = np.arange(len(rows))
    pairs = rows[:]["text_pair"] if "text_pair" in rows.column_names else None
    originals = Signatures.of(list(rows[:]["text"]), pairs, rows=every).originals(every, near=near)
    return np.array(rows[:]["id"], dtype=object)[originals]


def _scores(setting: Setting, turn: Turn, model: Model, score: Ints, outside: Dataset) -> dict[str, Floats]:
    """By score, (usual rows, then anomalies) values, higher is stranger: distances among the frozen encoder's vectors,
    what the served model's logits say, and what it itself tells, if it does."""
    corpus, backbone = setting.corpus, setting.backbone
    task = next(iter(corpus.tasks))
    frozen = model.network.backbone is backbone
    reading = model.network.task_heads[task].reading if frozen else "last"
    texts = [str(text) for text in outside[:]["text"]]
    pairs = list(outside[:]["text_pair"]) if corpus.pairs is not None else None
    with bar("encode anomalies") as progress:
        found = encode(
            backbone, texts, pairs, readings=parts([reading, *(model.network.readings if frozen else ())]),
            store=FeatureStore.of(backbone) if setting.recipe.encoder.cache else None, progress=progress,
        )  # fmt: skip
    strange = np.concatenate([found[part] for part in parts([reading])], axis=1)
    taught = corpus.labelled(task, turn.teach)
    seen, asked = setting.vectors.of(taught, reading), setting.vectors.of(score, reading)
    asked = np.concatenate([asked, strange])
    usual = setting.vectors.parts(score, model.network.readings) if frozen else None
    (usual_texts, usual_pairs), outer = corpus.texts_of(score), found if frozen else None
    of_usual = _logits(model, task, usual_texts, usual_pairs, usual)
    logits = np.concatenate([of_usual, _logits(model, task, texts, pairs, outer)])
    k = min(setting.recipe.evaluate.anomalies.k, len(taught)) if setting.recipe.evaluate.anomalies else 1
    scores: dict[str, Floats] = {
        "max_softmax": max_softmax(logits),
        "energy": energy(logits),
        "mahalanobis": mahalanobis(seen, corpus.encoded[task][taught], asked),
        "knn": knn_distance(seen, asked, k=k),
    }
    if task in model.gauges:
        whose = [str(domain) for domain in corpus.domains[score]]
        of_usual = model.strangeness(usual_texts, usual_pairs, domains=whose, readings=usual)[task]
        nobody = [None] * len(texts)
        scores[SERVED] = np.r_[of_usual, model.strangeness(texts, pairs, domains=nobody, readings=outer)[task]]
    return scores


def _logits(
    model: Model, task: str, texts: list[str], pairs: list[str] | None, readings: Mapping[str, Floats] | None
) -> Floats:
    """(texts, labels), one a label."""
    return one_a_label(model.shared_logits(texts, pairs, readings=readings)[1][task])


def area(
    values: Floats, truth: npt.NDArray[np.bool_], copies: npt.NDArray[Any], resamples: int, seed: int
) -> tuple[float, tuple[float, float]]:
    """The area under the ROC curve of rows that are ``truth``, higher ``values`` being stranger, with its 95 % interval
    over rows."""
    columns, labels = np.stack([-values, values], axis=1), truth.astype(np.int64)
    rng = np.random.default_rng((seed, 5))

    def score(_: int, weights: Floats) -> Floats:
        return auc(columns, labels, weights, positive=1)[:, None]

    samples = bootstrap(score, [copies], seed_draws=draw_seeds(1, resamples=resamples, rng=rng), rng=rng)[:, 0]
    found = float(score(0, np.ones((1, len(copies))))[0, 0])
    return found, around(found, samples)
