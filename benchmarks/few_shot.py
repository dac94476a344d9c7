"""Eight labels a class: solved heads, label descriptions as their prior, the contrastive rung, beside SetFit.

Compared, on the same draws of labels and the same encoder: mean accuracy on fixed scored rows, and the seconds of
training, models loaded and the encoding of scored rows excluded on both sides; ours include encoding the rows that
teach and the labels' descriptions. SetFit runs at its defaults. Seconds are given as wall time and as processor time
of the process, which other work on the machine does not stretch.

Systems named `+texts` also read 1,000 texts without labels, which no other does: the prior is the zero-shot head that
they calibrate. Encoding them, once a set for all draws, is not counted.

Every cell (set, seed, system) is a line of `results/few_shot.jsonl`, written as it ends; cells that are there are not
run again, so that the command can be stopped and started.

    python benchmarks/few_shot.py DATA_FOLDER SYSTEM [SEEDS]     # SYSTEM: setfit, or one of ours (see SYSTEMS)
    python benchmarks/few_shot.py table                          # `results/few_shot.md`
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from _sets import DESCRIPTIONS, NAMES, LabelledSet, load
from scipy.stats import t

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.fitting.contrast import Lesson, learn
from nlptl.fitting.heads import directions_of_names, names_by_reading, zero_shot_prior
from nlptl.heads import Linear
from nlptl.heads._crossfit import Body
from nlptl.heads._reading import CHOICES, parts
from nlptl.heads._solved import Folds, PriorMean, Solved, solve_head
from nlptl.recipe import Encoder
from nlptl.transfer.folds import folds
from nlptl.tune.contrastive import Contrastive

CELLS = Path(__file__).parent / "results" / "few_shot.jsonl"
PER_CLASS = 8
Keep = Literal["won", "always"]


class Stopwatch:
    """Wall and processor seconds of what runs within it."""

    def __enter__(self) -> Stopwatch:
        self.began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began[0]
        self.cpu_seconds = time.process_time() - self.began[1]


def setfit(data: LabelledSet, teach: np.ndarray, seed: int) -> tuple[np.ndarray, Stopwatch]:
    """Package `setfit` at its defaults but for the seed."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    from nlptl.encoder.locate import locate

    model = SetFitModel.from_pretrained(locate("default", None).path)
    rows = Dataset.from_dict({"text": list(data.texts[teach]), "label": data.classes[teach].tolist()})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, seed=seed)
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, metric=lambda answers, truth: {})
        with Stopwatch() as watch:
            trainer.train()
    return np.asarray(model.predict_proba(list(data.texts[data.scored]), as_numpy=True)), watch


@cache
def encoder() -> Backbone:
    """The default encoder, frozen as the toolkit freezes it here."""
    return Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))


@cache
def unfrozen() -> Backbone:
    """The default encoder as it is loaded, to be copied."""
    return Backbone.load(Encoder())


