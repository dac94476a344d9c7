"""Each balance's maths by hand-sized numbers or against an independent reference, and what each does over steps."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nlptl.balance import Dwa, Equal, Famo, Gradnorm, Pcgrad, Uncertainty, dwa, famo, gradnorm, uncertainty
from nlptl.balance._weighing import adam, leave
from nlptl.balance.pcgrad import without_conflicts
from nlptl.errors import RecipeError
from nlptl.recipe import Recipe
from nlptl.registry import find, kinds


class Bowls:
    """Two losses ½ c_t ‖x − a_t‖² of one shared point, and a parameter of each task's own."""

    def __init__(self, curvatures: tuple[float, float] = (1.0, 1.0)) -> None:
        self.x = torch.nn.Parameter(torch.zeros(2))
        self.own = torch.nn.Parameter(torch.ones(2))
        self.minima = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
        self.curvatures = torch.tensor(curvatures)

    def _losses(self) -> Tensor:
        return 0.5 * self.curvatures * ((self.x - self.minima) ** 2).sum(1) + 0.5 * self.own**2

    def backward(self, weights: Tensor) -> Tensor:
        values = self._losses()
        (values * weights.float()).sum().backward()
        return values.detach()

    def gradients(self, shared: list[torch.nn.Parameter]) -> tuple[Tensor, Tensor]:
        values = self._losses()
        self.own.grad = torch.autograd.grad(values.sum(), self.own, retain_graph=True)[0]
        rows = [torch.autograd.grad(value, shared, retain_graph=True)[0] for value in values]
        return values.detach(), torch.stack(rows)

    def values(self) -> Tensor:
        return self._losses().detach()


@pytest.mark.parametrize("kind", kinds("balance"))
def test_every_balance_descends_and_its_state_can_be_kept(kind: str) -> None:
    bowls = Bowls((1.0, 4.0))
    balancer = find("balance", kind)().start(2)
    optimizer = torch.optim.SGD([bowls.x, bowls.own], lr=0.05)
    first = bowls.values()
    for step in range(60):
        optimizer.zero_grad()
        values = balancer.backward(bowls, [bowls.x], (step + 1) / 60)
        assert values.shape == (2,)
        optimizer.step()
        balancer.after_step(bowls)
    assert float(bowls.values().sum()) < float(first.sum()) / 1.5
    assert all(torch.isfinite(tensor.double()).all() for tensor in balancer.state.values())


def test_equal_is_the_gradient_of_the_sum() -> None:
    bowls = Bowls()
    Equal().start(2).backward(bowls, [bowls.x], 0.5)
    torch.testing.assert_close(bowls.x.grad, torch.tensor([0.0, -1.0]))


def test_adam_is_torchs() -> None:
    ours, theirs, state = torch.tensor([1.0, -2.0]), torch.nn.Parameter(torch.tensor([1.0, -2.0])), {}
    optimizer = torch.optim.Adam([theirs], lr=0.1)
    for gradient in torch.tensor([[1.0, 0.5], [-0.3, 2.0], [0.0, 1.0]]):
        ours = adam(ours, gradient, state, lr=0.1)
        theirs.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(ours, theirs.detach())


def test_leave_puts_a_flat_gradient_back() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2, 1)), torch.nn.Parameter(torch.zeros(3))]
    leave(torch.arange(5.0), parameters)
    assert parameters[0].grad.tolist() == [[0], [1]] and parameters[1].grad.tolist() == [2, 3, 4]


# --- uncertainty: Kendall et al. 2018, eq. 10 -------------------------------------------------------------------------


def test_the_gradient_of_the_noise_is_autograds() -> None:
    s, values = torch.tensor([0.3, -1.0], requires_grad=True), torch.tensor([2.0, 0.1])
    ((-s).exp() * values + s / 2).sum().backward()
    torch.testing.assert_close(uncertainty.variance_gradient(s.detach(), values), s.grad)


