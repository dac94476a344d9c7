"""A training for as long as an earlier one found: the same steps under the same schedules, cut off, and resumable."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from logged_training import Interrupted
from train_network import make_examples, make_network

from nlptl.model import Examples, Network
from nlptl.recipe import Train
from nlptl.train.loop import moving, train
from nlptl.train.state import Length

SETTINGS: dict[str, Any] = {"epochs": 5, "batch_tokens": 128, "lr": 0.05, "checkpoint_steps": 3}


def learned(
    network: Network, folder: Path, *, length: Length | None = None, validation: Examples | None = None,
    resume: bool = False, stop_after: int | None = None, **settings: Any,
) -> tuple[list[dict[str, Any]], Length, list[tuple[int, int]]]:  # fmt: skip
    """What the loop returns, and what it told of its progress."""
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == stop_after:
            raise Interrupted

    logged, reached = train(
        network, make_examples(network), validation=validation, settings=Train(**SETTINGS | settings), seed=3,
        folder=folder, fingerprint="f", resume=resume, accelerator=Accelerator(cpu=True), log=lambda entry: None,
        progress=progress, length=length,
    )  # fmt: skip
    return logged, reached, told


def turned(examples: Examples, task: str) -> Examples:
    """Rows whose labels of ``task`` are the other way round: the more it learns, the worse it does on them."""
    labels = examples.labels[task]
    other = labels.copy()
    other[labels >= 0] = len(examples.tasks[task].labels) - 1 - labels[labels >= 0]
    return replace(examples, labels={**examples.labels, task: other})


@pytest.mark.parametrize("way", [{}, {"average": "ema"}, {"average": "swa", "average_start": 0.1}, {"max_steps": 9}])
def test_it_comes_to_the_weights_that_were_kept(tiny_encoder: Path, tmp_path: Path, way: dict[str, Any]) -> None:
    judged, again = make_network(tiny_encoder), make_network(tiny_encoder)
    examples = turned(turned(make_examples(judged), "kind"), "topic")
    whole, length, _ = learned(judged, tmp_path / "a", validation=examples, **way)
    assert 1 <= length.epochs < 5 and not length.stopped
    logged, reached, told = learned(again, tmp_path / "b", length=length, **way)
    assert reached.epochs == length.epochs == logged[-1]["epoch"]
    assert told[-1] == (len(logged), len(logged)) and len(logged) < len(whole) + ("max_steps" in way)
    assert [entry["lr"] for entry in logged] == [entry["lr"] for entry in whole[: len(logged)]]
    after = dict(moving(again))
    for name, found in moving(judged):
        assert torch.equal(found, after[name]), name


def test_a_task_stops_where_it_stopped(tiny_encoder: Path, tmp_path: Path) -> None:
    judged, again = make_network(tiny_encoder), make_network(tiny_encoder)
    examples = turned(make_examples(judged), "topic")
    patient: dict[str, Any] = {"patience": 1, "lr": 0.01, "decay": "constant", "warmup": 0.0}
    whole, length, _ = learned(judged, tmp_path / "a", validation=examples, **patient)
    assert length.stopped["topic"] < whole[-1]["epoch"]
    length = Length(whole[-1]["epoch"], {"topic": length.stopped["topic"]})
    logged, _, _ = learned(again, tmp_path / "b", length=length, **patient)
    assert [entry["loss topic"] > 0 for entry in logged] == [entry["loss topic"] > 0 for entry in whole]
    assert {entry["epoch"] for entry in logged if entry["loss topic"] > 0} == {*range(1, length.stopped["topic"] + 1)}


def test_both_trainings_resume_to_the_same_bits(tiny_encoder: Path, tmp_path: Path) -> None:
    """The first one's length is in its checkpoint; the second one ends there too when it was broken off."""
    judged, again, whole, broken, resumed = (make_network(tiny_encoder) for _ in range(5))
    examples = turned(make_examples(judged), "topic")
    how: dict[str, Any] = {"validation": examples, "patience": 1}
    _, length, _ = learned(judged, tmp_path / "a", **how)
    assert length.stopped
    _, same, told = learned(again, tmp_path / "a", resume=True, **how)
    assert same == length and not told
    length = Length(3, {"topic": 1})
    logged, _, _ = learned(whole, tmp_path / "b", length=length)
    with pytest.raises(Interrupted):
        learned(broken, tmp_path / "c", length=length, stop_after=4)
    found, _, told = learned(resumed, tmp_path / "c", length=length, resume=True)
    assert found == logged and told[-1] == (len(logged), len(logged))
    after = dict(moving(resumed))
    for name, weights in moving(whole):
        assert torch.equal(weights, after[name]), name


def test_no_epoch_is_no_step(tiny_encoder: Path, tmp_path: Path) -> None:
    logged, length, told = learned(make_network(tiny_encoder), tmp_path, epochs=0)
    assert (logged, length, told) == ([], Length(0), [])
