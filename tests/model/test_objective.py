"""What training minimises in place of the plain loss: by hand-sized numbers and against torch's own losses."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, kl_div, one_hot

from nlptl.model.objective import Objective, balanced_weights, divergence, focal_losses, smooth
from nlptl.train.loop import pull_back

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -0.3], [-1.0, 3.0, 0.0]])
LABELS = torch.tensor([0, 2, 1])
TARGETS = one_hot(LABELS, 3).float()


def test_smoothed_weighed_softmax_loss_is_torchs() -> None:
    """torch spreads smoothing over class weights too, so each is compared alone."""
    found = Objective(smoothing=0.1).row_losses("t", LOGITS, TARGETS, "softmax")
    torch.testing.assert_close(found, cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="none"))
    weights = torch.tensor([0.5, 1.0, 3.0])
    found = Objective(class_weights={"t": weights[None]}).row_losses("t", LOGITS, TARGETS, "softmax")
    torch.testing.assert_close(found, cross_entropy(LOGITS, LABELS, weight=weights, reduction="none"))


def test_smoothed_weighed_sigmoid_loss_is_torchs() -> None:
    logits, targets = torch.tensor([[1.5], [-0.5]]), torch.tensor([[1.0], [0.0]])
    found = Objective(smoothing=0.2).row_losses("t", logits, targets, "sigmoid")
    soft = torch.tensor([[0.9], [0.1]])
    torch.testing.assert_close(found, binary_cross_entropy_with_logits(logits, soft, reduction="none")[:, 0])
    found = Objective(class_weights={"t": torch.tensor([[1.0], [4.0]])}).row_losses("t", logits, targets, "sigmoid")
    expected = binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor([4.0]), reduction="none")
    torch.testing.assert_close(found, expected[:, 0])


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_focal_loss_by_hand(link: str) -> None:
    """p = .8 of the true answer: (1 − .8)² · −log .8."""
    odds = torch.tensor(4.0).log()
    logits = torch.stack([odds, torch.zeros(())])[None] if link == "softmax" else odds[None, None]
    targets = torch.tensor([[1.0, 0.0]]) if link == "softmax" else torch.tensor([[1.0]])
    found = focal_losses(logits, targets, targets, link, 2.0, None)
    torch.testing.assert_close(found, -0.04 * torch.tensor([0.8]).log())


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_a_row_that_is_sure_has_a_gradient_and_it_is_nearly_0(link: str, gamma: float) -> None:
    """40 nats ahead p is 1 in float32, and for gamma below 1 the factor's slope there has no end."""
    logits = torch.tensor([[40.0, 0.0]] if link == "softmax" else [[40.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0]] if link == "softmax" else [[1.0]])
    focal_losses(logits, targets, targets, link, gamma, None).sum().backward()
    assert logits.grad is not None and logits.grad.abs().max().item() < 1e-6


def test_at_the_defaults_it_is_the_plain_loss() -> None:
    found = Objective().row_losses("t", LOGITS, TARGETS, "softmax")
    torch.testing.assert_close(found, cross_entropy(LOGITS, LABELS, reduction="none"))
    torch.testing.assert_close(smooth(TARGETS, 0.0, "softmax"), TARGETS)


def test_balanced_weights_of_three_to_one() -> None:
    """n / (K · n_label): 4 / (2 · 3) and 4 / (2 · 1); a label that no row has is as one that has one."""
    assert balanced_weights(one_hot(torch.tensor([0, 0, 0, 1]), 2).float(), "softmax").tolist() == [
        pytest.approx([2 / 3, 2.0])
    ]
    assert balanced_weights(torch.tensor([[0.0], [0.0], [0.0], [1.0]]), "sigmoid").tolist() == [
        [pytest.approx(2 / 3)],
        [2.0],
    ]


def test_the_divergence_is_the_mean_of_both_kls() -> None:
    first, second = LOGITS, LOGITS.flip(1)
    p, q = first.log_softmax(1), second.log_softmax(1)
    both = [kl_div(a, b, reduction="none", log_target=True).sum(1) for a, b in ((q, p), (p, q))]
    torch.testing.assert_close(divergence(first, second, "softmax"), sum(both) / 2)
    two = torch.tensor([[0.7]]), torch.tensor([[-0.4]])
    as_softmax = [torch.cat([z, torch.zeros(1, 1)], dim=1) for z in two]
    torch.testing.assert_close(divergence(*two, "sigmoid"), divergence(*as_softmax, "softmax"))


def test_l2_sp_pulls_towards_the_start() -> None:
    body = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        body.weight.fill_(3.0)
    body.weight.grad = torch.tensor([[1.0]])
    pull_back(body, {"weight": torch.tensor([[1.0]])}, 0.5)
    assert float(body.weight.grad) == 2.0
