"""The solve against scikit-learn, against its own optimality conditions, and by hand."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from nlptl.heads._solve import Design, Problems, row_losses, solve


def problem(rows: int = 120, width: int = 6, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, width))
    truth = rng.normal(size=(width, classes))
    return features, (features @ truth + rng.gumbel(size=(rows, classes))).argmax(1)


def precisions(strengths: list[float], width: int) -> torch.Tensor:
    """One problem a strength; the intercept is not penalised, as in scikit-learn."""
    return torch.tensor([[1 / c] * width + [0.0] for c in strengths], dtype=torch.float64)


@pytest.mark.parametrize("sparse_columns", [0, 3])
def test_many_strengths_at_once_equal_scikit_learn_one_by_one(sparse_columns: int) -> None:
    features, labels = problem(classes=2)
    dense, sparse = features[:, sparse_columns:], features[:, :sparse_columns]
    design = Design(torch.from_numpy(dense), csr_matrix(sparse) if sparse_columns else None)
    strengths = [0.01, 1.0, 100.0]
    solved = solve(
        Problems(design, torch.from_numpy(labels[:, None] * 1.0), torch.ones(3, 120, dtype=torch.float64),
                 precisions(strengths, 6), "sigmoid"),
        tolerance=1e-10,
    )  # fmt: skip
    for strength, weights in zip(strengths, solved.numpy(), strict=True):
        reference = LogisticRegression(C=strength, tol=1e-12, max_iter=10_000)
        reference.fit(np.hstack([dense, sparse]), labels)
        np.testing.assert_allclose(weights[:-1, 0], reference.coef_[0], atol=1e-6)
        np.testing.assert_allclose(weights[-1, 0], reference.intercept_[0], atol=1e-6)


def test_softmax_equals_scikit_learn_and_fold_masks_leave_rows_out() -> None:
    features, labels = problem()
    mask = torch.ones(2, 120, dtype=torch.float64)
    mask[1, 60:] = 0
    solved = solve(
        Problems(Design(torch.from_numpy(features)), torch.eye(3, dtype=torch.float64)[labels], mask,
                 precisions([1.0, 1.0], 6), "softmax"),
        tolerance=1e-10,
    )  # fmt: skip
    for rows, weights in zip([120, 60], solved, strict=True):
        reference = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(features[:rows], labels[:rows])
        np.testing.assert_allclose(weights[:-1].T, reference.coef_, atol=1e-5)
        intercepts = weights[-1].numpy() - weights[-1].numpy().mean()
        np.testing.assert_allclose(intercepts, reference.intercept_ - reference.intercept_.mean(), atol=1e-5)


def test_prior_mean_and_offset_by_their_own_optimality() -> None:
    """The gradient at the solution, by automatic differentiation of the written objective, is zero."""
    features, labels = problem()
    rng = np.random.default_rng(1)
    prior, offset = torch.from_numpy(rng.normal(size=(7, 3))), torch.from_numpy(rng.normal(size=(120, 3)))
    targets = torch.eye(3, dtype=torch.float64)[labels]
    design, precision = Design(torch.from_numpy(features)), torch.full((1, 7), 2.5, dtype=torch.float64)
    [weights] = solve(
        Problems(design, targets, torch.ones(1, 120, dtype=torch.float64), precision, "softmax", prior, offset),
        tolerance=1e-12,
    )
    weights = weights.clone().requires_grad_()
    rows = torch.cat([torch.from_numpy(features), torch.ones(120, 1)], dim=1)
    objective = row_losses(rows @ weights + offset, targets, "softmax").sum() + 2.5 / 2 * ((weights - prior) ** 2).sum()
    (gradient,) = torch.autograd.grad(objective, weights)
    assert gradient.abs().max() < 1e-8


def test_without_evidence_the_answer_is_the_prior_and_with_a_tight_prior_nearly_so() -> None:
    features, labels = problem(classes=2)
    prior = torch.arange(7, dtype=torch.float64)[:, None] / 7
    row_weights = torch.stack([torch.zeros(120), torch.ones(120)]).to(torch.float64)
    precision = torch.tensor([[1.0] * 7, [1e8] * 7], dtype=torch.float64)
    targets = torch.from_numpy(labels[:, None] * 1.0)
    nothing, tight = solve(
        Problems(Design(torch.from_numpy(features)), targets, row_weights, precision, "sigmoid", prior)
    )
    assert torch.equal(nothing, prior)
    torch.testing.assert_close(tight, prior, atol=1e-5, rtol=0)


def test_the_start_does_not_matter() -> None:
    features, labels = problem()
    problems = Problems(Design(torch.from_numpy(features)), torch.eye(3, dtype=torch.float64)[labels],
                        torch.ones(1, 120, dtype=torch.float64), precisions([1.0], 6), "softmax")  # fmt: skip
    far = torch.full((1, 7, 3), 5.0, dtype=torch.float64)
    far[:, :, 0] = -5  # a softmax is not moved by what all classes share
    torch.testing.assert_close(
        solve(problems, tolerance=1e-10)[:, :6], solve(problems, start=far, tolerance=1e-10)[:, :6], atol=1e-6, rtol=0
    )


def test_row_losses_by_hand() -> None:
    one_hot, logits = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, np.log(3.0)]])
    assert row_losses(logits, one_hot, "softmax").item() == pytest.approx(-np.log(0.75))
    assert row_losses(torch.tensor([[np.log(3.0)]]), torch.tensor([[0.0]]), "sigmoid").item() == pytest.approx(
        np.log(4)
    )
