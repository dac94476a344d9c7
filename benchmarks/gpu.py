"""Training, encoding, prediction, and many users, on a CUDA card, at encoder sizes small, base and large.

Compared, through encoders of random weights and texts of made words, of 16 to 120 tokens: one epoch of LoRA (ours, in
batches of 16,384 tokens; `Trainer` with PEFT at its defaults, and by length in bf16, in batches of 256, which hold as
many tokens); texts to vectors (ours; transformers' model in bf16 and sentence-transformers' `encode` of the same, in
batches of 256 sorted by length); texts to answers (ours; `pipeline("text-classification")`, bf16, batches of 64 and of
256); texts of 64 users through their own adapters (ours; PEFT's `adapter_names`); adapters of so many users trained
side by side (ours) and one after another (our own loop over one PEFT adapter); a thousand users' heads (ours, on the
processor: no card takes part, and scikit-learn beside it is `users_heads.py`).
Fair, because: one process, one card, the same weights, texts, rank, scale and matrices; clocks stop when the card has
finished (`torch.cuda.synchronize`). `Trainer`'s defaults take steps of 8 rows, so that they take more of them in an
epoch: what is compared is the epoch. The card's matrix rate is measured here, bf16, 8192³, by CUDA events; the share of
it counts 2 operations a weight of the encoder's matrices and token forwards, and 4 with backwards (frozen weights have
no gradients), and leaves out attention, padding and adapters, so that it is on the low side.

    python benchmarks/gpu.py [--device cuda|cpu] [--tiny] [--only "training, large"]… [repeats]

Writes cells to `results/gpu.json` and a table to `results/gpu.md`. Without a card it says so, leaves the table empty
and ends well. `--only`, which may be given again, leaves out the cells that it does not name or begin to name.
`--device cpu --tiny` runs every part at a size that means nothing, for tests of the script itself; set BENCH_RESULTS to
another folder then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import adapters_together
import mixed_users
import numpy as np
import torch
from _paired import RESULTS, cell, paired
from _random_encoder import made_texts, random_encoder

from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import encode
from nlptl.recipe import Encoder

SIZES = {"small": (384, 6, 12), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""Width, layers, attention heads."""
TINY = {"tiny": (32, 2, 2)}
TEXTS, EACH = 2048, 16
"""Texts in all, and texts of each user whose adapter is trained."""


