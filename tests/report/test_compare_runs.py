import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_predictions import EVIL, SPAM, TAGS, predictions, scored
from rich.console import Console

from nlptl.errors import DataError
from nlptl.evaluate.compare import mcnemar
from nlptl.evaluate.predictions import LabelSet, Predictions
from nlptl.report.compare import compare
from nlptl.report.table import OVERALL

WEAK = {"model": 0.3}


def run(folder: Path, *parts, tasks=(SPAM,)) -> Path:
    folder.mkdir()
    predictions(*parts, tasks=tasks).save(folder / "predictions.parquet")
    return folder


def test_gains_on_shared_rows_with_the_test_by_hand(tmp_path: Path) -> None:
    strong, weak = scored(), scored(skills=WEAK)
    a, b = run(tmp_path / "a", weak), run(tmp_path / "b", strong)
    compared = compare(a, b)
    assert [row.domain for row in compared.rows] == ["ann", "bob", "mean of domains"]
    right = {n: p.probabilities["model"].argmax(1) == p.labels for n, p in (("a", weak), ("b", strong))}
    ann = strong.domains == "ann"
    row = compared.rows[0]
    assert row.n == 120 and row.gain == pytest.approx(right["b"][ann].mean() - right["a"][ann].mean())
    assert row.test == mcnemar(right["a"][ann], right["b"][ann])
    assert 0 < row.ci95[0] < row.gain < row.ci95[1]
    assert compared.rows[2].gain == pytest.approx(np.mean([r.gain for r in compared.rows[:2]]))


def test_order_of_rows_and_of_labels_does_not_matter_and_a_run_equals_itself(tmp_path: Path) -> None:
    part = scored()
    order = np.random.default_rng(0).permutation(len(part.ids))
    turned = replace(
        part, ids=part.ids[order], copies=part.copies[order], domains=part.domains[order], shipped=part.shipped[order],
        labels=1 - part.labels[order], probabilities={"model": part.probabilities["model"][order][:, ::-1]},
    )  # fmt: skip
    a = run(tmp_path / "a", part)
    b = tmp_path / "b"
    b.mkdir()
    Predictions({"spam": LabelSet(("spam", "ham"))}, (turned,)).save(b / "predictions.parquet")
    for row in compare(a, b).rows:
        assert (row.gain, row.test.p) == (0, 1) and row.ci95[0] <= 0 <= row.ci95[1]


def test_copies_of_one_text_have_one_vote(tmp_path: Path) -> None:
    """Ten mails are told apart, and they are one."""
    weak, strong = (scored(domains={"ann": 60}, skills={"model": right}) for right in (1.0, 1.0))
    copies = np.where(np.arange(60) < 10, strong.ids[0], strong.ids).astype(object)
    wrong = weak.probabilities["model"].copy()
    wrong[:10] = wrong[:10, ::-1]
    weak, strong = replace(weak, copies=copies, probabilities={"model": wrong}), replace(strong, copies=copies)
    [row] = compare(run(tmp_path / "a", weak), run(tmp_path / "b", strong)).rows
    assert (row.n, row.test.only_b, row.test.p) == (60, 1, 1.0) and row.ci95[0] <= 0


def test_rows_of_one_run_alone_are_counted_and_left_out(tmp_path: Path) -> None:
    part = scored(domains={"ann": 30})
    a = run(tmp_path / "a", part, scored(seed=1, domains={"ann": 10}))
    b = run(tmp_path / "b", part, scored(seed=0, domains={"bob": 7}, draw=1))
    compared = compare(a, b)
    assert (compared.only_a, compared.only_b, compared.rows[0].n) == (10, 7, 30)
    assert len(compared.rows) == 1


def test_several_seeds_and_a_multilabel_task(tmp_path: Path) -> None:
    parts = [scored(TAGS, seed=seed, domains={"ann": 40}) for seed in (0, 1)]
    parts.append(scored(TAGS, seed=1, domains={"bob": 20}, draw=1))
    compared = compare(run(tmp_path / "a", *parts, tasks=(TAGS,)), run(tmp_path / "b", *parts, tasks=(TAGS,)))
    assert [row.n for row in compared.rows] == [80, 20, 100]


def test_runs_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    part = scored()
    a = run(tmp_path / "a", part)
    with pytest.raises(DataError, match="scored no row in common"):
        compare(a, run(tmp_path / "b", scored(seed=9)))
    with pytest.raises(DataError, match="disagree on the labels of 200 rows, such as 'ann-0'"):
        compare(a, run(tmp_path / "c", replace(part, labels=1 - part.labels)))
    with pytest.raises(DataError, match=r"run .*/d scored no row: none of its targets has a label"):
        compare(a, run(tmp_path / "d", scored(domains={"ann": 0})))
    with pytest.raises(DataError, match=r"predictions.parquet does not exist"):
        compare(a, tmp_path / "nowhere")


def test_it_prints_names_as_they_are(tmp_path: Path) -> None:
    part = scored(domains={EVIL: 30, "ann": 30})
    console = Console(file=io.StringIO(), width=200)
    console.print(compare(run(tmp_path / "a", part), run(tmp_path / "b", part)))
    text = console.file.getvalue()
    assert EVIL in text and "exact McNemar" in text and re.search(rf"{OVERALL} .*\[-\d\.\d, \+\d\.\d\]", text)