def test_noise_settles_where_it_equals_twice_the_loss() -> None:
    """d/ds = 0 at σ² = 2 · loss."""
    balancer = Uncertainty(lr=0.05).start(2)
    for _ in range(2000):
        balancer.observe(torch.tensor([2.0, 0.1], dtype=torch.float64), 0.5)
    np.testing.assert_allclose(balancer.weights(0.5), [1 / 4, 1 / 0.2], rtol=1e-2)


# --- GradNorm: Chen et al. 2018, eq. 1-2 ------------------------------------------------------------------------------


def test_the_gradient_of_gradnorms_weights_by_hand_and_by_autograd() -> None:
    """G = (2, 6), mean 4; rates (0.5, 1) / 0.75 = (2/3, 4/3): targets (8/3, 16/3) at α = 1; one pulls too little."""
    weights = torch.tensor([1.0, 2.0], requires_grad=True)
    norms, now, first = torch.tensor([2.0, 3.0]), torch.tensor([0.5, 2.0]), torch.tensor([1.0, 2.0])
    found = gradnorm.weights_gradient(weights.detach(), norms, now, first, alpha=1.0)
    assert found.tolist() == [-2.0, 3.0]
    pulls = weights * norms
    targets = (pulls.mean() * torch.tensor([2 / 3, 4 / 3])).detach()
    (pulls - targets).abs().sum().backward()
    torch.testing.assert_close(found, weights.grad)


def test_gradnorm_draws_pulls_together_and_keeps_the_sum_of_weights() -> None:
    bowls = Bowls((1.0, 9.0))
    balancer = Gradnorm(alpha=0.0, lr=0.01).start(2)
    for _ in range(300):
        balancer.backward(bowls, [bowls.x], 0.5)
    _, gradients = bowls.gradients([bowls.x])
    pulls = balancer.state["weights"] * gradients.norm(dim=1)
    assert float(balancer.state["weights"].sum()) == pytest.approx(2)
    assert float(pulls[0]) == pytest.approx(float(pulls[1]), rel=0.05)


# --- PCGrad: Yu et al. 2020, algorithm 1 ------------------------------------------------------------------------------


def test_conflicting_gradients_lose_what_opposes_and_others_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    conflict = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    found = without_conflicts(conflict, generator)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    agree = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(without_conflicts(agree, generator), agree)


def test_of_two_tasks_each_projection_is_orthogonal_to_the_other_gradient() -> None:
    gradients = torch.randn(2, 50, generator=torch.Generator().manual_seed(1))
    gradients[1] -= 2 * gradients[0]
    found = without_conflicts(gradients, torch.Generator().manual_seed(0))
    assert (gradients @ gradients.T)[0, 1] < 0
    torch.testing.assert_close((found @ gradients.flip(0).T).diag(), torch.zeros(2), atol=1e-4, rtol=0)


def test_pcgrad_leaves_the_sum_of_projections_and_heads_their_own() -> None:
    bowls = Bowls()
    Pcgrad().start(2).backward(bowls, [bowls.x], 0.5)
    torch.testing.assert_close(bowls.x.grad, -torch.tensor([0.5, 1.5]))  # of gradients (-1, 0) and (1, -1)
    torch.testing.assert_close(bowls.own.grad, torch.ones(2))


# --- DWA: Liu et al. 2019, eq. 7 --------------------------------------------------------------------------------------


def test_rate_weights_by_hand() -> None:
    """Rates 1 and 0.5: 2 · softmax(0.5, 0.25)."""
    found = dwa.rate_weights(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 2.0]), temperature=2.0)
    slow = 2 / (1 + np.exp(-0.25))
    np.testing.assert_allclose(found, [slow, 2 - slow], rtol=1e-6)


def test_dwa_compares_the_last_two_spans() -> None:
    balancer = Dwa(spans=4).start(2)
    for progress, losses in ((0.1, [4.0, 4.0]), (0.2, [2.0, 2.0]), (0.3, [3.0, 1.0])):
        torch.testing.assert_close(balancer.weights(progress), torch.ones(2))
        balancer.observe(torch.tensor(losses), progress)
    expected = dwa.rate_weights(torch.tensor([3.0, 1.0]), torch.tensor([3.0, 3.0]), 2.0)
    torch.testing.assert_close(balancer.weights(0.6).float(), expected)


