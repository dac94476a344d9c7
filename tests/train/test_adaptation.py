"""Rows of the target beside rows that teach: which, how many, without labels, and with a pull on what learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from train_network import TERMS, make_adaptation, make_examples, make_network

from nlptl.model import Batch
from nlptl.registry import find
from nlptl.train.adaptation import batch_rows
from nlptl.train.gather import gathered

CPU = torch.device("cpu")


def test_both_sides_show_all_their_rows_in_turn(tiny_encoder: Path) -> None:
    adaptation = make_adaptation(make_network(tiny_encoder), "coral")
    assert (len(adaptation.source), len(adaptation.target)) == (60, 25)
    steps = adaptation.batches(20, seed=0)
    assert {len(rows) for step in steps for rows in step} == {9}
    for side, count in enumerate((60, 25)):
        stream = np.concatenate([step[side] for step in steps])
        for turn in range(len(stream) // count):
            assert sorted(stream[count * turn : count * (turn + 1)]) == list(range(count))
    again, other = (adaptation.batches(20, seed=seed)[3][0] for seed in (0, 1))
    assert np.array_equal(again, steps[3][0]) and not np.array_equal(other, again)


def test_the_targets_labels_are_not_there(tiny_encoder: Path) -> None:
    adaptation = make_adaptation(make_network(tiny_encoder), "mmd")
    batch = adaptation.target.batch(np.arange(25), CPU)
    assert not any(labelled.any() for labelled in batch.labelled.values())


@pytest.mark.parametrize("kind", TERMS)
def test_a_terms_gradient_is_added_to_what_is_there(tiny_encoder: Path, kind: str) -> None:
    network = make_network(tiny_encoder)
    adaptation = make_adaptation(network, kind)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:  # at zero it would hide the gradient of lora_A
            torch.nn.init.normal_(parameter, std=0.1)
        if name.startswith("heads"):  # answers that are sure enough to be taught
            parameter.data *= 30
    body = {name: parameter for name, parameter in network.named_parameters() if "lora" in name}
    rows, accelerator = (np.arange(12), np.arange(12)), Accelerator(cpu=True)
    assert set(adaptation.backward(rows, 0.5, accelerator)) == {kind}
    alone = {name: parameter.grad.clone() for name, parameter in body.items() if parameter.grad is not None}
    assert alone.keys() == body.keys() and all(gradient.abs().max() > 0 for gradient in alone.values())

    network.zero_grad()
    sum(part.sum() for part in network(make_examples(network).batch(rows[0], CPU)).values()).backward()
    before = {name: parameter.grad.clone() for name, parameter in body.items()}  # type: ignore[union-attr]
    adaptation.backward(rows, 0.5, accelerator)
    for name, parameter in body.items():
        torch.testing.assert_close(parameter.grad, before[name] + alone[name])


@pytest.mark.parametrize("kind", TERMS)
def test_rows_that_teach_are_run_only_for_terms_that_compare(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    network = make_network(tiny_encoder)
    adaptation = make_adaptation(network, kind)
    asked: list[int] = []
    run = network.last_layers

    def counting(batch: Batch) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        asked.append(len(next(iter(batch.targets.values()))))
        return run(batch)

    monkeypatch.setattr(network, "last_layers", counting)
    adaptation.loss((np.arange(7), np.arange(4)), 0.5, Accelerator(cpu=True))
    assert (7 in asked) == find("adapt", kind).compares
    assert 4 in asked


def test_rows_a_batch_keep_to_the_tokens_whichever_they_are() -> None:
    assert batch_rows(np.array([3, 10]), np.array([64, 5]), 2048) == 32
    assert batch_rows(np.array([1, 1]), np.array([1]), 2048) == 64
    assert batch_rows(np.array([500]), np.array([1]), 256) == 2


def test_one_process_gathers_what_it_has() -> None:
    rows = torch.ones(3, 2)
    assert gathered(rows, 3) is rows
