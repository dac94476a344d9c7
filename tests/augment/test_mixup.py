"""Mixup: how much of itself a row keeps."""

import numpy as np
import pytest

from nlptl.augment import Mixup


@pytest.mark.parametrize(("alpha", "spread"), [(1.0, 1 / 12), (0.2, 1 / (4 * 1.4))])
def test_shares_are_of_a_beta(alpha: float, spread: float) -> None:
    """Beta(α, α) has mean ½ and variance 1 / (4 (2 α + 1)): 1/12 for α = 1, the uniform."""
    shares = Mixup(alpha=alpha).shares(20000, np.random.default_rng(0))
    assert shares.shape == (20000,) and shares.min() >= 0 and shares.max() <= 1
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02) and np.var(shares) == pytest.approx(spread, abs=0.01)
