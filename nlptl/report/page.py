"""``report.html``: one page that needs nothing but itself, made from what a run folder holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nlptl.report._chart import Chart, line_chart
from nlptl.report._curves import curve_views
from nlptl.report.results import Results
from nlptl.report.table import interval, number, points, task_table

SHOWN_REJECTIONS = 50
SHOWN_LABELS = 12
"""Confusion tables with more labels than this become a list of the commonest confusions."""


def write_page(folder: Path) -> Path:
    """Write ``report.html`` into a run folder, from its ``results.json`` and, where they exist, its other files.

    Raises:
        DataError: ``results.json`` is absent or damaged.
    """
    results = Results.load(folder / "results.json")
    rejections = _lines(folder / "rejected.jsonl")
    page = render(
        "page.html.jinja",
        name=results["recipe"].get("name", folder.name),
        results=results,
        tables=[task_table(name, task) for name, task in results["tasks"].items()],
        confusions=[(name, domain, _confusion(matrix, task["labels"])) for name, task in results["tasks"].items()
                    for domain, matrix in task["confusion"].items()],
        reliability=_reliability(results["tasks"]),
        curves=curve_views(results["curves"]),
        charts=_charts(_lines(folder / "metrics.jsonl")),
        rejections=rejections[:SHOWN_REJECTIONS],
        reasons=Counter(line["reason"] for line in rejections).most_common(),
        encoder=list(_flat({key: _share(key, value) for key, value in results["encoder"].items()})),
        lock=list(_flat(json.loads(_text(folder / "lock.json") or "{}"))),
        recipe=_text(folder / "recipe.yaml"),
    )  # fmt: skip
    path = folder / "report.html"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def render(template: str, **values: Any) -> str:
    """One of this room's templates; everything put into HTML is escaped, and a missing value is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(enabled_extensions=("html.jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "points": points, "interval": interval}
    return environment.get_template(template).render(**values)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _lines(path: Path) -> list[dict[str, Any]]:
    # Not splitlines, which also parts lines at characters that JSON leaves as they are, such as U+2028.
    return [json.loads(line) for line in _text(path).split("\n") if line.strip()]


def _flat(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted place, value)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value if isinstance(value, str) else json.dumps(value)


def _share(fact: str, value: Any) -> Any:
    """The encoder's shares in per cent; its other facts as they are."""
    return f"{100 * value:.1f} %" if fact in ("truncated", "unknown") and value is not None else value


def _charts(entries: list[dict[str, Any]]) -> list[Chart]:
    """Learning curves: losses together, the learning rate, and each further number, one line a seed and turn."""
    numbers = {key for entry in entries for key, value in entry.items() if isinstance(value, float)}
    losses = sorted(numbers & {"loss", "validation_loss"})
    groups = [("loss", losses)] if losses else []
    groups += [(key, [key]) for key in sorted(numbers - {"loss", "validation_loss", "seconds"})]
    charts = []
    for title, keys in groups:
        series: dict[str, list[tuple[float, float]]] = {}
        for entry in entries:
            for key in keys:
                if isinstance(entry.get(key), (int, float)) and "step" in entry:
                    of_run = " ".join(f"{name} {entry[name]}" for name in ("seed", "turn") if name in entry)
                    series.setdefault(f"{key} {of_run}".strip(), []).append((entry["step"], entry[key]))
        if any(len(line) > 1 for line in series.values()):
            charts.append(line_chart(title, series))
    return charts


def _reliability(tasks: Mapping[str, Any]) -> list[Chart]:
    """A task's share of right answers against the confidence in them, one line a domain, beside the diagonal."""
    return [
        line_chart(name, {"as it should be": [(0.0, 0.0), (1.0, 1.0)]} | {
            domain: [(bin["confidence"], bin["right"]) for bin in bins]
            for domain, bins in list(task["reliability"].items())[: SHOWN_LABELS - 1]
        })
        for name, task in tasks.items()
    ]  # fmt: skip


def _confusion(matrix: Any, labels: list[str]) -> dict[str, Any]:
    """What the template draws: a table with shades, a list of the commonest confusions, or counts a label."""
    if isinstance(matrix, Mapping):
        counts = [(label, pair[1][1], pair[0][1], pair[1][0]) for label, pair in matrix.items()]
        return {"kind": "multilabel", "counts": counts}
    if len(labels) > SHOWN_LABELS:
        wrong = [
            (count, labels[truth], labels[answer])
            for truth, row in enumerate(matrix)
            for answer, count in enumerate(row)
            if count and truth != answer
        ]
        return {"kind": "list", "wrong": sorted(wrong, reverse=True)[:SHOWN_LABELS]}
    rows = [
        (labels[truth], [(count, count / (sum(row) or 1), truth == answer) for answer, count in enumerate(row)])
        for truth, row in enumerate(matrix)
    ]
    return {"kind": "table", "labels": labels, "rows": rows}
