"""MMD: the estimate by hand, beside an independent one, and a shift that it corrects."""

import numpy as np
import pytest
import torch
from turned_features import accuracy_on_target, rotated

from nlptl.adapt.mmd import Mmd, mmd_loss


def test_the_estimate_by_hand() -> None:
    """Rows 0, 2 and 0, 1: squared distances 4, 1, and 0, 1, 4, 1 across; their median over pairs is 1."""
    source, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    expected = np.exp(-4) + np.exp(-1) - 2 * (1 + np.exp(-1) + np.exp(-4) + np.exp(-1)) / 4
    assert float(mmd_loss(source, target, widths=(1.0,))) == pytest.approx(expected, rel=1e-6)


def test_it_agrees_with_scikit_learns_kernels() -> None:
    from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(12, 3)), rng.normal(size=(9, 3)) + 1
    rows = np.concatenate([source, target])
    distances = euclidean_distances(rows, squared=True)
    median = np.sort(distances[~np.eye(21, dtype=bool)])[(21 * 20 - 1) // 2]  # torch takes the lower of two middles
    expected = 0.0
    for width in (0.5, 2.0):
        kernel = rbf_kernel(rows, gamma=1 / (width * median))
        np.fill_diagonal(kernel, 0)
        expected += kernel[:12, :12].sum() / (12 * 11) + kernel[12:, 12:].sum() / (9 * 8) - 2 * kernel[:12, 12:].mean()
    found = mmd_loss(torch.from_numpy(source), torch.from_numpy(target), widths=(0.5, 2.0))
    assert float(found) == pytest.approx(expected / 2, rel=1e-9)


def test_it_is_unbiased() -> None:
    """Between draws of one distribution it is 0 on average, far below its own spread."""
    generator = torch.Generator().manual_seed(0)
    values = [float(mmd_loss(*torch.randn(2, 8, 2, generator=generator))) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert np.std(values) > 0.02


def test_equal_rows_have_a_gradient_that_is_a_number() -> None:
    source = torch.zeros(3, 2, requires_grad=True)
    mmd_loss(source, torch.zeros(3, 2)).backward()  # type: ignore[no-untyped-call]
    assert source.grad is not None and torch.isfinite(source.grad).all()


def test_it_wins_where_features_turn() -> None:
    shift = rotated()
    assert accuracy_on_target(shift, Mmd()) > accuracy_on_target(shift) + 0.04
