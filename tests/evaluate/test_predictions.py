from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_predictions import SPAM, TAGS, TOPIC, predictions, scored

from nlptl.errors import DataError, RunError
from nlptl.evaluate.predictions import Predictions


def test_what_is_saved_is_what_is_loaded_over_seeds_tasks_and_systems(tmp_path: Path) -> None:
    parts = [
        scored(SPAM, seed=0),
        scored(SPAM, seed=1, skills={"model": 0.9, "tfidf": 0.8, "linear": 0.7}),
        scored(TOPIC, domains={"ann": 12}),
        scored(TAGS, domains={"zoë/é": 9}),
    ]
    made = predictions(*parts, tasks=(SPAM, TOPIC, TAGS))
    loaded = Predictions.load(made.save(tmp_path / "predictions.parquet"))
    assert loaded.tasks == made.tasks
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]
    for before, after in zip(parts, loaded.scored, strict=True):
        assert (after.seed, after.turn, after.task) == (before.seed, before.turn, before.task)
        assert list(after.probabilities) == [
            s for s in ("model", "majority", "tfidf", "probe", "linear") if s in before.probabilities
        ]
        for name in ("ids", "copies", "domains", "labels", "shipped"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        for system, values in before.probabilities.items():
            np.testing.assert_array_equal(after.probabilities[system], values)


def test_the_file_reads_well_in_pandas_and_holds_no_text(tmp_path: Path) -> None:
    path = predictions(scored(TAGS, domains={"ann": 5}), tasks=(TAGS,)).save(tmp_path / "p.parquet")
    table = pd.read_parquet(path)
    assert list(table)[:8] == ["seed", "turn", "task", "id", "copy", "domain", "labels", "shipped"]
    assert set(np.concatenate(table["labels"].to_list())) <= {"x", "y", "z"}


def test_parts_by_domain_and_seed_join_turns() -> None:
    first = scored(seed=1, domains={"ann": 4})
    second = replace(scored(seed=1, domains={"ann": 3, "bob": 2}, draw=1, ids=list("vwxyz")), turn="other")
    by_domain = predictions(scored(seed=0, domains={"bob": 6}), first, second).by_domain("spam")
    assert {name: [(p.seed, len(p.ids)) for p in parts] for name, parts in by_domain.items()} == {
        "ann": [(1, 7)],
        "bob": [(0, 6), (1, 2)],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full(200, -1)}, "200 rows have no label"),
        ({"ids": np.arange(3)}, "differ in length"),
        ({"probabilities": {"tfidf": np.ones((200, 2))}}, "no system is named 'model'"),
        ({"probabilities": {"model": np.full((200, 2), np.nan)}}, "of model are not all numbers"),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match=f"task 'spam', seed 0, turn 'all': .*{message}"):
        replace(scored(), **change)


def test_a_row_scored_twice_under_one_seed_is_refused() -> None:
    with pytest.raises(RunError, match="task 'spam', seed 0: a row is scored twice"):
        predictions(scored(), replace(scored(), turn="again"))
    predictions(scored(seed=0), scored(seed=1))


def test_files_that_are_absent_damaged_or_foreign_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.parquet does not exist"):
        Predictions.load(tmp_path / "absent.parquet")
    broken = predictions(scored()).save(tmp_path / "broken.parquet")
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DataError, match=r"broken.parquet cannot be read"):
        Predictions.load(broken)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match=r"foreign.parquet holds no predictions"):
        Predictions.load(tmp_path / "foreign.parquet")
