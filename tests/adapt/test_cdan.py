"""CDAN: products of features and answers, the weights of rows, both by hand."""

import math

import numpy as np
import pytest
import torch
from turned_features import accuracy_on_target, rotated, step_of

from nlptl.adapt.cdan import Cdan, certainty, multilinear
from nlptl.contracts.adapt import View


def view(probabilities: torch.Tensor) -> View:
    rows = len(probabilities)
    return View(torch.zeros(rows, 2), torch.zeros(rows, 1), probabilities, torch.full((rows,), -1))


def test_the_product_by_hand() -> None:
    found = multilinear(torch.tensor([[2.0, 3.0]]), torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 1.5, 0.75, 2.25]]))
    rng = np.random.default_rng(0)
    f, g = rng.normal(size=(4, 3)), rng.random((4, 5))
    expected = np.einsum("nd,nc->ndc", f, g).reshape(4, 15)
    np.testing.assert_allclose(multilinear(torch.from_numpy(f), torch.from_numpy(g)).numpy(), expected)


def test_sure_rows_weigh_more() -> None:
    """A sure answer has entropy 0 and weight 2, an even one ln 2 and weight 1.5; their mean is 1.75."""
    found = certainty(view(torch.tensor([[1.0, 0.0], [0.5, 0.5]])))
    torch.testing.assert_close(found, torch.tensor([2 / 1.75, 1.5 / 1.75]))


def test_equal_answers_make_it_dann_over_doubled_features() -> None:
    """Where every answer is the same, the product tells no more than the features, and the weights are all 1."""
    step = step_of(rotated())
    torch.manual_seed(0)
    layers = Cdan().layers(2, 2)
    plain, weighed = (Cdan(entropy=on).loss(step, layers) for on in (False, True))
    torch.testing.assert_close(plain, weighed)


def test_answers_apart_tell_sides_apart_that_features_do_not() -> None:
    """The same features on both sides, answered unlike: the layers learn who is who."""
    shift = rotated(degrees=0)
    shift = type(shift)(shift.source, shift.labels, shift.source, shift.labels)
    step = step_of(shift, logits=(np.full(200, 3.0), np.full(200, -3.0)))
    torch.manual_seed(0)
    layers = Cdan(weight=0.0).layers(2, 2)
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = Cdan(weight=0.0).loss(step, layers)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5 * math.log(2)
    assert float(Cdan().loss(step_of(shift), layers).detach()) > 0.9 * math.log(2)


def test_one_layer_reads_every_product() -> None:
    assert Cdan().layers(3, 4)[0].in_features == 12
    assert Cdan(weight=0.3).factor(0.2) == pytest.approx(1.0)


def test_it_wins_where_features_turn() -> None:
    """On this draw, as with dann."""
    shift = rotated()
    assert accuracy_on_target(shift, Cdan(weight=1.0)) > accuracy_on_target(shift) + 0.04
