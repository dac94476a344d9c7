"""Line charts as the few numbers that an inline SVG needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 10, 10, 24
POINTS = 400
"""At most so many points a line: longer ones are thinned, since a page has no more pixels."""


@dataclass(frozen=True)
class Chart:
    """A title, lines as (name, SVG points, hue), and ticks as (place, text) along each axis."""

    title: str
    lines: tuple[tuple[str, str, int], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


def line_chart(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    """Lines of (x, y) on one pair of axes; each line's first, last and regularly thinned points are kept."""
    xs = [x for line in series.values() for x, _ in line]
    ys = [y for line in series.values() for _, y in line]
    (x_low, x_high), (y_low, y_high) = _span(xs), _span(ys)

    def place_x(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def place_y(y: float) -> float:
        return round(HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1)

    lines = tuple(
        (name, " ".join(f"{place_x(x)},{place_y(y)}" for x, y in _thinned(line)), 210 + 137 * place % 360)
        for place, (name, line) in enumerate(series.items())
    )
    return Chart(
        title, lines,
        tuple((place_x(x), f"{x:g}") for x in (min(xs), max(xs))),
        tuple((place_y(y), f"{y:.3g}") for y in (y_low, (y_low + y_high) / 2, y_high)),
    )  # fmt: skip


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.0 if high > low else abs(low) / 2 or 0.5
    return (low - margin, high + margin)


def _thinned(line: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    every = -(-len(line) // POINTS)
    return [*line[:-1:every], line[-1]]
