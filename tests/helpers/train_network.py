"""A small network over tokens, and rows to teach it, for the loop's tests."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from nlptl.contracts import Task
from nlptl.contracts.adapt import Term
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.masked_head import masked_head
from nlptl.encoder.tokens import tokenize
from nlptl.fitting.adapt import without_labels
from nlptl.fitting.tasks import task_network
from nlptl.heads.linear import Linear
from nlptl.heads.mlp import Mlp
from nlptl.model import Examples, Network, TaskHead
from nlptl.model.task_network import TaskNetwork
from nlptl.recipe import Encoder, Train
from nlptl.registry import find, kinds
from nlptl.train.adaptation import Adaptation
from nlptl.train.guessing import Guessing
from nlptl.train.loop import moving, train
from nlptl.train.pretrain import train_guessing
from nlptl.tune.lora import Lora

TASKS = {
    "kind": Task("kind", Linear(), ("ham", "spam")),
    "topic": Task("topic", Linear(), ("gas", "love", "movie")),
}

BESIDES: dict[str, dict[str, Any]] = {
    "batch_norm": {},
    "average": {"average": "ema", "average_decay": 0.8},
    "cutoff": {},
    "mixup": {},
    "judged": {"select": "entropy", "patience": 1},
}
"""What the loop may have beside balances and terms, by name: settings of ``train`` that it needs."""

PER_TASK: dict[str, dict[str, Any]] = {"per_task": {}, "per_task_one_row": {"batch_rows": 1}}
"""Trainings of adapters a task, by name: settings of ``train`` that they need. Of one row, a process has none."""

TERMS = [kind for kind in kinds("adapt") if issubclass(find("adapt", kind), Term)]


def make_network(encoder: Path, *, batch_norm: bool = False) -> Network:
    """LoRA on a tiny encoder with two heads; the same weights at each call. With ``batch_norm`` they are deep."""
    torch.manual_seed(0)
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=32))
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    backbone = Lora(rank=2).apply(backbone).freeze("float32")
    head = Mlp(hidden=(8,), dropout=0.0, batch_norm=True) if batch_norm else Linear()
    heads = {name: TaskHead(task, "last", head.build(32, task.outputs)) for name, task in TASKS.items()}
    return Network(backbone, heads)


def make_task_network(encoder: Path, *, batch_norm: bool = False, **settings: Any) -> TaskNetwork:
    """An adapter for each task beside a shared one; the same weights at each call."""
    plain = make_network(encoder, batch_norm=batch_norm)
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=32)).switch_off_dropout().freeze("float32")
    return task_network(backbone, plain.task_heads, Lora(rank=2, per="task", **settings), seed=0)


def make_examples(network: Network, rows: int = 60, filler: str = "water") -> Examples:
    """Texts of unlike lengths; a third of the rows lacks the second task's label."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, rows)
    topics = rng.integers(-1, 3, rows)
    words = (("meeting report", "win cash prize"), ("gas", "love", "movie", "the"))
    texts = [
        f"{words[0][kind]} {words[1][topic]} " + f"{filler} " * int(count)
        for kind, topic, count in zip(kinds, topics, rng.integers(0, 12, rows), strict=True)
    ]
    tokens = tokenize(network.backbone, texts)
    return Examples(
        ids=[f"row{place}" for place in range(rows)],
        tasks=TASKS,
        labels={"kind": kinds, "topic": topics},
        lengths=tokens.row_lengths,
        tokens=tokens,
    )


def make_adaptation(network: Network, kind: str, rows: int = 9) -> Adaptation:
    """The term ``kind`` between the rows that teach and others of other words, without labels."""
    target = without_labels(make_examples(network, rows=25, filler="movie"))
    if kind == "tapt":
        guessing = make_guessing(network)
        return Adaptation(network, [], make_examples(network), target, rows=rows, guessing=guessing)
    term = find("adapt", kind)()
    assert isinstance(term, Term)
    return Adaptation(network, [term], make_examples(network), target, rows=rows)


def make_guessing(network: Network) -> Guessing:
    """Masked tokens of the target's texts, and a fresh head without dropout that guesses them."""
    torch.manual_seed(0)
    tokens = make_examples(network, rows=25, filler="movie").tokens
    assert tokens is not None
    return Guessing(network.backbone, masked_head(network.backbone), tokens, rate=0.3, seed=0)


def make_judge(accelerator: Accelerator) -> Callable[[], dict[str, float]]:
    """To the first process each epoch is better than the last one, to any other one worse."""
    scores = itertools.count(0, 1 if accelerator.process_index else -1)
    return lambda: dict.fromkeys(TASKS, float(next(scores)))


def main(encoder: Path, output: Path) -> None:
    """Train for 20 steps under each balance, with each term of ``adapt``, with adapters of tasks and with each of
    ``BESIDES``, on as many processes as were launched; the main one writes what was learned, by
    ``<kind>/<parameter>``."""
    accelerator = Accelerator(cpu=True)
    learned = {}
    for kind in [*kinds("balance"), *TERMS, "tapt", *PER_TASK, *BESIDES]:
        network = (
            make_task_network(encoder) if kind in PER_TASK else make_network(encoder, batch_norm=kind == "batch_norm")
        )
        adaptation = make_adaptation(network, kind) if kind in (*TERMS, "tapt") else None
        needed = (PER_TASK | BESIDES).get(kind, {})
        settings = Train(epochs=8, batch_tokens=192, accumulate=2, lr=1e-2, max_steps=20, **needed)
        train(
            network, make_examples(network), validation=None, settings=settings, seed=0,
            folder=output.with_suffix(f".{accelerator.num_processes}") / kind, fingerprint="", resume=False,
            accelerator=accelerator, log=lambda entry: None, progress=lambda done, total: None,
            balance=find("balance", kind)() if kind in kinds("balance") else None, adaptation=adaptation,
            augment=[find("augment", kind)()] if kind in kinds("augment") else [],
            judge=make_judge(accelerator) if kind == "judged" else None,
        )  # fmt: skip
        learned |= {f"{kind}/{name}": found.detach().clone() for name, found in moving(network)}
        whole = torch.nn.ModuleList([network] if adaptation is None else [network, adaptation.layers])
        learned |= {f"{kind}/{name}": p.detach().clone() for name, p in whole.named_parameters() if p.requires_grad}
    network = make_network(encoder)
    guessing = make_guessing(network)
    train_guessing(
        guessing, settings=Train(epochs=8, batch_tokens=192, lr=1e-2, max_steps=20), fingerprint="", resume=False,
        folder=output.with_suffix(f".{accelerator.num_processes}") / "before", accelerator=accelerator,
        log=lambda entry: None, progress=lambda done, total: None,
    )  # fmt: skip
    whole = torch.nn.ModuleList([network.backbone, guessing.head])
    learned |= {f"before/{name}": p.detach().clone() for name, p in whole.named_parameters() if p.requires_grad}
    if accelerator.is_main_process:
        save_file(learned, output)
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