@dataclass(frozen=True)
class Bench:
    """Where and how much: ``scale`` is texts, of which the other counts follow."""

    device: str
    folder: Path
    scale: int
    repeats: int

    def timed(self, systems: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """Paired ratios, each system run until the card has finished."""
        return paired({name: partial(self._finished, work) for name, work in systems.items()}, repeats=self.repeats)

    def _finished(self, work: Callable[[], Any]) -> None:
        work()
        if self.device == "cuda":
            torch.cuda.synchronize()

    @property
    def dtype(self) -> torch.dtype:
        """What both sides compute in."""
        return torch.bfloat16 if self.device == "cuda" else torch.float32


def texts_of(bench: Bench) -> list[str]:
    """Of four lengths, dealt in turn."""
    quarters = [made_texts(bench.scale // 4, words, seed=words) for words in (14, 30, 60, 118)]
    return [text for row in zip(*quarters, strict=True) for text in row]


def matrix_rate(device: str, *, size: int) -> float:
    """Operations a second of a bf16 product of size³, the best of ten."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        if device == "cuda":
            began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            began.record()
            a @ b
            ended.record()
            torch.cuda.synchronize()
            best = min(best, began.elapsed_time(ended) / 1e3)
        else:
            best = min(best, paired({"product": lambda: a @ b}, repeats=1, warm=False)["seconds"]["product"])
    return 2 * size**3 / best


def training(bench: Bench, texts: list[str]) -> dict[str, Any]:
    """One epoch, from tokenised rows."""
    import training as loops
    from _peer import Classifier, rows_of, trainer
    from transformers import AutoModel, AutoTokenizer

    labels = np.arange(len(texts)) % 2
    tokenizer = AutoTokenizer.from_pretrained(bench.folder)
    model = Classifier(AutoModel.from_pretrained(bench.folder, dtype="float32", add_pooling_layer=False))
    rows = rows_of(tokenizer, texts, labels)

    def theirs(**settings: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer(model, tokenizer, rows, folder, num_train_epochs=1, **settings).train()

    best = {
        "train_sampling_strategy": "group_by_length", "bf16": bench.device == "cuda",
        "per_device_train_batch_size": 256,
    }  # fmt: skip
    return bench.timed({
        "ours": loops.ours(texts, labels, encoder=Encoder(model=str(bench.folder)), batch_tokens=16384),
        "Trainer, defaults": theirs,
        "Trainer, by length, bf16, batches of 256": partial(theirs, **best),
    })  # fmt: skip


def encoding(bench: Bench, texts: list[str]) -> dict[str, Any]:
    """Texts in memory to vectors in memory."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import AutoModel, AutoTokenizer

    backbone = _backbone(bench)
    tokenizer = AutoTokenizer.from_pretrained(bench.folder)
    body = AutoModel.from_pretrained(bench.folder, dtype=bench.dtype, add_pooling_layer=False).to(bench.device).eval()

    @torch.inference_mode()
    def theirs() -> list[torch.Tensor]:
        found = []
        ordered = sorted(texts, key=len)
        for start in range(0, len(ordered), 256):
            batch = tokenizer(ordered[start : start + 256], padding=True, truncation=True, return_tensors="pt")
            batch = batch.to(bench.device)
            mask = batch["attention_mask"][:, :, None]
            found.append(((body(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)).float().cpu())
        return found

    sentences = SentenceTransformer(
        modules=[Transformer(str(bench.folder), model_kwargs={"dtype": bench.dtype}), Pooling(backbone.width)],
        device=bench.device,
    )  # fmt: skip
    return bench.timed({
        "ours": partial(encode, backbone, texts, readings=("last",), store=None),
        "transformers, batches of 256": theirs,
        "sentence-transformers, batches of 256": partial(sentences.encode, texts, batch_size=256),
    })  # fmt: skip


def prediction(bench: Bench, texts: list[str]) -> dict[str, Any]:
    """Texts in memory to labels and probabilities."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    import nlptl
    from nlptl.contracts import Task
    from nlptl.heads import Linear
    from nlptl.model import Network, TaskHead

    task = Task("spam", Linear(), ("ham", "spam"))
    backbone = _backbone(bench)
    head = TaskHead(task, "last", torch.nn.Linear(backbone.width, 1))
    model = nlptl.Model(Network(backbone, {"spam": head}))
    classifier = AutoModelForSequenceClassification.from_pretrained(bench.folder, dtype=bench.dtype, num_labels=2)
    pipe = pipeline(
        "text-classification", model=classifier, tokenizer=AutoTokenizer.from_pretrained(bench.folder),
        device=bench.device,
    )  # fmt: skip
    return bench.timed({
        "ours": lambda: model.predict(texts),
        "pipeline, batches of 64": lambda: pipe(texts, batch_size=64, truncation=True, max_length=128),
        "pipeline, batches of 256": lambda: pipe(texts, batch_size=256, truncation=True, max_length=128),
    })  # fmt: skip


def users_heads(bench: Bench) -> dict[str, Any]:
    """Of width 384, 50 texts a user, strength given."""
    from nlptl.heads._domains import GroupedRows, Spread, deviate

    users = max(bench.scale // 4, 4)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50 * users, 384)) / np.sqrt(384)
    targets = (rng.random((50 * users, 1)) < 0.5).astype(np.float64)
    members = np.split(np.arange(50 * users), users)
    rows = GroupedRows(vectors, targets, np.zeros_like(targets), members, "sigmoid")
    return bench.timed({"ours": lambda: deviate(rows, Spread(1.0, 1.0))}) | {"users": users}


def _backbone(bench: Bench) -> Backbone:
    backbone = Backbone.load(Encoder(model=str(bench.folder)), device=bench.device)
    return backbone.freeze(resolve_precision("auto", bench.device))


def matrix_weights(folder: Path) -> int:
    """Weights of the encoder's matrices, embeddings not counted."""
    body = Backbone.load(Encoder(model=str(folder))).body
    return sum(p.numel() for name, p in body.named_parameters() if p.dim() == 2 and "embeddings" not in name)


PARTS = ("training", "encoding", "prediction", "mixed users", "adapters together")


def measure(
    parts: list[str], size: str, shape: tuple[int, int, int], device: str, scale: int, repeats: int, rate: float
) -> None:
    """The ``parts`` at one size of encoder, a cell each."""
    width, layers, heads = shape
    with tempfile.TemporaryDirectory() as made:
        folder = random_encoder(Path(made), width=width, layers=layers, heads=heads, positions=128, vocabulary=30522)
        bench = Bench(device, folder, scale, repeats)
        texts = texts_of(bench)
        tokens = sum(len(text.split()) + 2 for text in texts)
        work = 2 * matrix_weights(folder) * tokens
        encoder = Encoder(model=str(folder), max_length=64)
        users = 64 if scale > 64 else 4

        def fast(part: Callable[[Bench, list[str]], dict[str, Any]], times: int) -> dict[str, Any]:
            found = part(bench, texts)
            ours = found["seconds"]["ours"]
            return found | {"tokens a second": tokens / ours, "share of the matrix rate": times * work / ours / rate}

        ways: dict[str, Callable[[], dict[str, Any]]] = {
            "training": partial(fast, training, 2),
            "encoding": partial(fast, encoding, 1),
            "prediction": partial(fast, prediction, 1),
            "mixed users": lambda: mixed_users.measure(texts[:users], users, repeats, encoder=encoder, device=device),
            "adapters together": lambda: together(texts, users, repeats, encoder),
        }
        for part in parts:
            cell("gpu", f"{part}, {size}, {device}", ways[part])


def together(texts: list[str], users: int, repeats: int, encoder: Encoder) -> dict[str, Any]:
    """``EACH`` texts a user, or what there is."""
    each = max(1, min(EACH, len(texts) // users))
    chosen = texts[: users * each]
    precision = resolve_precision("auto", "cuda" if torch.cuda.is_available() else "cpu")
    labels = np.arange(len(chosen)) % 2
    return adapters_together.measure(chosen, labels, users, repeats, precision, encoder=encoder, warm=True)


def report() -> None:
    """`results/gpu.md` from the cells that are there; without any, an empty table."""
    path = RESULTS / "gpu.json"
    cells = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    missing = [f"{part} {size}" for part in PARTS for size in SIZES if f"{part}, {size}, cuda" not in cells]
    about = ["", f"Not measured yet: {', '.join(missing)}. Run it again: finished cells are kept."]
    lines = [
        "# On a CUDA card", "",
        "Made by `python benchmarks/gpu.py`, which says what is compared. Theirs to ours, median of paired repeats",
        "[lowest, highest].", *(about if missing else []), "",
        "| part, encoder | card | tokens/s | share of bf16 matrix rate | against | ratio | repeats |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, found in cells.items():
        rate, share = found.get("tokens a second"), found.get("share of the matrix rate")
        shown = [f"{rate:,.0f}" if rate else "", f"{share:.1%}" if share else ""]
        for other, ratio in found["ratio"].items():
            low, high = found["range"][other]
            between = f"{ratio:.2f} [{low:.2f}, {high:.2f}]"
            row = [name.removesuffix(", cuda"), found["machine"]["card"], *shown, other, between, found["repeats"]]
            lines.append(f"| {' | '.join(map(str, row))} |")
    (RESULTS / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def named(cell_name: str, only: list[str]) -> bool:
    """Whether ``only`` names it, or says nothing."""
    return not only or any(cell_name.startswith(each) for each in only)


def main() -> None:
    """All sizes in turn, or nothing where there is no card."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("repeats", nargs="?", type=int, default=5)
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("gpu: this machine has no CUDA card; nothing was measured.")
        report()
        return
    rate = matrix_rate(asked.device, size=256 if asked.tiny else 8192)
    for size, shape in (TINY if asked.tiny else SIZES).items():
        scale = 16 if asked.tiny else TEXTS
        parts = [part for part in PARTS if named(f"{part}, {size}", asked.only)]
        if parts:
            measure(parts, size, shape, asked.device, scale, 1 if asked.tiny else asked.repeats, rate)
    heads = Bench(asked.device, Path(), 16 if asked.tiny else 4000, asked.repeats)
    if named("heads", asked.only):
        cell("gpu", f"heads, {heads.scale // 4} users", lambda: users_heads(heads))
    report()


if __name__ == "__main__":
    main()
