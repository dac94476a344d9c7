import io

import pytest
from made_predictions import EVIL, SPAM, TAGS, predictions, scored
from rich.console import Console

from nlptl.evaluate.summary import summarise
from nlptl.recipe import Evaluate
from nlptl.report.results import Results
from nlptl.report.table import interval, number, points, task_table, tone, verdict


def printed(results: Results, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(results)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9584, ".958"), (1.0, "1.000"), (0.0, ".000"), (10.5, "10.500"), (-0.2, "-0.200"), (None, "–")],
)
def test_numbers_as_they_are_printed(value: float | None, text: str) -> None:
    assert number(value) == text


def test_intervals_as_they_are_printed() -> None:
    assert interval([0.944, 0.971]) == ".944–.971"
    assert interval([-0.0123, 0.02], in_points=True) == "[-1.2, +2.0]"
    assert interval([None, None]) == ""


def test_the_terminal_shows_intervals_baselines_and_where_a_baseline_wins(results: Results) -> None:
    text = printed(results, 160)
    for shown in ("majority", "tfidf", "probe", "gain", "95 % intervals", "mean of domains", "▼"):
        assert shown in text
    flat = " ".join(text.split())
    assert f"tfidf is better on {EVIL} by" in flat  # the name as it is: neither markup nor lost
    assert "tfidf is better on ann" not in flat
    gain = results["tasks"]["spam"]["gains"]["domains"]["ann"]["better"]["accuracy"]
    assert f"{100 * gain:+.1f}" in text
    assert "recall_at_loss of ann: a loss of 0.01 takes at least 300 rows" in flat


def test_a_loss_is_told_with_its_size_and_interval_and_how_sure_it_is(results: Results) -> None:
    task = results["tasks"]["spam"]
    gain = task["gains"]["domains"][EVIL]["tfidf"]
    low, high = gain["ci95"]
    ends = f"[{-100 * high:.1f}, {-100 * low:.1f}]"
    (line,) = [line for line in task_table("spam", task).losses if line.startswith("tfidf")]
    assert line == f"tfidf is better on {EVIL} by {-100 * gain['accuracy']:.1f} points {ends}"
    unsure = {**gain, "ci95": [-0.1, 0.05], "accuracy": -0.02}
    changed = {**task, "gains": {**task["gains"], "domains": {**task["gains"]["domains"], EVIL: dict.fromkeys(
        ("majority", "tfidf", "probe", "better"), unsure)}}}  # fmt: skip
    lines = task_table("spam", changed).losses
    assert f"tfidf is better on {EVIL} by 2.0 points [-5.0, 10.0], not a sure difference" in lines


@pytest.mark.parametrize(
    ("ci95", "p", "expected"),
    [([1.0, 1.0], 1.0, "level"), ([-1.0, -1.0], 1.0, "level"), ([0.1, 0.2], 0.05, "better"),
     ([-0.2, -0.1], 0.01, "worse"), ([-0.1, 0.2], 0.01, "level")],
)  # fmt: skip
def test_one_row_makes_nothing_sure_whatever_its_interval(ci95: list[float], p: float, expected: str) -> None:
    votes = {"only_model": 9, "only_baseline": 1} if ci95[1] > 0 else {"only_model": 1, "only_baseline": 9}
    assert tone({"ci95": ci95, "p": p, **votes}) == expected
    assert tone({"ci95": ci95, "p": 0.0, "p_holm": p, **votes}) == expected


def test_a_mean_of_domains_and_a_test_of_all_rows_that_disagree_make_nothing_sure() -> None:
    """Five small domains gain, and a large one loses more rows than they win."""
    assert tone({"ci95": [0.05, 0.15], "p": 1e-6, "only_model": 140, "only_baseline": 300}) == "level"
    assert tone({"ci95": [-0.15, -0.05], "p": 1e-6, "only_model": 300, "only_baseline": 140}) == "level"