# --- FAMO: Liu et al. 2023, algorithm 1 -------------------------------------------------------------------------------


def test_famos_weights_are_the_gradient_of_the_weighed_log_losses() -> None:
    logits, values = torch.tensor([0.5, -0.5]), torch.tensor([2.0, 0.5], requires_grad=True)
    z = logits.softmax(0)
    c = (z / values).sum().detach()
    ((values.log() * z) / c).sum().backward()
    torch.testing.assert_close(famo.rate_weights(logits, values.detach()), values.grad)


def test_famos_logits_follow_the_jacobian_of_the_softmax() -> None:
    logits = torch.tensor([0.2, 0.1, -0.4], requires_grad=True)
    before, after = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.9, 1.0, 3.1])
    fall = before.log() - after.log()
    [expected] = torch.autograd.grad(logits.softmax(0), logits, grad_outputs=fall)
    torch.testing.assert_close(famo.logits_gradient(logits.detach(), before, after), expected)


def test_famo_comes_to_favour_the_task_that_falls_least() -> None:
    bowls = Bowls((1.0, 1.0))
    balancer = Famo(lr=0.1).start(2)
    for _ in range(20):
        balancer.state["before"] = torch.tensor([1.0, 1.0], dtype=torch.float64)
        bowls.values = lambda: torch.tensor([0.5, 0.9])
        balancer.after_step(bowls)
    assert balancer.state["logits"][1] > balancer.state["logits"][0] + 0.5


def test_a_task_without_a_row_in_the_step_neither_takes_the_weight_nor_learns_from_a_loss_of_0() -> None:
    with_all, without = torch.tensor([2.0, 0.5, 1.0]).double(), torch.tensor([2.0, 0.0, 1.0]).double()
    logits = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(famo.rate_weights(logits, without), torch.tensor([1 / 3, 0.0, 2 / 3]).double())
    slope = famo.logits_gradient(logits, without, torch.tensor([1.0, 0.0, 1.0]).double())
    torch.testing.assert_close(slope, torch.tensor([1.0, 0.0, -1.0]).double() * np.log(2) / 4)

    ones = torch.ones(3, dtype=torch.float64)
    of_two = gradnorm.weights_gradient(ones[:2], torch.tensor([2.0, 1.0]).double(), with_all[[0, 2]], ones[:2], 1.0)
    slope = gradnorm.weights_gradient(ones, torch.tensor([2.0, 0.0, 1.0]).double(), without, ones, 1.0)
    torch.testing.assert_close(slope[[0, 2]], of_two)
    assert slope[1] == 0

    noise = uncertainty.Uncertainty().start(3)
    noise.observe(without, 0.0)
    assert noise.state["log_variance"][1] == 0 != noise.state["log_variance"][0]

    rates = dwa.Dwa(spans=3).start(2)
    for progress, values in ((0.1, [1.0, 2.0]), (0.2, [1.0, 0.0]), (0.5, [0.5, 0.0])):
        rates.observe(torch.tensor(values).double(), progress)
    torch.testing.assert_close(rates.state["sums"][0] / rates.state["counts"][0], torch.tensor([1.0, 2.0]).double())
    expected = dwa.rate_weights(torch.tensor([0.5, 1.0]).double(), torch.ones(2).double(), 2.0)
    torch.testing.assert_close(rates.weights(0.9), expected)


def test_a_balance_is_refused_where_nothing_that_tasks_share_learns() -> None:
    sections = {
        "data": {"kind": "csv", "path": "mail.csv"}, "heads": {"a": {"kind": "mlp"}, "b": {"kind": "linear"}},
        "balance": {"kind": "pcgrad"},
    }  # fmt: skip
    with pytest.raises(RecipeError, match=r"balance\.kind: pcgrad weighs what tasks do to the weights that they share"):
        Recipe(**sections)
    assert Recipe(**sections | {"tune": {"kind": "lora"}}).balance.kind == "pcgrad"
