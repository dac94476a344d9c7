"""Criteria without labels: by hand, and what they prefer."""

import math

import numpy as np
import pytest
import torch

from nlptl.adapt._features import entropy
from nlptl.train import select
from nlptl.train.select import CRITERIA, mean_entropy, snd


def test_density_by_hand() -> None:
    """Three answers alike: each has two equal neighbours, ln 2. One apart, at T → 0: its neighbours are both as far."""
    assert float(snd(torch.tensor([[0.9, 0.1]] * 3))) == pytest.approx(math.log(2))
    found = snd(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), temperature=1.0)
    share = math.e / (math.e + 1)  # of the one alike, beside the one apart
    pair = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert float(found) == pytest.approx((2 * pair + math.log(2)) / 3)


def test_density_is_the_entropy_of_softmax_in_scipy() -> None:
    from scipy.special import softmax
    from scipy.stats import entropy

    answers = np.random.default_rng(0).dirichlet(np.ones(3), size=8)
    unit = answers / np.linalg.norm(answers, axis=1, keepdims=True)
    rows = [softmax(np.delete(unit[i] @ unit.T, i) / 0.05) for i in range(8)]
    assert float(snd(torch.from_numpy(answers))) == pytest.approx(np.mean([entropy(row) for row in rows]), rel=1e-9)


@pytest.mark.parametrize("pairs", [1, 150, 799, 10**6])
def test_blocks_of_rows_have_the_density_of_all_at_once(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    """Of 50 rows, never more pairs at once than are asked for, or those of one row."""
    softmax, sizes = torch.softmax, []

    def watched(given: torch.Tensor, dim: int) -> torch.Tensor:
        sizes.append(given.numel())
        return softmax(given, dim)

    answers = softmax(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double(), 1)
    unit = torch.nn.functional.normalize(answers, dim=1)
    likeness = (unit @ unit.T / 0.05).fill_diagonal_(-torch.inf)
    dense = entropy(softmax(likeness, 1)).mean()
    monkeypatch.setattr(select, "PAIRS", pairs)
    monkeypatch.setattr(torch, "softmax", watched)
    torch.testing.assert_close(snd(answers), dense, rtol=1e-12, atol=0)
    assert max(sizes) <= max(pairs, 50) and sum(sizes) == 50 * 50


def test_entropy_by_hand() -> None:
    assert float(mean_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))) == pytest.approx(math.log(2) / 2)


def test_both_prefer_sure_answers_of_two_classes_to_wavering_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    side = torch.rand(40, 1, generator=generator).round()
    sure = torch.cat([side, 1 - side], 1) * 0.9 + 0.05
    share = torch.rand(40, 1, generator=generator)
    wavering = torch.cat([share, 1 - share], 1)
    for criterion in CRITERIA.values():
        assert float(criterion(sure)) < float(criterion(wavering))
