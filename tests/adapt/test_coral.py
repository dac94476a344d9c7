"""CORAL: the paper's equation by hand, what it does not see, and a shift that it corrects."""

import numpy as np
import torch
from turned_features import accuracy_on_target, rotated, step_of

from nlptl.adapt._features import unit_scale
from nlptl.adapt.coral import Coral, coral_loss


def test_the_papers_equation_by_hand() -> None:
    """Covariances of (±1, 0) are diag(2, 0), of (0, ±3) diag(0, 18): (2² + 18²) / (4 · 2²) = 20.5."""
    source, target = torch.tensor([[1.0, 0], [-1, 0]]), torch.tensor([[0.0, 3], [0, -3]])
    assert float(coral_loss(source, target)) == 20.5


def test_it_is_the_distance_of_numpys_covariances() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(20, 5)), rng.normal(size=(31, 5)) @ rng.normal(size=(5, 5))
    expected = np.sum((np.cov(source.T) - np.cov(target.T)) ** 2) / (4 * 25)
    assert np.isclose(float(coral_loss(torch.from_numpy(source), torch.from_numpy(target))), expected, rtol=1e-12)


def test_it_sees_second_moments_alone() -> None:
    rows = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    assert float(coral_loss(rows, rows + 5)) < 1e-10
    assert float(coral_loss(rows, 2 * rows)) > 0.1


def test_one_row_has_no_covariance_and_no_gradient() -> None:
    source, target = torch.ones(1, 3, requires_grad=True), torch.ones(4, 3)
    loss = coral_loss(source, target)
    loss.backward()
    assert float(loss.detach()) == 0 and source.grad is not None and not source.grad.any()


def test_the_scale_of_all_features_does_not_matter() -> None:
    shift = rotated()
    near, far = (Coral().loss(step_of(shift), None) for shift in (shift, _times(shift, 100)))
    torch.testing.assert_close(near, far)
    source, target = unit_scale(torch.from_numpy(shift.source), torch.from_numpy(shift.target))
    assert np.isclose((source.var(0, correction=0) + target.var(0, correction=0)).mean() / 2, 1, rtol=1e-5)


def test_it_wins_where_features_turn() -> None:
    shift = rotated()
    assert accuracy_on_target(shift, Coral()) > accuracy_on_target(shift) + 0.04


def _times(shift, factor):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(shift, source=shift.source * np.float32(factor), target=shift.target * np.float32(factor))