@cache
def kept_vectors(texts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The vectors of a set's scored or unlabelled rows, which are the same for every seed."""
    return encode(encoder(), texts, readings=parts(CHOICES["auto"]), store=FeatureStore.of(encoder()))


@dataclass(frozen=True)
class SolvedRung:
    """The solved head on the frozen encoder, and what it was solved from."""

    task: Task
    head: Solved
    vectors: dict[str, np.ndarray]
    prior: dict[str, PriorMean]
    folds: Folds

    @classmethod
    def of(
        cls, data: LabelledSet, teach: np.ndarray, seed: int, called: str | None, *, reads: bool = False
    ) -> SolvedRung:
        """``called``: the labels' names or descriptions, as the prior mean; it ``reads`` texts to calibrate them."""
        names = {None: None, "names": NAMES, "descriptions": DESCRIPTIONS}[called]
        head = Linear() if names is None else Linear(prior="label_names", names=names[data.name])
        task, classes = Task("label", head, data.labels), data.classes[teach]
        found = encode(encoder(), list(data.texts[teach]), readings=parts(CHOICES["auto"]), store=None)
        prior = directions_of_names(encoder(), task, CHOICES["auto"]) or {}
        if reads:
            texts = kept_vectors(tuple(data.texts[data.unlabelled]))
            named = names_by_reading(encoder(), task, CHOICES["auto"])
            prior = {reading: zero_shot_prior(of, side_by_side(texts, reading)) for reading, of in named.items()}
        folded = folds(labels=classes, domains=np.full(len(teach), "all", dtype=object), groups=np.arange(len(teach)),
                       target_labels=len(teach), seed=seed)  # fmt: skip
        vectors = {reading: side_by_side(found, reading) for reading in CHOICES["auto"]}
        return cls(task, solve_head(task, vectors, classes, folded, prior=prior or None), vectors, prior, folded)

    def answers(self, data: LabelledSet) -> np.ndarray:
        """(scored rows, labels) probabilities."""
        test = kept_vectors(tuple(data.texts[data.scored]))
        return self.task.probabilities(self.head.logits(side_by_side(test, self.head.reading)))


def solved(
    data: LabelledSet, teach: np.ndarray, seed: int, *, called: str | None, reads: bool = False
) -> tuple[np.ndarray, Stopwatch]:
    """The solved head on the frozen encoder."""
    if reads:
        kept_vectors(tuple(data.texts[data.unlabelled]))  # encoded before the clock starts
    with Stopwatch() as watch:
        rung = SolvedRung.of(data, teach, seed, called, reads=reads)
    return rung.answers(data), watch


def lesson(data: LabelledSet, teach: np.ndarray, seed: int, rung: SolvedRung, *, keep: Keep) -> Lesson:
    """What the contrastive rung above ``rung`` learns from."""
    return Lesson(
        tune=Contrastive(keep=keep), reading="last", fresh=unfrozen(), precision=resolve_precision("auto", "cpu"),
        texts=list(data.texts[teach]), pairs=None, tasks={"label": rung.task},
        classes={"label": data.classes[teach]}, folds={"label": rung.folds},
        frozen={"label": Body(rung.vectors[rung.head.reading], rung.prior.get(rung.head.reading))}, seed=seed,
    )  # fmt: skip


def contrastive(
    data: LabelledSet, teach: np.ndarray, seed: int, *, called: str | None, keep: Keep = "won"
) -> tuple[np.ndarray, Stopwatch]:
    """The contrastive rung; it gives way to the solved one where it does not surely win, unless ``keep`` is always."""
    unfrozen()  # loaded before the clock starts
    with Stopwatch() as watch:
        rung = SolvedRung.of(data, teach, seed, called)
        found = learn(lesson(data, teach, seed, rung, keep=keep))
    if found.backbone is None:
        return rung.answers(data), watch
    vectors = encode(found.backbone, list(data.texts[data.scored]), readings=("last",), store=None)["last"]
    return rung.task.probabilities(found.heads["label"].logits(vectors)), watch


def side_by_side(found: dict[str, np.ndarray], reading: str) -> np.ndarray:
    return np.concatenate([found[part] for part in parts([reading])], axis=1)


System = Callable[[LabelledSet, np.ndarray, int], tuple[np.ndarray, Stopwatch]]
SYSTEMS: dict[str, System] = {
    "setfit": setfit,
    "solved": partial(solved, called=None),
    "solved-names": partial(solved, called="names"),
    "solved-descriptions": partial(solved, called="descriptions"),
    "solved-names+texts": partial(solved, called="names", reads=True),
    "solved-descriptions+texts": partial(solved, called="descriptions", reads=True),
    "contrastive": partial(contrastive, called=None),
    "contrastive-descriptions": partial(contrastive, called="descriptions"),
    "contrastive-always": partial(contrastive, called=None, keep="always"),
    "contrastive-always-names": partial(contrastive, called="names", keep="always"),
    "contrastive-always-descriptions": partial(contrastive, called="descriptions", keep="always"),
}


def main(folder: str, system: str, seeds: str = "10") -> None:
    """Run the cells of ``system`` that are missing."""
    cells = read_cells()
    sets = [load(name, Path(folder)) for name in DESCRIPTIONS]
    for seed in range(int(seeds)):
        for data in sets:
            if (data.name, seed, system) in cells:
                continue
            teach = data.draw(seed, PER_CLASS)
            probabilities, watch = SYSTEMS[system](data, teach, seed)
            cell = {
                "set": data.name, "seed": seed, "system": system, "labels": len(teach),
                "accuracy": round(float((probabilities.argmax(1) == data.classes[data.scored]).mean()), 4),
                "seconds": round(watch.seconds, 2), "cpu_seconds": round(watch.cpu_seconds, 2),
            }  # fmt: skip
            with CELLS.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(cell) + "\n")
            print(json.dumps(cell), flush=True)


