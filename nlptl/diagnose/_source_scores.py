"""Which source serves a target best, from what the sources' heads answer on its texts; no label of it is read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats

Array = npt.NDArray[np.float64]


PRECISION = 0.1
"""Of the domain classifier's prior, on vectors of unit root-mean-square length: rather smooth."""

LARGEST = 5.0
"""Log density ratios are cut here, so that no row counts for more than 150 others."""


def source_scores(answers: Floats, teacher: Floats, confusion: Floats) -> dict[str, Array]:
    """Each source's worth, higher is better; every array is (sources,).

    ``correlation``: of its logits with the teacher's; ``confusion``: as given; ``score``: the correlation plus half the
    confusion, each standardised over the sources. Beside them, ``expected_accuracy`` under the labels that all heads'
    votes make likely (``dawid_skene``), which follows the majority even where the target is unlike it.

    Args:
        answers: (sources, rows, labels) probabilities of each source's own head on the target's texts.
        teacher: (rows, labels) of the head that all sources taught, each row as far as it is like the target's.
        confusion: (sources,) how often each source's texts are taken for the target's, and the other way.
    """
    answers, soft = np.asarray(answers, np.float64), np.asarray(teacher, np.float64)
    likely = dawid_skene(np.concatenate([answers, soft[None]]).argmax(axis=2), soft.shape[1])
    chosen = answers.argmax(axis=2)
    correlation = np.array([_correlation(each, soft) for each in answers])
    return {
        "expected_accuracy": likely[np.arange(len(likely)), chosen].mean(axis=1),
        "expected_log_likelihood": (soft * np.log(np.maximum(answers, 1e-12))).sum(axis=2).mean(axis=1),
        "agreement": (chosen == soft.argmax(axis=1)).mean(axis=1),
        "correlation": correlation,
        "confusion": np.asarray(confusion, np.float64),
        "score": _standardised(correlation) + _standardised(np.asarray(confusion, np.float64)) / 2,
    }


def likeness(taught: Floats, own: Floats, masks: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """How much each of the sources' rows is like the target's, and each source as a whole.

    A solved classifier tells the target's rows from the sources', each side weighing one half; its logit is then the
    log density ratio target : sources (Shimodaira 2000; Bickel, Brückner & Scheffer 2007), which weighs the rows.

    Args:
        taught: (rows, width) vectors of the sources; ``own`` (rows, width) those of the target.
        masks: (sources, taught rows) which rows are of each source.

    Returns:
        ((taught rows,) weights of mean 1, (sources,) balanced error of that classifier between source and target).
    """
    import torch

    from nlptl.heads._scaling import Scaling
    from nlptl.heads._solve import Design, Problems, solve

    both = np.concatenate([taught, own])
    rows = Scaling.of(both)(both)
    here = np.arange(len(both)) >= len(taught)
    precision = torch.full((1, rows.shape[1] + 1), PRECISION, dtype=torch.float64)
    precision[:, -1] = 1e-6  # of the intercept: flat for practical purposes
    halves = np.where(here, 0.5 / here.sum(), 0.5 / (~here).sum()) * len(here)
    problems = Problems(
        Design(torch.from_numpy(rows)), torch.from_numpy(here[:, None].astype(np.float64)),
        torch.from_numpy(halves[None]), precision, "sigmoid",
    )  # fmt: skip
    [solution] = solve(problems).numpy()
    logits = rows @ solution[:-1, 0] + solution[-1, 0]
    ratios, target = logits[: len(taught)], logits[len(taught) :]
    weights = np.exp(np.clip(ratios, -LARGEST, LARGEST))
    missed = np.mean(target < 0)
    confusion = np.array([(np.mean(ratios[mask] > 0) + missed) / 2 for mask in masks])
    return weights / weights.mean(), confusion


def _correlation(first: Array, second: Array) -> float:
    """Of two (rows, labels) tables of probabilities, as centred log-probabilities, each label's mean taken out."""
    sides = [np.log(np.maximum(table, 1e-12)) for table in (first, second)]
    sides = [side - side.mean(axis=1, keepdims=True) for side in sides]
    one, other = (side - side.mean(axis=0) for side in sides)
    return float((one * other).sum() / max(float(np.sqrt((one**2).sum() * (other**2).sum())), 1e-12))


def dawid_skene(votes: npt.NDArray[np.int64], labels: int, *, tolerance: float = 1e-6, steps: int = 500) -> Array:
    """(rows, labels) probabilities of the true labels: EM of Dawid & Skene 1979, "Maximum likelihood estimation of
    observer error-rates using the EM algorithm", eq. 2.3–2.5.

    Each voter v answers a of true label y with chance π_v(y, a), given y independently of the others, and
    q_i(y) ∝ p(y) Π_v π_v(y, a_vi). Begins with the share of votes; each π is counted with one vote more a label.

    Args:
        votes: (voters, rows) label indices.
        labels: how many there are.
    """
    shown = np.eye(labels)[votes]
    likely = shown.mean(axis=0)
    for _ in range(steps):
        counts = np.einsum("iy,via->vya", likely, shown) + 1
        rates = np.log(counts / counts.sum(axis=2, keepdims=True))
        logits = np.log(np.maximum(likely.mean(axis=0), 1e-12)) + np.einsum("via,vya->iy", shown, rates)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        before, likely = likely, raised / raised.sum(axis=1, keepdims=True)
        if np.abs(likely - before).max() < tolerance:
            break
    return np.asarray(likely)


def _standardised(values: Array) -> Array:
    return np.asarray((values - values.mean()) / (values.std() or 1.0))
