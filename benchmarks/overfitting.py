"""Do the means against overfitting help at few labels? Each beside the same training without it.

100 rows teach, a fifth of them held back to choose (epoch, and whether augmentation is kept), drawn by seed; at most
300 fixed rows are scored. 64 tokens, four epochs (thirty of the `mlp` head). Compared: the solved head, with eda; the
`mlp` head over frozen vectors, with batch norm, mixup, an exponential average, eda; `lora` at its defaults, with eda,
cutoff, mixup, the average; `top_layers: 2`, with mixout at .7 and with L2-SP. Nothing is tuned. Augmentation that does
not win on the rows that choose is not kept: then the cell is the plain one's, and `kept` says of how many it was.
The three that train, also with `refit`, and with all 100 rows from the first, none of which chooses (`all rows`).

Each cell (set, setting, seed) is a line of `results/overfitting.jsonl`; `table` writes `results/overfitting.md`. A
gain is over the same without the means at the same commit, which is measured again where it is not there.

    python benchmarks/overfitting.py DATA_FOLDER SEEDS     # such as 0,1
    python benchmarks/overfitting.py table
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import layers
import numpy as np
from _paired import machine

RESULTS = Path(__file__).parent / "results" / "overfitting.jsonl"
SETS = ("sst2_sentences", "subj", "trec_qc")
TEACH, SCORE = 100, 300
LORA: dict[str, Any] = {"kind": "lora"}
TOP: dict[str, Any] = {"kind": "top_layers", "layers": 2}
MLP: dict[str, Any] = {
    "tune": {"kind": "frozen"},
    "heads": {"label": {"kind": "mlp"}},
    "train": {"epochs": 30, "batch_rows": 16},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "solved": {"tune": {"kind": "frozen"}},
    "solved, eda": {"tune": {"kind": "frozen"}, "augment": [{"kind": "eda"}]},
    "mlp": MLP,
    "mlp, batch norm": MLP | {"heads": {"label": {"kind": "mlp", "batch_norm": True}}},
    "mlp, mixup": MLP | {"augment": [{"kind": "mixup"}]},
    "mlp, ema": MLP | {"train": MLP["train"] | {"average": "ema"}},
    "mlp, refit": MLP | {"train": MLP["train"] | {"refit": True}},
    "mlp, all rows": MLP | {"train": MLP["train"] | {"validation": 0.0}},
    "mlp, eda": MLP | {"augment": [{"kind": "eda"}]},
    "lora": {"tune": LORA},
    "lora, eda": {"tune": LORA, "augment": [{"kind": "eda"}]},
    "lora, cutoff": {"tune": LORA, "augment": [{"kind": "cutoff"}]},
    "lora, mixup": {"tune": LORA, "augment": [{"kind": "mixup"}]},
    "lora, ema": {"tune": LORA, "train": {"average": "ema"}},
    "lora, refit": {"tune": LORA, "train": {"refit": True}},
    "lora, all rows": {"tune": LORA, "train": {"validation": 0.0}},
    "top 2": {"tune": TOP},
    "top 2, refit": {"tune": TOP, "train": {"refit": True}},
    "top 2, all rows": {"tune": TOP, "train": {"validation": 0.0}},
    "top 2, mixout": {"tune": TOP, "train": {"mixout": 0.7}},
    "top 2, L2-SP": {"tune": TOP, "train": {"l2_sp": 0.01}},
}


def read() -> list[dict[str, Any]]:
    """The cells that are there."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def run(folder: str, seeds: str) -> None:
    """Run what is not there yet, seeds outermost."""
    commit = machine()["commit"]
    done = {(c["set"], c["setting"], c["seed"]) for c in read()}
    here = {(c["set"], c["setting"], c["seed"]) for c in read() if c["machine"]["commit"] == commit}
    for seed in map(int, seeds.split(",")):
        for setting in SETTINGS:
            for name in SETS:
                if (name, setting, seed) in done:
                    continue
                for each in (base(setting), setting):
                    if (name, each, seed) not in here:
                        _measure(folder, name, each, seed)
                        here.add((name, each, seed))


def base(setting: str) -> str:
    """The setting that ``setting`` adds something to."""
    return setting.partition(",")[0]


