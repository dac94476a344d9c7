"""Are shifts told apart, and is no shift called none? Made domains of known shift, 200 texts each, 50 target labels.

Each draw makes domains anew (`tests/helpers/made_shift.py`: three sources, one target; each shift costs the sources'
head 3 to 10 points of accuracy by itself), and asks kind `shift`. A draw is right where exactly the shifts that were
made are found. Every tenth is asked without labels of the target too. Draws are added to `results/warnings.jsonl` as
they end; the same command goes on where it stopped, and then writes `results/warnings.md`.

    python benchmarks/shift_warnings.py [draws] [case, such as concept or label+covariate; none: no shift]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from made_shift import SHIFTS, WAYS, Pair, Texts, accuracy, made

from nlptl.contracts.diagnose import View
from nlptl.diagnose.probe import as_task, parts
from nlptl.diagnose.shift import Shift
from nlptl.heads._solved import solve_head

RESULTS = Path(__file__).parent / "results"
DONE = RESULTS / "warnings.jsonl"
CASES = ("none", "covariate", "label", "concept", "covariate+concept", "label+concept", "covariate+label")
ROWS, LABELS, DRAWS = 200, 50, 299
BANDS = ((0.03, 0.05), (0.05, 0.07), (0.07, 0.10))


def head_of(features: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The sources' head, as a function from vectors to answers."""
    task, classes = as_task(labels)
    solved = solve_head(task, {"": features}, classes, parts(classes, None, 5, 0))
    return lambda vectors: (solved.logits(vectors)[:, 0] > 0).astype(int)


def pair(case: str, seed: int) -> tuple[Pair, np.random.Generator]:
    """The domains of one draw, and the generator that goes on to draw the target's rows."""
    rng = np.random.default_rng([seed, CASES.index(case), 1])
    return made(() if case == "none" else tuple(case.split("+")), rng, head_of, ROWS), rng


def rows_of(case: str, seed: int) -> tuple[Pair, float, Texts, np.ndarray]:
    """The domains of one draw, what the shifts cost together, and the target's texts and (rows,) labels of 0 and 1."""
    domains, rng = pair(case, seed)
    cost = domains.reached - accuracy(domains.target, domains.head, rng)
    texts = domains.target.texts(ROWS, rng)
    return domains, cost, texts, (rng.random(ROWS) < domains.target.chance(texts)).astype(np.int64)


def draw(case: str, seed: int) -> dict[str, Any]:
    """One draw: what was made, what was found, and what was said without labels of the target."""
    domains, cost, texts, v = rows_of(case, seed)
    about = {"cost": cost, "costs": domains.costs, "way": domains.way if "concept" in case else None}
    (x, y), u = domains.taught, texts.features
    names = np.repeat(["sources", "target"], [len(y), ROWS])

    def asked(labels: int) -> dict[str, Any]:
        shown = np.where(np.arange(ROWS) < labels, v, -1)
        view = View(features=np.r_[x, u], labels=np.r_[y, shown], domain=names, target="target")
        return Shift(seed=seed, draws=DRAWS).measure(view)

    found = asked(LABELS)
    blind = asked(0)["unknown"]["concept"] if seed % 10 == 0 else None
    return {"case": case, "seed": seed, **about, "found": found["found"], "p": found["p"], "blind": blind}


def described(done: list[dict[str, Any]]) -> str:
    """The tables of ``warnings.md``."""
    lines = ["| made | draws | right | covariate found | label found | concept found | cost, mean |", "|" + "---|" * 7]
    for case in CASES:
        rows = [row for row in done if row["case"] == case]
        if rows:
            found = [np.mean([name in row["found"] for row in rows]) for name in SHIFTS]
            cost = 100 * np.mean([row["cost"] for row in rows])
            right = np.mean([set(row["found"]) == set(case.replace("none", "").split("+")) - {""} for row in rows])
            lines.append(f"| {case} | {len(rows)} | {right:.1%} | " + " | ".join(f"{f:.1%}" for f in found)
                         + f" | {cost:.1f} |")  # fmt: skip
    lines += ["", "Concept shift found, by what it costs the sources' head by itself (draws):", "",
              "| way | " + " | ".join(f"{low:.0%} to {high:.0%}" for low, high in BANDS) + " |",
              "|" + "---|" * (1 + len(BANDS))]  # fmt: skip
    for case in [case for case in CASES if "concept" in case]:
        for way in WAYS:
            cells = []
            for low, high in BANDS:
                rows = [row for row in done if row["case"] == case and row["way"] == way
                        and low <= row["costs"]["concept"] < high]  # fmt: skip
                share = f"{np.mean(['concept' in row['found'] for row in rows]):.0%} ({len(rows)})" if rows else "–"
                cells.append(share)
            lines.append(f"| {case}: {way} | " + " | ".join(cells) + " |")
    blind = [row["blind"] for row in done if row["blind"]]
    unknown = sum(said.startswith("cannot be known") for said in blind)
    return "\n".join(
        [*lines, "", f"Without labels of the target, concept shift 'cannot be known': {unknown} of {len(blind)}."]
    )


def main(draws: int, cases: tuple[str, ...]) -> None:
    """Do what is not done yet, seed by seed over all cases, then write the tables."""
    done = [json.loads(line) for line in DONE.read_text().splitlines()] if DONE.exists() else []
    finished = {(row["case"], row["seed"]) for row in done}
    for seed in range(draws):
        for case in cases:
            if (case, seed) not in finished:
                done.append(draw(case, seed))
                with DONE.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(done[-1]) + "\n")
    head = "# Shifts told apart\n\n`python benchmarks/shift_warnings.py 200`\n\n"
    (RESULTS / "warnings.md").write_text(head + described(done) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, tuple(sys.argv[2:]) or CASES)
