"""Sequences end to end: the same hidden states as side by side, to the bit on the default encoder, and gradients."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bodies import tiny_body

from nlptl.encoder import _packed
from nlptl.encoder._packed import FIRST_POSITION, attend, packs, run_packed
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import TokenBatch, tokenize
from nlptl.recipe import Encoder

LENGTHS = (3, 17, 8, 1)
TEXTS = ["win a prize", "the meeting is on monday " * 3, "x", "please find the report of the company and read it"]


def batch(*, types: bool = False) -> TokenBatch:
    """Sequences of unlike lengths."""
    mask = torch.arange(20) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(3, 50, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    kinds = (torch.arange(20) > 4).long().expand_as(ids) * mask if types else None
    return TokenBatch(ids, mask.long(), kinds, torch.arange(len(ids)), len(ids))


@pytest.mark.parametrize("family", FIRST_POSITION)
def test_hidden_states_are_those_of_the_padded_batch(family: str) -> None:
    body, given = tiny_body(family), batch(types=family in ("bert", "electra"))
    assert packs(body, given)
    packed = run_packed(body, given, output_hidden_states=True)
    padded = body(**given.given(), output_hidden_states=True)
    real = given.attention_mask.bool()
    for one, other in zip(packed.hidden_states, padded.hidden_states, strict=True):
        torch.testing.assert_close(one[real], other[real], atol=1e-6, rtol=1e-6)
        assert not one[~real].any()
    assert torch.equal(packed.last_hidden_state, packed.hidden_states[-1])
    assert body.config._attn_implementation == "sdpa"


def test_gradients_are_those_of_the_padded_batch() -> None:
    body, given = tiny_body("bert"), batch()
    real = given.attention_mask.bool()
    found = []
    for run in (lambda: run_packed(body, given, output_hidden_states=False), lambda: body(**given.given())):
        body.zero_grad()
        run().last_hidden_state[real].pow(2).sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in body.parameters() if p.grad is not None]))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def test_attention_with_dropout_is_torchs_of_what_is_kept() -> None:
    """At a rate that rounds to none, values and gradients are torch's own; at one half, its mean over many draws."""
    torch.manual_seed(0)
    parts = [torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = (torch.arange(5) < torch.tensor([5, 2])[:, None])[:, None, None, :]
    given, wanted = (attend(*parts, mask, dropout, 0.7) for dropout in (1e-9, 0.0))
    torch.testing.assert_close(given, wanted)
    gradients = [torch.autograd.grad(found.square().sum(), parts) for found in (given, wanted)]
    torch.testing.assert_close(*gradients)
    drawn = torch.stack([attend(*parts, mask, 0.5, 0.7) for _ in range(4000)])
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(drawn.mean(0), wanted, atol=0.1, rtol=0)


def test_what_cannot_run_packed_does_not() -> None:
    body, given = tiny_body("bert"), batch()
    full = replace(given, attention_mask=torch.ones_like(given.attention_mask))
    assert not packs(body, full)
    assert packs(body.train(), full)
    body.eval()
    assert not packs(tiny_body("deberta-v2"), given)
    hook = body.get_input_embeddings().register_forward_hook(lambda module, args, found: found)
    assert not packs(body, given)
    hook.remove()
    assert packs(body, given)


@pytest.mark.parametrize("model", ["tiny", "default"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_text_has_the_same_vector_packed_padded_and_alone(
    tiny_encoder: object, monkeypatch: pytest.MonkeyPatch, model: str, precision: str
) -> None:
    """On one thread; several share products out by the size of the batch, and padded vectors then differ by 1e-6."""
    name = str(tiny_encoder) if model == "tiny" else "default"
    backbone = Backbone.load(Encoder(model=name, max_length=40)).freeze(precision)
    tokens = tokenize(backbone, TEXTS)
    readings = ("last", "layers")

    @torch.inference_mode()
    def vectors(rows: list[int]) -> torch.Tensor:
        found = backbone(tokens.batch(np.array(rows)), readings)
        return torch.cat([found[name] for name in readings], 1)

    together = vectors([0, 1, 2, 3])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = vectors([0, 1, 2, 3])
        torch.testing.assert_close(together, one, atol=1e-5 if precision == "float32" else 0.05, rtol=0)
        _same_to_the_bit(one, vectors, monkeypatch)
    finally:
        torch.set_num_threads(threads)


def _same_to_the_bit(
    together: torch.Tensor, vectors: Callable[[list[int]], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch.equal(together[[2, 0]], vectors([2, 0]))
    assert torch.equal(together, torch.cat([vectors([row]) for row in range(4)]))
    monkeypatch.setattr(_packed, "FULL", -1.0)
    assert torch.equal(together, vectors([0, 1, 2, 3]))
