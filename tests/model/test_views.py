"""Views of a batch: what is left out, rows mixed with one another, and the losses that come of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from train_network import make_examples, make_network

from nlptl.augment import Cutoff, Mixup
from nlptl.augment._cut import kept_features, kept_tokens
from nlptl.encoder._lower import frozen_layers, with_lower
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import TokenBatch
from nlptl.model import Batch, Network
from nlptl.model.views import jensen_shannon, mixed, shares_of_task
from nlptl.recipe import Encoder
from nlptl.train.batches import share_of
from nlptl.train.views import StepViews, gathered_places
from nlptl.tune import TopLayers

CPU = torch.device("cpu")


def batch_of(*lengths: int, owners: tuple[int, ...] | None = None) -> TokenBatch:
    mask = torch.tensor([[1] * length + [0] * (16 - length) for length in lengths])
    whose = torch.arange(len(lengths)) if owners is None else torch.tensor(owners)
    ids = torch.arange(5, 5 + 16).expand_as(mask) * mask
    return TokenBatch(ids, mask, None, whose, int(whose.max()) + 1)


@pytest.mark.parametrize("in_a_row", [True, False])
def test_a_share_of_the_inner_tokens_is_left_out(in_a_row: bool) -> None:
    """Of 12 tokens ten are inner ones, of which .3 are 3; a text of one inner token stays whole."""
    tokens = batch_of(12, 3, 16)
    kept = kept_tokens(tokens, np.array([5, 6, 7]), 0.3, in_a_row=in_a_row)
    gone = (tokens.attention_mask - kept).bool()
    assert gone.sum(1).tolist() == [3, 0, 4]
    assert not gone[:, 0].any() and not gone[0, 11] and not gone[2, 15]
    places = gone[2].nonzero().flatten()
    assert (int(places[-1] - places[0]) == 3) == in_a_row


@pytest.mark.parametrize("between", [[3], [3, 3]], ids=["bert", "roberta"])
@pytest.mark.parametrize("in_a_row", [True, False])
def test_what_parts_a_pair_is_never_left_out(in_a_row: bool, between: list[int]) -> None:
    """Three tokens of each text, half of all left out: which ones, varies; the separators stay."""
    ids = torch.tensor([2, 11, 12, 13, *between, 14, 15, 16, 3, 0, 0])
    rows = 40
    tokens = TokenBatch(ids.expand(rows, -1), (ids > 0).long().expand(rows, -1), None, torch.arange(rows), rows)
    kept = kept_tokens(tokens, np.arange(rows), 0.5, in_a_row=in_a_row).bool()
    assert kept[:, (ids == 2) | (ids == 3)].all() and not kept[:, ids == 0].any()
    assert ((~kept & (ids > 0)).sum(1) == 3).all() and not kept[:, ids > 10].all(0).any()


def test_a_row_draws_the_same_whatever_is_beside_it() -> None:
    one = kept_tokens(batch_of(12, 14), np.array([5, 6]), 0.3, in_a_row=False)
    other = kept_tokens(batch_of(14), np.array([6]), 0.3, in_a_row=False)
    assert torch.equal(one[1], other[0])


def test_features_are_left_out_in_all_tokens_of_a_text() -> None:
    kept = kept_features(batch_of(5, 9, owners=(0, 0)), 20, np.array([3]), 0.1)
    assert kept.shape == (2, 1, 20) and (kept == 0).sum((1, 2)).tolist() == [2, 2]


def test_jensen_shannon_by_hand() -> None:
    """Sure and opposite answers differ by ln 2; (.5, .5) and (1, 0) by ½ (ln(1 / .75) + ½ ln(.5 / .75) + ½ ln 2)."""
    sure, other = torch.tensor([[40.0, 0.0]]), torch.tensor([[0.0, 40.0]])
    assert float(jensen_shannon(sure, other, "softmax")) == pytest.approx(np.log(2))
    expected = 0.5 * (np.log(1 / 0.75) + 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert float(jensen_shannon(torch.zeros(1, 2), sure, "softmax")) == pytest.approx(expected, rel=1e-5)
    assert float(jensen_shannon(torch.zeros(1, 1), sure[:, :1], "sigmoid")) == pytest.approx(expected, rel=1e-5)
    assert float(jensen_shannon(sure, sure, "softmax")) == pytest.approx(0, abs=1e-7)


def test_mixed_rows_by_hand() -> None:
    own, others = torch.tensor([[1.0, 0.0], [4.0, 2.0]]), torch.tensor([[3.0, 2.0], [0.0, 0.0]])
    assert mixed(own, others, torch.tensor([0.5, 0.25])).tolist() == [[2.0, 1.0], [1.0, 0.5]]


@pytest.mark.parametrize(("rows", "world"), [(7, 2), (3, 4), (5, 1)])
def test_rows_are_found_where_processes_put_them(rows: int, world: int) -> None:
    gathered = np.concatenate([share_of(np.arange(rows), rank=rank, world=world) for rank in range(world)])
    assert gathered[gathered_places(rows, world)].tolist() == list(range(rows))


@pytest.fixture
def network(tiny_encoder: Path) -> Network:
    return make_network(tiny_encoder)


def shown(network: Network, way: Cutoff | Mixup, rows: int = 12) -> Batch:
    examples, own = make_examples(network), np.arange(rows)
    views = StepViews.of(network, [way], (0, 3))
    assert views is not None
    batch = examples.batch(own, CPU)
    return views.shown(batch, examples, own, own, number=0, world=1, device=CPU)


def test_mixup_is_the_loss_of_mixed_vectors_under_either_label(network: Network) -> None:
    batch = shown(network, Mixup(alpha=1.0))
    partners = batch.partners
    assert partners is not None and float(partners.shares.min()) > 0 and float(partners.shares.max()) < 1
    losses = network.train()(batch)["topic"]
    vectors = network.backbone(batch.tokens, ["last"])["last"]
    share = shares_of_task(partners, batch.labelled, "topic")
    assert (share == 1).any() and (share < 1).any()  # a partner without the label leaves a row as it is
    logits = network.heads["topic"]({"last": mixed(vectors, vectors[partners.places], share)})
    soft = mixed(batch.targets["topic"], partners.batch.targets["topic"], share)
    expected = -(soft * logits.log_softmax(1)).sum(1)[batch.labelled["topic"]]
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("of", ["token", "span", "feature"])
def test_cutoff_adds_the_loss_of_the_cut_text_and_the_disagreement(network: Network, of: str) -> None:
    batch = shown(network, Cutoff(of=of, share=0.4))
    assert batch.cut is not None
    network.train()
    plain = network(replace(batch, cut=None))["kind"]
    agree, lose, both = (
        network(replace(batch, cut=replace(batch.cut, way=Cutoff(of=of, loss=loss, agree=agree))))["kind"]
        for loss, agree in ((0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
    )
    assert (agree >= plain).all() and (agree > plain).any()
    assert (lose > plain).all() and not torch.allclose(lose, 2 * plain)
    torch.testing.assert_close(both - plain, (agree - plain) + (lose - plain))
    torch.testing.assert_close(network(replace(batch, cut=None))["kind"], plain)  # nothing of it is left behind


@pytest.mark.parametrize("of", ["token", "span", "feature"])
def test_what_is_cut_is_cut_for_frozen_lower_layers_too(tiny_encoder: Path, of: str) -> None:
    network = make_network(tiny_encoder)
    network.backbone = TopLayers(layers=1).apply(Backbone.load(Encoder(model=str(tiny_encoder), max_length=32)))
    network.backbone.switch_off_dropout().freeze("float32")
    examples, own = make_examples(network), np.arange(12)
    assert examples.tokens is not None and frozen_layers(network.backbone.body) == 1
    kept = replace(examples, tokens=with_lower(network.backbone, examples.tokens, network.readings))
    views = StepViews.of(network, [Cutoff(of=of, share=0.4)], (0, 3))
    assert views is not None
    losses = []
    for each in (examples, kept):
        batch = views.shown(each.batch(own, CPU), each, own, own, number=0, world=1, device=CPU)
        assert batch.tokens is not None and (batch.tokens.lower is not None) == (each is kept)
        losses.append(network.train()(batch)["kind"])
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)


def test_a_process_without_a_share_makes_no_loss_but_has_gradients(network: Network) -> None:
    for way in (None, Cutoff(), Mixup()):
        batch = make_examples(network).batch(np.arange(1), CPU) if way is None else shown(network, way, rows=1)
        losses = network.train()(batch.emptied())
        assert {name: len(found) for name, found in losses.items()} == {"kind": 0, "topic": 0}
        network.zero_grad()
        sum(found.sum() for found in losses.values()).backward()
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in learning)
