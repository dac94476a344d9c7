"""A small network over tokens, and rows to teach it, for the loop's tests."""

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.heads.linear import Linear
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Encoder, Train
from nlptl.train.loop import train
from nlptl.tune.lora import Lora

TASKS = {
    "kind": Task("kind", Linear(), ("ham", "spam")),
    "topic": Task("topic", Linear(), ("gas", "love", "movie")),
}


def make_network(encoder: Path) -> Network:
    """LoRA on a tiny encoder with two heads; the same weights at each call."""
    torch.manual_seed(0)
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=32))
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    backbone = Lora(rank=2).apply(backbone).freeze("float32")
    heads = {name: TaskHead(task, "last", torch.nn.Linear(32, task.outputs)) for name, task in TASKS.items()}
    return Network(backbone, heads)


def make_examples(network: Network, rows: int = 60) -> Examples:
    """Texts of unlike lengths; a third of the rows lacks the second task's label."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, rows)
    topics = rng.integers(-1, 3, rows)
    words = (("meeting report", "win cash prize"), ("gas", "love", "movie", "the"))
    texts = [
        f"{words[0][kind]} {words[1][topic]} " + "water " * int(count)
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


def main(encoder: Path, output: Path) -> None:
    """Train for 20 steps on as many processes as were launched; the main one writes what it learned."""
    accelerator = Accelerator(cpu=True)
    network = make_network(encoder)
    examples = make_examples(network)
    train(
        network, examples, validation=None, settings=Train(epochs=4, batch_tokens=192, lr=1e-2, max_steps=20), seed=0,
        folder=output.with_suffix(f".{accelerator.num_processes}"), fingerprint="", resume=False,
        accelerator=accelerator, log=lambda entry: None, progress=lambda done, total: None,
    )  # fmt: skip
    if accelerator.is_main_process:
        learned = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
        save_file(learned, output)
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