def _measure(folder: str, name: str, setting: str, seed: int) -> None:
    rows = layers.table(Path(folder) / f"{name}.parquet", seed, TEACH)
    test = rows[rows.split == "test"].index[SCORE:]
    train = {"epochs": 4, "validation": 0.2} | SETTINGS[setting].get("train", {})
    more = SETTINGS[setting] | {"train": train, "encoder": {"max_length": 64}}
    found = layers.measured(rows.drop(test), seed, **more)
    cell = {"set": name, "setting": setting, "seed": seed} | found | {"machine": machine()}
    with RESULTS.open("a") as stream:
        stream.write(json.dumps(cell) + "\n")
    print(name, setting, seed, found["accuracy"], found["loss"], found["seconds"], flush=True)


def write_table() -> None:
    """Print the table and write it to ``results/overfitting.md``."""
    cells = read()
    seeds = sorted({c["seed"] for c in cells})
    lines = ["# Against overfitting, 100 labels", "",
             "Made by `python benchmarks/overfitting.py table` from the cells beside it; what is compared is told",
             "there. Accuracy in per cent (log loss in nats) on the scored rows, mean over seeds "
             f"{', '.join(map(str, seeds))}.",
             "`gain`: points over the same without it at the same commit, its 95 % interval over rows and seeds, all",
             "sets together. What was measured again at a later commit is shown as it was then. `seconds`: processor",
             "time of the whole fit, mean.", "",
             "| setting | " + " | ".join(SETS) + " | gain | kept | seconds |",
             "|---" * (len(SETS) + 4) + "|"]  # fmt: skip
    of = {(c["setting"], c["set"], c["seed"], c["machine"]["commit"]): c for c in cells}
    latest = {(c["setting"], c["set"], c["seed"]): c for c in cells}
    for setting in SETTINGS:
        here = [c for c in latest.values() if c["setting"] == setting]
        if here:
            lines.append(_row(setting, here, of))
    lines += ["", "Refit, in points over no row held back: " + "; ".join(_refit_over_all_rows(list(latest.values())))]
    text = "\n".join(lines) + "\n"
    print(text)
    RESULTS.with_suffix(".md").write_text(text, encoding="utf-8")


def _row(setting: str, here: list[dict[str, Any]], of: dict[tuple[str, str, int, str], dict[str, Any]]) -> str:
    each = []
    for name in SETS:
        found = [c for c in here if c["set"] == name]
        accuracy, loss = (np.mean([c[key]["model"] for c in found] or [0.0]) for key in ("accuracy", "loss"))
        each.append(f"{100 * accuracy:.1f} ({loss:.3f})" if found else "–")
    without = [(base(setting), c["set"], c["seed"], c["machine"]["commit"]) for c in here]
    pairs = [(c, of[key]) for c, key in zip(here, without, strict=True) if key in of]
    gain = _gain(pairs) if base(setting) != setting and pairs else ""
    told = [row for c in here for row in c["chosen"].get("augmented", [])]
    kept = f"{sum(row['kept'] for row in told)} of {len(told)}" if told else ""
    return f"| {setting} | " + " | ".join(each) + f" | {gain} | {kept} | {np.mean([c['seconds'] for c in here]):.1f} |"


def _gain(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Points of the first cells over the second, all sets together, with the 95 % interval over rows and seeds."""
    # One row for each seed; the sets' scored rows one after another.
    seeds = sorted({c["seed"] for c, _ in pairs})
    sides = [
        np.stack([np.concatenate([layers.bits(pair[side]) for pair in pairs if pair[0]["seed"] == s]) for s in seeds])
        for side in (0, 1)
    ]
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*layers.interval(*sides))


def _refit_over_all_rows(cells: list[dict[str, Any]]) -> Iterator[str]:
    """By what trains, and of all together."""
    of = {(c["setting"], c["set"], c["seed"]): c for c in cells}
    every = []
    for kind in ("mlp", "lora", "top 2"):
        keys = [(s, seed) for setting, s, seed in of if setting == f"{kind}, refit"]
        pairs = [(of[(f"{kind}, refit", *key)], of[(f"{kind}, all rows", *key)]) for key in keys]
        every += pairs
        yield f"{kind} {_gain(pairs)}"
    yield f"all {_gain(every)}."


if __name__ == "__main__":
    write_table() if sys.argv[1] == "table" else run(*sys.argv[1:])
