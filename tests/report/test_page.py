import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_predictions import EVIL

from nlptl.errors import DataError
from nlptl.report._chart import POINTS, line_chart
from nlptl.report.page import write_page


class Tags(HTMLParser):
    """Collects tags, and says whether each one that opens is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    return tags


def test_one_page_that_asks_for_nothing_else(run_folder: Path) -> None:
    html = write_page(run_folder).read_text(encoding="utf-8")
    tags = parsed(html)
    names = [name for name, _ in tags.seen]
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    assert not any({"src", "href"} & set(attributes) for _, attributes in tags.seen)
    assert "@import" not in html and "url(" not in html
    assert "prefers-color-scheme: dark" in html and 'name="viewport"' in html
    # Loss and validation loss together, learning rate; of three tasks, a diagonal and four domains in all.
    assert names.count("svg") == 2 + 3 and names.count("polyline") == 3 + 3 + 4


def test_everything_of_the_run_is_on_it_and_texts_are_escaped(run_folder: Path) -> None:
    html = write_page(run_folder).read_text(encoding="utf-8")
    for shown in ("Who teaches whom", "Learning", "Confusion", "leaks: dropped", "no text", "mail.csv", "22,000,000",
                  "812 MB", "versions.torch", "2.13.0", "25.0 %",
                  "What the folds chose", "layers", "worse together", "-2.0", "-0.25",
                  "0.1235", "label_shift against solved 14 : 1 on 613 rows, p 0.0039,",
                  "own labels 2 : 0, domains 3 : 1, taken", "as it should be",
                  "nothing else could be made", "false alarms", "name: made", "Reliability"):  # fmt: skip
        assert shown in html, shown
    assert "<script>" not in html and html.count("&lt;script&gt;") >= 6


def test_only_results_are_needed(run_folder: Path) -> None:
    for name in ("metrics.jsonl", "rejected.jsonl", "lock.json", "recipe.yaml"):
        (run_folder / name).unlink()
    html = write_page(run_folder).read_text(encoding="utf-8")
    parsed(html)
    assert "<h2>Learning</h2>" not in html and "Confusion" in html
    (run_folder / "results.json").unlink()
    with pytest.raises(DataError, match=r"results.json does not exist"):
        write_page(run_folder)


def test_many_labels_become_a_list_of_the_commonest_confusions(run_folder: Path) -> None:
    values = json.loads((run_folder / "results.json").read_text())
    labels = [f"label{i}" for i in range(40)]
    matrix = [[10 * (i == j) for j in range(40)] for i in range(40)]
    matrix[3][5] = 7
    values["tasks"]["topic"] |= {"labels": labels, "confusion": {"ann": matrix}}
    (run_folder / "results.json").write_text(json.dumps(values))
    html = write_page(run_folder).read_text(encoding="utf-8")
    assert re.search(r"label3</th><td>label5</td><td>7<", html) and "label30" not in html


def test_a_chart_keeps_ends_thins_the_rest_and_survives_a_flat_line() -> None:
    long = [(float(x), 1.0 / x) for x in range(1, 5001)]
    chart = line_chart("loss", {"a": long, "b": [(1.0, 0.5), (5000.0, 0.5)]})
    points = chart.lines[0][1].split()
    assert len(points) <= POINTS + 1
    assert points[0] == "64.0,10.0" and points[-1] == "550.0,176.0"
    flat = line_chart("lr", {"a": [(1.0, 2.0), (2.0, 2.0)]})
    assert flat.lines[0][1] == "64.0,93.0 550.0,93.0"
    assert [text for _, text in flat.y_ticks] == ["1", "2", "3"]


def test_names_of_series_tell_seeds_and_turns_apart(run_folder: Path) -> None:
    from nlptl.report.page import _charts

    entries = [{"step": s, "loss": 0.5, "seed": seed, "turn": "ann"} for seed in (0, 1) for s in (1, 2)]
    (chart,) = _charts(entries)
    assert [name for name, _, _ in chart.lines] == ["loss seed 0 turn ann", "loss seed 1 turn ann"]
    assert EVIL  # the folder's fixture puts it into every file


def test_a_refused_row_may_quote_any_line_separator(run_folder: Path) -> None:
    rejection = {"file": "mail.csv", "line": 7, "reason": "no label\x85", "excerpt": "a\u2028b\u2029c\x1ed"}
    (run_folder / "rejected.jsonl").write_text(json.dumps(rejection, ensure_ascii=False) + "\n", encoding="utf-8")
    assert "a\u2028b\u2029c" in write_page(run_folder).read_text(encoding="utf-8")
