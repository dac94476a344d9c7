"""Are shifts told apart, and is no shift called none? Made domains of known shift, 200 texts each, 50 target labels.

Each draw makes two domains anew (`tests/helpers/made_shift.py`), draws 200 texts of each and 50 labels of the target,
and asks kind `shift`. Its cost is the accuracy that the sources' head loses from 2,000 fresh source texts to 2,000
fresh target texts. A draw is right where exactly the shifts that were made are found.

    python benchmarks/warnings.py [draws] [first seed]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from made_shift import domains

from nlptl._contracts_diagnose import View
from nlptl.diagnose.probe import as_task, parts
from nlptl.diagnose.shift import Shift
from nlptl.heads._solved import solve_head

RESULTS = Path(__file__).parent / "results" / "warnings.json"
CASES: tuple[tuple[str, ...], ...] = (
    (), ("covariate",), ("label",), ("concept",),
    ("covariate", "concept"), ("label", "concept"), ("covariate", "label"),
)  # fmt: skip
ROWS, LABELS, FRESH = 200, 50, 2000
BANDS = ((-1.0, 0.03), (0.03, 0.05), (0.05, 0.07), (0.07, 0.10), (0.10, 1.0))


def draw(shifts: tuple[str, ...], seed: int) -> dict[str, object]:
    """One draw: what was found with labels and without, and what the shift cost."""
    rng = np.random.default_rng(seed)
    sources, target = domains(shifts, rng)
    (x, y), (u, v) = sources.draw(ROWS, rng), target.draw(ROWS, rng)
    shown = np.where(np.arange(ROWS) < LABELS, v, -1)
    names = np.repeat(["sources", "target"], ROWS)
    view = View(features=np.r_[x, u], labels=np.r_[y, shown], domain=names, target="target")
    found = Shift(seed=seed).measure(view)
    blind = Shift(seed=seed).measure(View(features=np.r_[x, u], labels=np.r_[y, shown * 0 - 1], domain=names,
                                          target="target")) if seed % 10 == 0 else None  # fmt: skip
    task, _ = as_task(y)
    head = solve_head(task, {"": x}, y, parts(y, None, 5, 0))
    here, there = (
        float(((head.logits(a)[:, 0] > 0) == b).mean()) for a, b in (sources.draw(FRESH, rng), target.draw(FRESH, rng))
    )
    return {"seed": seed, "found": found["found"], "p": found["p"], "cost": here - there,
            "blind": blind and blind["unknown"].get("concept", "")}  # fmt: skip


def table(draws: int, first: int) -> list[dict[str, object]]:
    """A row a case."""
    rows: list[dict[str, object]] = []
    for shifts in CASES:
        done = [draw(shifts, seed) for seed in range(first, first + (draws if len(shifts) < 2 else draws // 2))]
        right = np.array([sorted(each["found"]) == sorted(shifts) for each in done])
        cost = np.array([each["cost"] for each in done])
        bands = {f"{low * 100:.0f} to {high * 100:.0f}": [float(right[at].mean()), int(at.sum())]
                 for low, high in BANDS if (at := (cost >= low) & (cost < high)).any()}  # fmt: skip
        rows.append({
            "made": " + ".join(shifts) or "none", "draws": len(done), "right": float(right.mean()),
            "found": {name: float(np.mean([name in each["found"] for each in done]))
                      for name in ("covariate", "label", "concept")},
            "cost": [float(cost.mean()), *(float(q) for q in np.quantile(cost, [0.05, 0.95]))],
            "right_by_cost": bands,
            "blind_says_unknown": all(str(each["blind"]).startswith("cannot be known") for each in done if each["blind"]
                                      is not None),
        })  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


if __name__ == "__main__":
    count, start = (int(sys.argv[place]) if len(sys.argv) > place else default for place, default in ((1, 200), (2, 0)))
    rows = table(count, start)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