def read_cells() -> dict[tuple[str, int, str], dict[str, float]]:
    """The finished cells by (set, seed, system)."""
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.is_file() else []
    return {(c["set"], c["seed"], c["system"]): c for c in map(json.loads, lines)}


def table() -> str:
    """The Markdown table of all finished seeds: accuracy by set, points over SetFit on the seeds that both have, with
    the 95 % interval over seeds (Student's t), and seconds of training, all sets together."""
    cells, sets = read_cells(), list(DESCRIPTIONS)
    seeds = {
        system: [seed for seed in sorted({seed for _, seed, of in cells if of == system})
                 if all((name, seed, system) in cells for name in sets)]
        for system in SYSTEMS
    }  # fmt: skip

    def of(system: str, key: str, shown: list[int]) -> np.ndarray:
        return np.array([[cells[name, seed, system][key] for name in sets] for seed in shown])

    rows = [
        "| system | seeds | " + " | ".join(sets) + " | mean | processor s | wall s |",
        "|---" * (len(sets) + 5) + "|",
    ]
    gains = ["| over SetFit, points | seeds | " + " | ".join(sets) + " | mean | SetFit's processor s, times |",
             "|---" * (len(sets) + 4) + "|"]  # fmt: skip
    for system, shown in seeds.items():
        if not shown:
            continue
        accuracy = of(system, "accuracy", shown)
        spent = [f"{of(system, key, shown).sum(1).mean():.1f}" for key in ("cpu_seconds", "seconds")]
        values = [f"{value:.3f}" for value in (*accuracy.mean(0), accuracy.mean())]
        rows.append(f"| {system} | {len(shown)} | " + " | ".join([*values, *spent]) + " |")
        both = [seed for seed in shown if seed in seeds["setfit"]]
        if system == "setfit" or len(both) < 2:
            continue
        gain = 100 * (of(system, "accuracy", both) - of("setfit", "accuracy", both))
        ratio = of("setfit", "cpu_seconds", both).sum() / of(system, "cpu_seconds", both).sum()
        shown_gains = [_interval(column) for column in (*gain.T, gain.mean(1))]
        gains.append(f"| {system} | {len(both)} | " + " | ".join([*shown_gains, f"{ratio:.1f}"]) + " |")
    head = f"# Eight labels a class\n\n{PER_CLASS} labels a class teach, at most 1,000 rows are scored. Made by\n"
    return head + "`python benchmarks/few_shot.py table`.\n\n" + "\n".join([*rows, "", *gains]) + "\n"


def _interval(values: np.ndarray) -> str:
    """The mean of one value a seed, and its 95 % interval."""
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return f"{values.mean():+.1f} [{values.mean() - half:+.1f}, {values.mean() + half:+.1f}]"


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if sys.argv[1:] == ["table"]:
        CELLS.with_suffix(".md").write_text(table(), encoding="utf-8")
        print(table())
    else:
        main(*sys.argv[1:])
