"""Which source serves a target best, from what the sources' heads answer on its texts; no label of it is read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats

Array = npt.NDArray[np.float64]


def source_scores(answers: Floats, pooled: Floats) -> dict[str, Array]:
    """Each source's worth, higher is better; every array is (sources,).

    ``expected_accuracy``: under the labels that all heads' votes make likely (``dawid_skene``, the pooled head one more
    voter); ``expected_log_likelihood``: under the pooled head's probabilities; ``score``: the mean of both once each is
    standardised over the sources. One counts votes and sees through a common bias, the other counts how sure they were.

    Args:
        answers: (sources, rows, labels) probabilities of each source's own head.
        pooled: (rows, labels) of the head that all sources taught.
    """
    answers, pooled = np.asarray(answers, np.float64), np.asarray(pooled, np.float64)
    likely = dawid_skene(np.concatenate([answers, pooled[None]]).argmax(axis=2), pooled.shape[1])
    chosen = answers.argmax(axis=2)
    expected = likely[np.arange(len(likely)), chosen].mean(axis=1)
    likelihood = (pooled * np.log(np.maximum(answers, 1e-12))).sum(axis=2).mean(axis=1)
    return {
        "expected_accuracy": expected,
        "expected_log_likelihood": likelihood,
        "agreement": (chosen == pooled.argmax(axis=1)).mean(axis=1),
        "score": (_standardised(expected) + _standardised(likelihood)) / 2,
    }


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
