"""The mode against SciPy's minimiser of the written objective, the evidence against numerical integration."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from nlptl.heads._laplace import Latents, laplace
from nlptl.heads._solve import Link


def one_feature(link: Link, rows: int = 40, outputs: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows,) feature, (rows, outputs) targets and offsets."""
    rng = np.random.default_rng(0)
    feature, offsets = rng.normal(size=rows), rng.normal(size=(rows, outputs))
    logits = feature[:, None] * rng.normal(size=outputs) + offsets
    if link == "softmax":
        return feature, np.eye(outputs)[(logits + rng.gumbel(size=logits.shape)).argmax(1)], offsets
    return feature, 1.0 * (rng.logistic(size=logits.shape) < logits), offsets


def log_likelihood(link: Link, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(…, rows, outputs) logits → (…)."""
    if link == "softmax":
        return (logits * targets).sum((-1, -2)) - np.log(np.exp(logits).sum(-1)).sum(-1)
    return (logits * targets - np.logaddexp(0, logits)).sum((-1, -2))


def problem(kernel: np.ndarray, targets: np.ndarray, offsets: np.ndarray, link: Link) -> Latents:
    given = [torch.from_numpy(array[None]) for array in (kernel, targets, offsets, np.ones(len(targets)))]
    return Latents(*given, link=link)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("tau", [0.3, 1.0])
def test_evidence_is_close_to_the_integral_over_the_weights(link: Link, tau: float) -> None:
    """One weight an output, w ~ N(0, τ²): Gauss-Hermite quadrature, 40 points a dimension."""
    feature, targets, offsets = one_feature(link)
    points, masses = np.polynomial.hermite_e.hermegauss(40)
    weights = tau * np.array(list(product(points, repeat=3)))
    mass = np.prod(list(product(masses / masses.sum(), repeat=3)), axis=1)
    likelihood = log_likelihood(link, feature[:, None] * weights[:, None, :] + offsets, targets)
    integral = np.log((np.exp(likelihood - likelihood.max()) * mass).sum()) + likelihood.max()
    found = laplace(problem(tau**2 * np.outer(feature, feature), targets, offsets, link))
    assert float(found.evidence[0]) == pytest.approx(integral, abs=0.03)


def test_evidence_of_one_row_by_hand() -> None:
    """f ~ N(0, 1), y = 1, no offset: the mode solves f = σ(−f), f̂ = .401058; then Ψ = log σ(f̂) − f̂²/2 = −.593015 and
    −½ log(1 + σ(f̂) σ(−f̂)) = −.107641."""
    one = np.ones((1, 1))
    found = laplace(problem(one, one, 0 * one, "sigmoid"))
    assert float(found.latent.squeeze()) == pytest.approx(0.401058, abs=1e-6)
    assert float(found.evidence[0]) == pytest.approx(-0.593015 - 0.107641, abs=2e-6)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_the_mode_is_that_of_the_written_objective(link: Link) -> None:
    rng = np.random.default_rng(1)
    features, (_, targets, offsets) = rng.normal(size=(40, 5)), one_feature(link)

    def objective(weights: np.ndarray) -> float:
        shaped = weights.reshape(5, 3)
        return float((shaped**2).sum() / 2 / 0.7 - log_likelihood(link, features @ shaped + offsets, targets))

    reference = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-7}).x.reshape(5, 3)
    found = laplace(problem(0.7 * features @ features.T, targets, offsets, link))
    np.testing.assert_allclose(0.7 * features.T @ found.dual[0].numpy(), reference, atol=1e-5)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_rows_without_weight_are_predicted_not_learned_and_change_no_evidence(link: Link) -> None:
    feature, targets, offsets = one_feature(link)
    kernel = np.outer(feature, feature) + 0.5
    whole = problem(kernel, targets, offsets, link)
    weights = torch.ones(1, 40, dtype=torch.float64)
    weights[:, 30:] = 0
    masked = laplace(Latents(whole.kernel, whole.targets, whole.offsets, weights, link))
    short = laplace(problem(kernel[:30, :30], targets[:30], offsets[:30], link))
    np.testing.assert_allclose(masked.evidence, short.evidence, atol=1e-9)
    np.testing.assert_allclose(masked.latent[:, :30], short.latent, atol=1e-9)
    np.testing.assert_allclose(masked.latent[0, 30:], kernel[30:, :30] @ short.dual[0].numpy(), atol=1e-9)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_hard_problems_converge_in_one_batch_with_easy_ones(link: Link) -> None:
    """Offsets far on the wrong side, and a prior so weak that a plain Newton step overshoots."""
    feature, targets, offsets = one_feature(link)
    kernel = torch.from_numpy(np.stack([np.outer(feature, feature) + 1, 1e4 * np.outer(feature, feature) + 1e4]))
    both = torch.from_numpy(np.stack([offsets, 30 * (1 - 2 * targets)]))
    aims = torch.from_numpy(np.stack([targets, targets]))
    found = laplace(Latents(kernel, aims, both, torch.ones(2, 40, dtype=torch.float64), link))
    logits = (found.latent + both).numpy()
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True) if link == "softmax" else 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(
        found.dual.numpy(), aims.numpy() - p, atol=1e-6
    )  # where a = ∇ log p(y | K a + o), Ψ is highest
