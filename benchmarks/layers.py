"""How many top layers learn: `layers: auto` beside fixed choices, on five sets, for `top_layers` and for `lora`.

300 rows teach, drawn by seed; at most 400 fixed rows are scored, of the official test split where there is one. 64
tokens, two epochs, learning rates at their defaults. Compared: `auto`, which lets the layers learn that lie above the
lowest one whose solved head is good (folds of the teaching rows choose; scored rows have no part in it), beside 1, 2, 3
and all 6 layers. Fair, because: the same rows, steps and rates. Seconds are processor time of the whole `nlptl.fit`,
one thread, which other work on the machine stretches less than wall time; the one pass that encodes all texts, which
every choice needs, is made before and kept, so what `auto` pays more for are the heads on all layers.

Each cell (set, kind, layers, seed) is a line of `results/layers.jsonl`, written as it ends; one that is there is not
run again. `table` writes `results/layers.md`: the paired difference of `auto` to the fixed choice that scored best
(picked by its scores, in its favour), with the 95 % interval over rows and seeds, that choice's own accuracy with its
interval, which is wider, since `auto` is scored on the same rows, and the slowest choice.

    python benchmarks/layers.py DATA_FOLDER KIND SEEDS [SETS]     # KIND: top_layers or lora; SEEDS: 0,1,2
    python benchmarks/layers.py table
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _paired import machine

import nlptl
from nlptl.data import Frame
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.heads._reading import CHOICES, every_layer, parts
from nlptl.recipe import Encoder

RESULTS = Path(__file__).parent / "results" / "layers.jsonl"
TEACH, SCORE = 300, 400
SETS = ("sst2_sentences", "subj", "trec_qc", "sms_spam", "ag_news_test")
OFFICIAL = ("sst2_sentences", "trec_qc")
LAYERS = ("auto", 1, 2, 3, 6)
RESAMPLES = 2000
ENCODER: dict[str, Any] = {"max_length": 64}


def table(path: Path, seed: int, teach: int = TEACH) -> pd.DataFrame:
    """``teach`` rows drawn by seed and at most ``SCORE`` scored ones, the same for every seed."""
    rows = pd.read_parquet(path).drop_duplicates("text", ignore_index=True)
    if path.stem in OFFICIAL:
        test, rest = rows[rows.split == "test"], rows[rows.split == "train"]
        test = test.sample(min(SCORE, len(test)), random_state=0)
    else:
        test = rows.sample(SCORE, random_state=0)
        rest = rows.drop(test.index)
    taught = rest.sample(teach, random_state=seed)
    return pd.concat([taught.assign(split="train"), test.assign(split="test")], ignore_index=True)


def measured(rows: pd.DataFrame, seed: int, **sections: Any) -> dict[str, Any]:
    """One run: which scored rows it answers rightly, by id, its mean loss on them, and its processor seconds."""
    recipe = nlptl.Recipe(
        name="layers", seed=seed, data=Frame(table=rows, split="split"),
        evaluate={"metrics": ["accuracy"], "bootstrap": 100},
        **{"encoder": ENCODER, "heads": {"label": {"kind": "linear"}}} | sections,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        began = time.process_time()
        run = nlptl.fit(recipe, out=Path(out) / "run")
        seconds = time.process_time() - began
        answers = pd.read_parquet(Path(out) / "run" / "predictions.parquet").sort_values("id")
    labels = run.results["tasks"]["label"]["labels"]
    truth = np.array([labels.index(each[0]) for each in answers["labels"]])
    shares = {name: np.stack(answers[name].to_numpy()) for name in ("model", "solved") if name in answers}
    right = {name: found.argmax(1) == truth for name, found in shares.items()}
    losses = {name: -np.log(np.clip(found[np.arange(len(truth)), truth], 1e-12, 1)) for name, found in shares.items()}
    return {
        "seconds": round(seconds, 2),
        "accuracy": {name: round(float(bits.mean()), 4) for name, bits in right.items()},
        "loss": {name: round(float(values.mean()), 4) for name, values in losses.items()},
        "right": np.packbits(right["model"]).tobytes().hex(), "rows": len(truth), "chosen": run.results["chosen"][0],
    }  # fmt: skip


def read() -> list[dict[str, Any]]:
    """The cells that are there."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def encode_all(texts: Sequence[str]) -> None:
    """Keep the vectors of ``texts`` from every layer, as any choice may read them."""
    backbone = Backbone.load(Encoder(**ENCODER)).freeze(resolve_precision("auto", "cpu"))
    readings = parts(("last", *CHOICES["auto"], *every_layer(backbone.depth)))
    encode(backbone, list(texts), None, readings=readings, store=FeatureStore.of(backbone))


