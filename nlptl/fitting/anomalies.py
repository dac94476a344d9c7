"""How well a run tells texts unlike anything that taught it from those it is for, where rows are labelled so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats
from nlptl.diagnose.anomaly import energy, knn_distance, mahalanobis, max_softmax
from nlptl.encoder.store import FeatureStore, encode
from nlptl.evaluate._scores import auc
from nlptl.evaluate.intervals import bootstrap, draw_seeds, percentiles
from nlptl.heads._reading import parts
from nlptl.progress import bar

if TYPE_CHECKING:
    from datasets import Dataset

    from nlptl.fitting.setting import Setting
    from nlptl.fitting.turn import Outcome
    from nlptl.saved import Model
    from nlptl.transfer.plan import Turn


def anomaly_rows(setting: Setting, seed: int, turn: Turn, outcome: Outcome, outside: Dataset) -> list[dict[str, Any]]:
    """A row a score: the area under the ROC curve of anomalies against the turn's scored rows, with its 95 % interval
    over rows. Of ``max_softmax``, the score that others must beat, the row comes first."""
    rows = []
    ids = np.concatenate([setting.corpus.ids[turn.score], np.array(outside[:]["id"], dtype=object)])
    truth = np.arange(len(ids)) >= len(turn.score)
    for name, values in _scores(setting, turn, outcome, outside).items():
        found, (low, high) = area(values, truth, ids, setting.recipe.evaluate.bootstrap, seed)
        rows.append({
            "seed": seed, "turn": turn.name, "score": name, "auroc": found, "ci95": [low, high],
            "anomalies": int(truth.sum()), "usual": int((~truth).sum()),
        })  # fmt: skip
    return rows


def _scores(setting: Setting, turn: Turn, outcome: Outcome, outside: Dataset) -> dict[str, Floats]:
    """By score, (usual rows, then anomalies) values, higher is stranger: distances among the frozen encoder's vectors,
    and what the served model's logits say."""
    corpus, backbone = setting.corpus, setting.backbone
    task, model = next(iter(corpus.tasks)), next(iter(outcome.models.values()))
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
    seen, asked = setting.vectors.of(taught, reading), setting.vectors.of(turn.score, reading)
    asked = np.concatenate([asked, strange])
    usual = setting.vectors.parts(turn.score, model.network.readings) if frozen else None
    usual_pairs = None if corpus.pairs is None else list(corpus.pairs[turn.score])
    of_usual = _logits(model, task, list(corpus.texts[turn.score]), usual_pairs, usual)
    logits = np.concatenate([of_usual, _logits(model, task, texts, pairs, found if frozen else None)])
    k = min(setting.recipe.evaluate.anomalies.k, len(taught)) if setting.recipe.evaluate.anomalies else 1
    return {
        "max_softmax": max_softmax(logits),
        "energy": energy(logits),
        "mahalanobis": mahalanobis(seen, corpus.encoded[task][taught], asked),
        "knn": knn_distance(seen, asked, k=k),
    }


def _logits(
    model: Model, task: str, texts: list[str], pairs: list[str] | None, readings: Mapping[str, Floats] | None
) -> Floats:
    """(texts, labels); a binary head's one logit z stands as 0 and z."""
    logits = model.shared_logits(texts, pairs, readings=readings)[1][task]
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits


def area(
    values: Floats, truth: npt.NDArray[np.bool_], ids: npt.NDArray[Any], resamples: int, seed: int
) -> tuple[float, tuple[float, float]]:
    """The area under the ROC curve of rows that are ``truth``, higher ``values`` being stranger, with its 95 % interval
    over rows."""
    columns, labels = np.stack([-values, values], axis=1), truth.astype(np.int64)
    rng = np.random.default_rng((seed, 5))

    def score(_: int, weights: Floats) -> Floats:
        return auc(columns, labels, weights, positive=1)[:, None]

    samples = bootstrap(score, [ids], seed_draws=draw_seeds(1, resamples=resamples, rng=rng), rng=rng)[:, 0]
    return float(score(0, np.ones((1, len(ids))))[0, 0]), percentiles(samples)
