"""How many of the concept shifts in `shift_warnings.py` could any test name?

The same draws, texts and 50 labels, asked by two tests that no user can have, each at a false alarm rate of 5 %:

- rule known: knows p(label | text) of the sources exactly, and all concept shifts that might have been made (which
  wishes turn, which angle, within the cost of 3 to 10 points), each with its chance. By Neyman and Pearson the ratio of
  the labels' mean likelihood over these shifts to that without one is the most powerful test on average over them.
- both rules known: knows the target's too.

A user's test must learn the sources' rule from 600 rows and guess how a shift may look, so that it can only be weaker.
Writes `results/warnings_ceiling.md`, beside the share that kind `shift` named by `results/warnings.jsonl`.

    python benchmarks/shift_ceiling.py [draws]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from shift_warnings import CASES, DONE, LABELS, RESULTS, WAYS, rows_of

# `shift_warnings` puts tests/helpers on the path.
from made_shift import COST, FRESH, Domain, Pair  # isort: skip

ALPHA, DRAWS = 0.05, 1999
ANGLES = np.linspace(0.2, 1.2, 41)


def shifted(source: Domain) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """(way, chance within the way, fields) of every concept shift that ``made_shift`` draws, angles in steps."""
    for sign, angle in product((-1, 1), ANGLES):
        yield "rotated", 1.0, {"turn": sign * angle}
    for sure in (0.03, 0.97):
        yield "own mind", 1.0, {"wished": np.r_[source.wishes[:2], sure]}
        for turned, chance in (((True, False), 0.25), ((False, True), 0.25), ((True, True), 0.5)):
            wishes = np.where(turned, 1 - source.wishes[:2], source.wishes[:2])
            yield "turned", chance, {"wished": np.r_[wishes, sure]}


def possible(made: Pair, rng: np.random.Generator) -> list[tuple[float, dict[str, Any]]]:
    """(chance, fields) of the concept shifts that cost the sources' head as much as asked; ways are equally likely."""
    texts = made.source.texts(FRESH, rng)
    answers = made.head(texts.features) == 1
    ways: dict[str, list[tuple[float, dict[str, Any]]]] = {way: [] for way in WAYS}
    for way, chance, fields in shifted(made.source):
        ones = replace(made.source, **fields).chance(texts)
        if COST[0] <= made.reached - np.where(answers, ones, 1 - ones).mean() <= COST[1]:
            ways[way].append((chance, fields))
    return [(chance / sum(c for c, _ in found), fields) for found in ways.values() for chance, fields in found]


def named(case: str, seed: int) -> dict[str, Any]:
    """Whether each of the two tests names the concept shift of one draw."""
    made, _, texts, labels = rows_of(case, seed)
    rng = np.random.default_rng([seed, CASES.index(case), 2])
    null = replace(made.target, turn=0.0, wished=made.target.wishes)
    rules = [(1.0, {"turn": made.target.turn, "wished": made.target.wished})]
    held = null.chance(texts)[:LABELS]
    answers = np.vstack([labels[:LABELS] == 1, rng.random((DRAWS, LABELS)) < held])

    def found(rules: list[tuple[float, dict[str, Any]]]) -> bool:
        ratios = np.full(len(answers), -np.inf)
        for chance, fields in rules:
            now = replace(null, **fields).chance(texts)[:LABELS]
            logs = np.where(answers, np.log(now / held), np.log((1 - now) / (1 - held)))
            ratios = np.logaddexp(ratios, np.log(chance) + logs.sum(axis=1))
        return bool((1 + (ratios[1:] >= ratios[0]).sum()) / len(ratios) <= ALPHA)

    return {"case": case, "seed": seed, "way": made.way, "rule": found(possible(made, rng)), "both": found(rules)}


def table(done: list[dict[str, Any]]) -> str:
    """Shares named, by case and way."""
    ours = {(row["case"], row["seed"]): row for row in map(json.loads, DONE.read_text().splitlines())}
    lines = ["| made | draws | kind `shift` | rule known | both rules known |", "|" + "---|" * 5]
    for case in dict.fromkeys(row["case"] for row in done):
        for way in (None, *WAYS):
            rows = [row for row in done if row["case"] == case and way in (None, row["way"])]
            shift = np.mean(["concept" in ours[row["case"], row["seed"]]["found"] for row in rows])
            cells = [f"{np.mean([row[name] for row in rows]):.1%}" for name in ("rule", "both")]
            lines.append(f"| {case}{'' if way is None else ': ' + way} | {len(rows)} | {shift:.1%} | "
                         + " | ".join(cells) + " |")  # fmt: skip
    return "\n".join(lines)


def main(draws: int) -> None:
    """Ask every draw, and write the table."""
    cases = [case for case in CASES if "concept" in case]
    done = [named(case, seed) for case in cases for seed in range(draws)]
    head = f"# Concept shifts that any test could name\n\n`python benchmarks/shift_ceiling.py {draws}`\n\n"
    (RESULTS / "warnings_ceiling.md").write_text(head + table(done) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
