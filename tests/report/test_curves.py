"""The curve of labels in the page: one line a system, the best of each point marked, names escaped."""

from pathlib import Path

from made_predictions import EVIL

from nlptl.report._chart import LEFT, RIGHT, WIDTH
from nlptl.report._curves import curve_views
from nlptl.report.page import write_page
from nlptl.report.results import Results


def cell(accuracy: float) -> dict[str, object]:
    return {"accuracy": accuracy, "ci95": [accuracy - 0.1, accuracy + 0.1]}


CURVES = {
    "spam": {
        EVIL: {
            "n": 200, "draws": 3, "points": [
                {"shots": 0, "labels": 0, "systems": {"sources": cell(0.75)}},
                {"shots": 1, "labels": 2, "systems": {"sources": cell(0.75), "labels": cell(0.625)}},
                {"shots": 8, "labels": 16, "systems": {"sources": cell(0.75), "labels": cell(0.875)}},
            ],
        },
    },
}  # fmt: skip


def test_points_stand_at_even_distances_with_their_labels() -> None:
    [view] = curve_views(CURVES)
    assert view.chart is not None
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert view.chart.x_ticks == ((LEFT, "0"), (middle, "1"), (WIDTH - RIGHT, "8"))
    lines = {name: points.split() for name, points, _ in view.chart.lines}
    assert [point.split(",")[0] for point in lines["labels"]] == [str(float(middle)), str(float(WIDTH - RIGHT))]
    assert len(lines["sources"]) == 3


def test_the_best_of_each_point_is_marked() -> None:
    [view] = curve_views(CURVES)
    best = {name: [marked for _, _, marked in cells] for name, cells in view.rows}
    assert best == {"sources": [True, True, False], "labels": [False, False, True]}
    assert dict(view.rows)["labels"][0] == ("", "", False)


def test_no_curve_no_chart() -> None:
    assert curve_views(None) == []
    alone = {"spam": {"ann": {"n": 1, "draws": 1, "points": CURVES["spam"][EVIL]["points"][:1]}}}
    assert curve_views(alone)[0].chart is None


def test_the_page_shows_it_with_names_escaped(results: Results, run_folder: Path) -> None:
    Results(dict(results) | {"curves": CURVES}).save(run_folder / "results.json")
    page = write_page(run_folder).read_text(encoding="utf-8")
    assert "With few labels" in page and ".625" in page and "<b>.875</b>" in page
    assert EVIL not in page
