"""The curve of labels as a chart and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nlptl.report._chart import LEFT, RIGHT, WIDTH, Chart, line_chart
from nlptl.report.table import interval, number


@dataclass(frozen=True)
class Curve:
    """One task and target: a chart, and rows of (system, cells of (accuracy, interval, whether it is the best))."""

    title: str
    rows_scored: int
    draws: int
    chart: Chart | None
    shots: tuple[int, ...]
    labels: tuple[int, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...]


def curve_views(curves: Mapping[str, Mapping[str, Any]] | None) -> list[Curve]:
    """What the template draws; nothing where the recipe asked for no curve."""
    return [
        _view(f"{task}: {target}", curve)
        for task, of_task in (curves or {}).items()
        for target, curve in of_task.items()
        if curve["points"]
    ]


def _view(title: str, curve: Mapping[str, Any]) -> Curve:
    points = curve["points"]
    systems = list(dict.fromkeys(name for point in points for name in point["systems"]))
    best = [max((each["accuracy"] for each in point["systems"].values()), default=None) for point in points]
    rows = tuple(
        (name, tuple(_cell(point["systems"].get(name), top) for point, top in zip(points, best, strict=True)))
        for name in systems
    )
    shots = tuple(point["shots"] for point in points)
    labels = tuple(point["labels"] for point in points)
    return Curve(title, curve["n"], curve["draws"], _chart(title, points, systems), shots, labels, rows)


def _cell(found: Mapping[str, Any] | None, best: float | None) -> tuple[str, str, bool]:
    if found is None:
        return ("", "", False)
    return (number(found["accuracy"]), interval(found["ci95"]), found["accuracy"] == best)


def _chart(title: str, points: list[Mapping[str, Any]], systems: list[str]) -> Chart | None:
    """Accuracy against labels a class, whose numbers double from point to point: points lie at even distances. None
    where there is no line to draw."""
    points = [point for point in points if point["systems"]]
    if len(points) < 2:
        return None
    series = {
        name: [(float(place), point["systems"][name]["accuracy"]) for place, point in enumerate(points)
               if name in point["systems"]]
        for name in systems
    }  # fmt: skip
    step = (WIDTH - LEFT - RIGHT) / (len(points) - 1)
    ticks = tuple((round(LEFT + place * step, 1), str(point["shots"])) for place, point in enumerate(points))
    return replace(line_chart(title, series), x_ticks=ticks)
