"""The loop: it learns, it resumes to the same bits, it stops on what is not a number, many processes agree with one."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import train_network
from accelerate import Accelerator
from logged_training import SETTINGS, Interrupted, run
from safetensors.torch import load_file
from train_network import make_examples, make_network

from nlptl.encoder.backbone import Backbone
from nlptl.errors import RunError
from nlptl.model import Examples, Network
from nlptl.recipe import Encoder, Train
from nlptl.registry import find, kinds
from nlptl.train.loop import held_out_losses, plan_steps
from nlptl.train.losses import StepLosses, cosines
from nlptl.train.state import TrainingState
from nlptl.tune import Gradual


@pytest.fixture
def network(tiny_encoder: Path) -> Network:
    return make_network(tiny_encoder)


def held_out(network: Network, examples: Examples) -> float:
    return sum(held_out_losses(network, examples, SETTINGS, Accelerator(cpu=True)).values())


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}


def test_it_learns_and_leaves_the_frozen_weights_alone(network: Network, tmp_path: Path) -> None:
    examples = make_examples(network)
    frozen = {name: p.clone() for name, p in network.named_parameters() if not p.requires_grad}
    learning = weights(network)
    before = held_out(network, examples)
    run(network, examples, tmp_path, settings=Train(epochs=15, batch_tokens=128, lr=3e-2, checkpoint_steps=1000))
    assert held_out(network, examples) < before / 2
    for name, parameter in network.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name]), name
        else:
            assert not torch.equal(parameter, learning[name]), name


@pytest.mark.parametrize(
    ("stop_after", "balance"),
    [(3, "equal"), (4, "equal"), (7, "equal"), (11, "equal")] + [(7, kind) for kind in kinds("balance")],
)
def test_a_broken_off_run_resumes_to_the_same_bits(
    tiny_encoder: Path, tmp_path: Path, stop_after: int, balance: str
) -> None:
    whole, broken, resumed = (make_network(tiny_encoder) for _ in range(3))
    examples = make_examples(whole)
    history = run(whole, examples, tmp_path / "a", balance=balance)
    with pytest.raises(Interrupted):
        run(broken, examples, tmp_path / "b", stop_after=stop_after, balance=balance)
    again = run(resumed, examples, tmp_path / "b", resume=True, balance=balance)
    assert again == history
    for name, parameter in weights(whole).items():
        assert torch.equal(parameter, weights(resumed)[name]), name


def test_resuming_another_recipes_checkpoint_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    network = make_network(tiny_encoder)
    run(network, make_examples(network), tmp_path)
    with pytest.raises(RunError, match="another recipe, other data or another encoder"):
        run(network, make_examples(network), tmp_path, resume=True, fingerprint="g")


def test_accumulated_batches_have_the_gradient_of_their_union(tiny_encoder: Path, tmp_path: Path) -> None:
    """One step over two batches of 30 rows is one step over one batch of 60."""
    apart, together = make_network(tiny_encoder), make_network(tiny_encoder)
    examples = make_examples(apart)
    one_step = {"epochs": 1, "optimizer": "adam", "lr": 1e-2, "warmup": 0.0, "decay": "constant"}
    run(apart, examples, tmp_path / "a", settings=Train(batch_rows=30, accumulate=2, **one_step))
    run(together, examples, tmp_path / "b", settings=Train(batch_rows=60, **one_step))
    for name, parameter in weights(apart).items():
        torch.testing.assert_close(parameter, weights(together)[name], atol=1e-5, rtol=0, msg=name)


def test_with_validation_the_best_epoch_is_kept_and_patience_ends_the_run(tiny_encoder: Path, tmp_path: Path) -> None:
    network = make_network(tiny_encoder)
    examples = make_examples(network)
    settings = Train(epochs=8, batch_tokens=128, lr=0.5, decay="constant", patience=2)
    logged = run(network, examples, tmp_path, settings=settings, validation=examples)
    losses = [entry["validation_loss"] for entry in logged if "validation_loss" in entry]
    assert int(np.argmin(losses)) < len(losses) - 1 < 7, losses
    kept = held_out(network, examples)
    assert kept == pytest.approx(min(losses), rel=1e-6)


def test_a_loss_that_is_not_a_number_names_the_rows_and_keeps_the_checkpoint(network: Network, tmp_path: Path) -> None:
    examples = make_examples(network)
    poisoned = Examples(
        ids=examples.ids, tasks=examples.tasks, labels=examples.labels, lengths=examples.lengths,
        tokens=examples.tokens, offsets={"kind": np.full((60, 1), np.nan)},
    )  # fmt: skip
    run(network, examples, tmp_path)
    kept = sorted(tmp_path.glob("step-*"))
    with pytest.raises(RunError, match=r"stopped at step 1, epoch 1: loss nan.*row\d+.*lower train.lr"):
        run(network, poisoned, tmp_path)
    assert sorted(tmp_path.glob("step-*")) == kept


def test_the_plan_visits_every_row_once_an_epoch_and_is_cut_at_max_steps() -> None:
    lengths = np.random.default_rng(0).integers(3, 90, 500)
    steps = plan_steps(lengths, Train(epochs=2, batch_tokens=512, accumulate=3), seed=1)
    for epoch in range(2):
        rows = np.concatenate([batch for step in steps if step.epoch == epoch for batch in step.batches])
        assert sorted(rows) == list(range(500))
    assert [step.ends_epoch for step in steps].count(True) == 2
    cut = plan_steps(lengths, Train(batch_tokens=512, max_steps=2), seed=1)
    assert [step.ends_epoch for step in cut] == [False, True]  # what the last step learned is judged
    other = plan_steps(lengths, Train(epochs=2, batch_tokens=512, accumulate=3), seed=2)
    assert not np.array_equal(steps[0].batches[0], other[0].batches[0])


def test_two_processes_agree_with_one(tiny_encoder: Path, tmp_path: Path) -> None:
    """Dropout 0, 20 steps under every balance, with each term of adapt, batch norm, averages and views of batches: the
    same weights within 1e-4, running statistics among them."""
    script = Path(train_network.__file__)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for processes in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        subprocess.run([*command, str(script), str(tiny_encoder), str(tmp_path / f"{processes}.safetensors")],
                       check=True, env=environment, capture_output=True, timeout=240)  # fmt: skip
    one, two = (load_file(tmp_path / f"{processes}.safetensors") for processes in (1, 2))
    assert one.keys() == two.keys() and {name.split("/")[0] for name in one} == {
        *kinds("balance"),
        *train_network.TERMS,
        *train_network.PER_TASK,
        *train_network.BESIDES,
        "tapt",
        "before",
    }
    moved = max(float(tensor.abs().max()) for name, tensor in one.items() if "lora_B" in name)
    assert moved > 1e-2  # it did train
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-4, rtol=0, msg=name)


def test_a_task_that_gets_no_better_stops_alone(network: Network, tmp_path: Path) -> None:
    """Labels of ``topic`` are turned round for validation: it stops, its head stays, ``kind`` goes on."""
    examples = make_examples(network)
    turned = {name: (2 - labels if name == "topic" else labels) for name, labels in examples.labels.items()}
    turned["topic"][examples.labels["topic"] < 0] = -1
    validation = replace(examples, labels=turned)
    settings = Train(epochs=6, batch_tokens=128, lr=3e-2, decay="constant", warmup=0.0, patience=2)
    logged = run(network, examples, tmp_path, settings=settings, validation=validation)
    taught = [(entry["epoch"], entry["loss kind"] > 0, entry["loss topic"] > 0) for entry in logged]
    assert {epoch for epoch, _, topic in taught if topic} < {epoch for epoch, kind, _ in taught if kind}


def test_a_task_that_no_validation_row_judges_teaches_to_the_end(network: Network, tmp_path: Path) -> None:
    examples = make_examples(network)
    unlabelled = {"topic": np.full_like(examples.labels["topic"], -1)}
    validation = replace(examples, labels={**examples.labels, **unlabelled})
    settings = Train(epochs=4, batch_tokens=128, lr=1e-2, decay="constant", patience=1)
    assert held_out_losses(network, validation, settings, Accelerator(cpu=True)).keys() == {"kind"}
    logged = run(network, examples, tmp_path, settings=settings, validation=validation)
    assert {entry["epoch"] for entry in logged if entry["loss topic"] > 0} == {1, 2, 3, 4}


def test_epochs_whose_loss_is_no_number_are_no_better_and_not_the_first(network: Network, tmp_path: Path) -> None:
    """``topic`` stops after two epochs without a better loss; a run that has nothing to keep says so."""
    optimizer = torch.optim.AdamW(network.heads.parameters())
    state = TrainingState(dict(network.heads.named_parameters()), optimizer, find("balance", "equal")().start(2))
    for epoch, topic in enumerate([1.0, float("nan"), float("inf")], start=1):
        state.judge({"kind": 1 / epoch, "topic": topic}, 2, epoch=epoch)
    assert (state.best_epoch, state.stopped_tasks, state.stopped) == (1, {"topic": 3}, False)
    examples = make_examples(network)
    poisoned = replace(examples, offsets={"topic": np.full((60, 3), np.nan)})
    with pytest.raises(RunError, match=r"stopped at epoch 1: .* is no number \(nan of task 'topic'\)\. Lower"):
        run(network, examples, tmp_path, validation=poisoned)


def test_accumulated_gradients_of_tasks_add_up_to_that_of_the_sum(tiny_encoder: Path) -> None:
    network = make_network(tiny_encoder)
    examples = make_examples(network)
    accelerator = Accelerator(cpu=True)
    shared = [p for p in network.backbone.parameters() if p.requires_grad]
    own = list(network.heads.parameters())
    losses = StepLosses(
        network, examples, (np.arange(20), np.arange(20, 50)), accelerator, own, ["kind", "topic"], lambda: None
    )
    values = losses.backward(torch.tensor([1.0, 1.0]))
    whole = [p.grad.clone() for p in (*shared, *own)]
    network.zero_grad()
    again, gradients = losses.gradients(shared)
    torch.testing.assert_close(again, values)
    torch.testing.assert_close(losses.values(), values)
    torch.testing.assert_close(gradients.sum(0), torch.cat([g.flatten() for g in whole[: len(shared)]]))
    for parameter, gradient in zip(own, whole[len(shared) :], strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert abs(float(cosines(gradients)[0, 1])) < 0.999


def test_layers_learn_when_their_time_has_come(tiny_encoder: Path, tmp_path: Path) -> None:
    """Two layers and the embeddings, until .6 of ten steps: after four steps the upper two have moved."""
    backbone = Gradual(until=0.6, lr=1e-2).apply(Backbone.load(Encoder(model=str(tiny_encoder), max_length=32)))
    network = Network(backbone.freeze("bfloat16"), dict(make_network(tiny_encoder).heads))
    before = {name: p.detach().clone() for name, p in backbone.body.named_parameters()}
    examples = make_examples(network)

    def moved(name: str) -> bool:
        return not torch.equal(dict(backbone.body.named_parameters())[name], before[name])

    settings = Train(epochs=10, batch_tokens=192, max_steps=10)
    with pytest.raises(Interrupted):
        run(network, examples, tmp_path, settings=settings, stop_after=4)
    assert moved("encoder.layer.1.output.dense.weight") and moved("encoder.layer.0.output.dense.weight")
    assert not moved("embeddings.word_embeddings.weight")
    run(network, examples, tmp_path, settings=settings)
    assert moved("embeddings.word_embeddings.weight") and backbone.dtype == torch.float32
