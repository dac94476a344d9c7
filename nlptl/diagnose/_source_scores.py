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


def source_scores(answers: Floats, teacher: Floats) -> dict[str, Array]:
    """Each source's worth, higher is better; every array is (sources,).

    ``score``: the accuracy that its answers would have if the teacher's probabilities were true. ``agreement``: how
    often it answers as the teacher (Jiang et al. 2022, arXiv 2106.13799).

    Args:
        answers: (sources, rows, labels) probabilities of each source's own head on the target's texts.
        teacher: (rows, labels) of the head that all sources taught, each row as far as it is like the target's.
    """
    answers, soft = np.asarray(answers, np.float64), np.asarray(teacher, np.float64)
    chosen = answers.argmax(axis=2)
    return {
        "agreement": (chosen == soft.argmax(axis=1)).mean(axis=1),
        "score": soft[np.arange(len(soft)), chosen].mean(axis=1),
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
