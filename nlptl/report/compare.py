"""Two runs, row by row: which of them is right more often on what both of them scored?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.errors import DataError
from nlptl.evaluate._measure import mean_over
from nlptl.evaluate._scores import correct, ratio
from nlptl.evaluate.compare import Mcnemar, holm, mcnemar
from nlptl.evaluate.intervals import around, bootstrap, collapsed, draw_seeds, effective_rows, with_phantom
from nlptl.evaluate.predictions import MODEL, Predictions
from nlptl.report.table import OVERALL, interval, number, points, tone

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from nlptl.contracts import Floats

RESAMPLES = 1000


@dataclass(frozen=True)
class Paired:
    """One domain of one task on the rows that both runs scored; ``gain`` is the second run's accuracy over the
    first's.
    """

    task: str
    domain: str
    n: int
    accuracy_a: float
    accuracy_b: float
    gain: float
    ci95: tuple[float, float]
    test: Mcnemar
    p_holm: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs set side by side; prints as a table."""

    run_a: str
    run_b: str
    rows: tuple[Paired, ...]
    only_a: int
    only_b: int

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(f"A: {self.run_a}\nB: {self.run_b}"), title_justify="left", caption_justify="left",
            caption=Text(
                "gain: points of accuracy of B over A on the same rows, with its 95 % interval; p: exact McNemar, "
                f"by Holm over domains. Rows scored only in A: {self.only_a}, only in B: {self.only_b}."
            ),
        )  # fmt: skip
        table.add_column("domain")
        for heading in ("n", "A", "B", "gain", "95 %", "only A right", "only B right", "p"):
            table.add_column(heading, justify="right")
        for row in self.rows:
            if row.domain == OVERALL:
                table.add_section()
            p = row.test.p if row.p_holm is None else row.p_holm
            facts = {"ci95": row.ci95, "p": p, "only_model": row.test.only_b, "only_baseline": row.test.only_a}
            style = {"better": "green", "worse": "red"}.get(tone(facts), "")
            table.add_row(
                Text(f"{row.task}: {row.domain}"), str(row.n), number(row.accuracy_a), number(row.accuracy_b),
                Text(points(row.gain), style), Text(interval(row.ci95, in_points=True)), str(row.test.only_a),
                str(row.test.only_b), f"{p:.2g}",
            )  # fmt: skip
        return table


def compare(run_a: Path, run_b: Path) -> Comparison:
    """Compare the models that two run folders shipped, on the (seed, task, id) that both scored.

    Intervals are paired and by the bootstrap over seeds and rows; Holm's correction is over the domains of a task; the
    mean of domains has the p value of all rows together.

    Raises:
        DataError: a run has no predictions or scored no row, the two share none, or they disagree on a row's label.
    """
    rights = [_rights(run) for run in (run_a, run_b)]
    both = rights[0].merge(rights[1], on=["task", "seed", "id"], suffixes=("_a", "_b"))
    if both.empty:
        raise DataError(
            f"runs {run_a} and {run_b} scored no row in common: compare runs of the same data, tasks and seeds."
        )
    odd = both[both["labels_a"] != both["labels_b"]]
    if len(odd):
        row = odd.iloc[0]
        raise DataError(
            f"runs {run_a} and {run_b} disagree on the labels of {len(odd)} rows, such as {row['id']!r} of task "
            f"{row['task']!r} ({row['labels_a']} and {row['labels_b']}): they read different data."
        )
    rng = np.random.default_rng(0)
    rows = [row for name, of_task in both.groupby("task", sort=False) for row in _compare_task(str(name), of_task, rng)]
    return Comparison(
        str(run_a), str(run_b), tuple(rows), len(rights[0]) - len(both), len(rights[1]) - len(both)
    )  # fmt: skip


def _rights(run: Path) -> pd.DataFrame:
    """One row a (task, seed, id): what it is a copy of, its domain, its labels' names, whether the model was right."""
    import pandas as pd

    predictions = Predictions.load(run / "predictions.parquet")
    parts = []
    for part in predictions.scored:
        names = np.array(predictions.tasks[part.task].labels, dtype=object)
        given = part.labels if part.labels.ndim == 2 else np.eye(len(names))[part.labels]
        labels = [", ".join(sorted(names[row == 1])) for row in given]
        right = correct(part.probabilities[MODEL], part.labels)
        columns = {"id": part.ids, "copy": part.copies, "domain": part.domains, "labels": labels, "right": right}
        parts.append(pd.DataFrame({"task": part.task, "seed": part.seed, **columns}))
    if not parts:
        raise DataError(f"run {run} scored no row: none of its targets has a label to be scored by, as compare needs.")
    return pd.concat(parts, ignore_index=True)


def _compare_task(task: str, rows: pd.DataFrame, rng: np.random.Generator) -> list[Paired]:
    seeds = sorted(rows["seed"].unique())
    draws = draw_seeds(len(seeds), resamples=RESAMPLES, rng=rng)
    domains = {str(name): of_domain for name, of_domain in rows.groupby("domain_a")}
    samples = [_resampled(of_domain, seeds, draws, rng) for of_domain in domains.values()]
    tests = [_test(of_domain) for of_domain in domains.values()]
    adjusted = holm([test.p for test in tests])
    made = []
    for place, (name, of_domain) in enumerate(domains.items()):
        a, b = (float(of_domain.groupby("seed")[column].mean().mean()) for column in ("right_a", "right_b"))
        ends = around(b - a, _gain(with_phantom(samples[place], of_domain["copy_a"].nunique(), rng=rng)))
        made.append(Paired(task, name, len(of_domain), a, b, b - a, ends, tests[place], adjusted[place]))
    if len(made) > 1:
        a, b = (float(np.mean([getattr(row, key) for row in made])) for key in ("accuracy_a", "accuracy_b"))
        rows_each = [of_domain["copy_a"].nunique() for of_domain in domains.values()]
        drawn = mean_over(collapsed(samples, rows_each, rng=rng))
        ends = around(b - a, _gain(with_phantom(drawn, effective_rows(rows_each), rng=rng)))
        made.append(Paired(task, OVERALL, len(rows), a, b, b - a, ends, _test(rows), None))
    return made


def _test(rows: pd.DataFrame) -> Mcnemar:
    return mcnemar(*(rows[key].to_numpy() for key in ("right_a", "right_b", "copy_a")))


def _gain(samples: Floats) -> Floats:
    return samples[:, 1] - samples[:, 0]


def _resampled(rows: pd.DataFrame, seeds: Sequence[Any], draws: Floats, rng: np.random.Generator) -> Floats:
    """(resamples, 2) accuracies of A and B on draws of seeds and rows."""
    parts = [(place, rows[rows["seed"] == seed]) for place, seed in enumerate(seeds)]
    parts = [(place, part) for place, part in parts if len(part)]
    rights = [part[["right_a", "right_b"]].to_numpy(float) for _, part in parts]

    def score(part: int, weights: Floats) -> Floats:
        return ratio(weights @ rights[part], weights.sum(axis=1, keepdims=True))

    copies = [part["copy_a"].to_numpy() for _, part in parts]
    return bootstrap(score, copies, seed_draws=draws[:, [place for place, _ in parts]], rng=rng)