def test_marks_follow_the_interval_of_the_gain(results: Results) -> None:
    rows = {row.domain: row.tone for row in task_table("spam", results["tasks"]["spam"]).rows}
    assert rows["ann"] == "better" and rows[EVIL] == "worse"


def test_the_verdict_is_one_sentence_also_without_baselines(results: Results) -> None:
    task = results["tasks"]["topic"]
    assert "on ann; " in verdict("topic", task)
    bare = {**task, "gains": {"overall": {}, "domains": {"ann": {}}}, "baselines": {}}
    assert verdict("topic", bare).endswith("no baseline to set it against.")
    assert task_table("topic", bare).rows[0].gain == ("–", "")


def test_a_narrow_terminal_and_a_notebook_show_the_same(results: Results) -> None:
    assert "▼" in printed(results, 60)
    narrow, task = printed(results, 80), results["tasks"]["spam"]
    for gain in (gains["better"] for gains in task["gains"]["domains"].values()):
        assert all(points(number) in narrow for number in (gain["accuracy"], *gain["ci95"]))  # nothing is cut off
    html = results._repr_html_()
    assert "&lt;script&gt;" in html and "<script" not in html and "worse" in html


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (
            {"accuracy": 0.03, "ci95": [0.01, 0.05], "p": 0.01, "only_model": 9, "only_baseline": 1},
            "better than the better of tfidf and probe by 3.0 points of accuracy [+1.0, +5.0]",
        ),
        (
            {"accuracy": -0.03, "ci95": [-0.05, -0.01], "p": 0.01, "only_model": 1, "only_baseline": 9},
            "worse than the better of tfidf and probe by 3.0 points of accuracy [-5.0, -1.0]",
        ),
        (
            {"accuracy": 0.02, "ci95": [-0.01, 0.05], "p": 0.3, "only_model": 9, "only_baseline": 5},
            "no sure difference from the better of tfidf and probe (+2.0 points [-1.0, +5.0])",
        ),
    ],
)
def test_the_repr_is_each_tasks_verdict(results: Results, gain: dict[str, object], said: str) -> None:
    spam = results["tasks"]["spam"]
    task = {**spam, "gains": {**spam["gains"], "overall": {"better": gain}}}
    first = number(spam["overall"]["accuracy"])
    sentence = f"spam: accuracy {first} on the mean of 2 domains; {said}."
    assert repr(Results({"tasks": {"spam": task, "topic": results["tasks"]["topic"]}})) == (
        f"Results({sentence}; {verdict('topic', results['tasks']['topic'])})"
    )


def test_who_is_served_by_what_is_told_where_it_differs(results: Results) -> None:
    spam = results["tasks"]["spam"]
    one = next(iter(spam["domains"]))
    domains = {**spam["domains"], one: {**spam["domains"][one], "shipped": "per_domain"}}
    unlike = Results({**results, "tasks": {"spam": {**spam, "domains": domains}}})
    assert "served by" in printed(unlike, 160) and "per_domain" in printed(unlike, 160)
    alike = {name: {**facts, "shipped": "solved"} for name, facts in spam["domains"].items()}
    assert "served by" not in printed(Results({**results, "tasks": {"spam": {**spam, "domains": alike}}}), 160)


def test_no_difference_has_no_sign() -> None:
    assert points(-1e-5) == points(0.0) == "+0.0"


def test_without_metrics_gains_alone_are_told() -> None:
    made = predictions(scored(), scored(TAGS, domains={"ann": 30}), tasks=(SPAM, TAGS))
    tasks = summarise(made, [SPAM, TAGS], Evaluate(metrics=(), bootstrap=100), seed=0)
    text = printed(Results({"tasks": tasks}), 160)
    assert "spam: no metric on the mean of 2 domains; " in text
    assert "tags: no metric on ann; better than the better of tfidf and probe by" in text
    assert task_table("spam", tasks["spam"]).rows[0].baselines == ("–", "–", "–")