def run(folder: str, kind: str, seeds: str, sets: str = ",".join(SETS)) -> None:
    """Run what is not there yet, seeds outermost."""
    done = {(c["set"], c["kind"], c["layers"], c["seed"]) for c in read()}
    warm = True
    for seed in map(int, seeds.split(",")):
        for name in sets.split(","):
            todo = [layers for layers in LAYERS if (name, kind, layers, seed) not in done]
            rows = table(Path(folder) / f"{name}.parquet", seed)
            if todo:
                encode_all(rows.text)
            for layers in todo:
                tune = {"kind": kind, "layers": layers}
                if warm:  # the first run of a process also imports and compiles
                    measured(rows, seed, tune=tune, train={"max_steps": 2})
                    warm = False
                found = measured(rows, seed, tune=tune, train={"epochs": 2})
                cell = {"set": name, "kind": kind, "layers": layers, "seed": seed} | found | {"machine": machine()}
                with RESULTS.open("a") as stream:
                    stream.write(json.dumps(cell) + "\n")
                print(name, kind, layers, seed, found["accuracy"], found["seconds"], flush=True)


def bits(cell: Mapping[str, Any]) -> np.ndarray:
    """(rows,) which scored rows the cell answers rightly."""
    packed = np.frombuffer(bytes.fromhex(cell["right"]), dtype=np.uint8)
    return np.unpackbits(packed)[: cell["rows"]].astype(float)


def interval(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """(seeds, rows) right answers of two systems → the mean difference in points, and its 95 % interval, seeds and rows
    drawn again independently."""
    rng, difference = np.random.default_rng(0), 100 * (ours - theirs)
    seeds, rows = difference.shape
    drawn = [difference[rng.integers(0, seeds, seeds)][:, rng.integers(0, rows, rows)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def write_table() -> None:
    """Print the table and write it to ``results/layers.md``."""
    cells = read()
    lines = ["# How many top layers learn", "", "Made by `python benchmarks/layers.py table` from the cells beside it; "
             "what is compared is told there.", "Accuracy in per cent, mean over seeds; processor seconds of the whole "
             "fit in brackets.", ""]  # fmt: skip
    for kind in dict.fromkeys(c["kind"] for c in cells):
        seeds = sorted({c["seed"] for c in cells if c["kind"] == kind})
        lines += [f"## {kind}, seeds {', '.join(map(str, seeds))}", "",
                  "| set | solved | " + " | ".join(map(str, LAYERS)) + " | auto chose | auto − best fixed | best fixed "
                  "| slowest |", "|---" * (len(LAYERS) + 6) + "|"]  # fmt: skip
        for name in SETS:
            lines += _row([c for c in cells if (c["set"], c["kind"]) == (name, kind)], name)
        lines.append("")
    text = "\n".join(lines)
    print(text)
    RESULTS.with_suffix(".md").write_text(text.rstrip() + "\n", encoding="utf-8")


def _row(cells: list[dict[str, Any]], name: str) -> list[str]:
    of = {layers: {c["seed"]: c for c in cells if c["layers"] == layers} for layers in LAYERS}
    seeds = sorted(set.intersection(*(set(found) for found in of.values())))
    if not seeds:
        return []
    right = {layers: np.stack([bits(found[seed]) for seed in seeds]) for layers, found in of.items()}
    seconds = {layers: float(np.mean([found[seed]["seconds"] for seed in seeds])) for layers, found in of.items()}
    solved = np.mean([of["auto"][seed]["accuracy"]["solved"] for seed in seeds])
    best = max(LAYERS[1:], key=lambda layers: right[layers].mean())
    difference, low, high = interval(right["auto"], right[best])
    alone = "{:.1f} [{:.1f}, {:.1f}]".format(*interval(right[best], np.zeros_like(right[best])))
    chose = ", ".join(str(of["auto"][seed]["chosen"]["top layers"]) for seed in seeds)
    each = [f"{100 * right[layers].mean():.1f} ({seconds[layers]:.0f} s)" for layers in LAYERS]
    within = "" if high >= 0 else " **worse**"
    slowest = max(seconds, key=lambda layers: seconds[layers])
    return [f"| {name} | {100 * solved:.1f} | " + " | ".join(each) + f" | {chose} "
            f"| {difference:+.1f} [{low:+.1f}, {high:+.1f}] to {best}{within} | {alone} | {slowest} |"]  # fmt: skip


if __name__ == "__main__":
    write_table() if sys.argv[1] == "table" else run(*sys.argv[1:])
