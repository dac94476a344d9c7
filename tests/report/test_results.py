import json
from pathlib import Path

import numpy as np
import pytest

from nlptl.errors import DataError
from nlptl.report.results import Results


def test_the_first_task_is_repeated_at_the_top_and_designs_keys_are_there(results: Results) -> None:
    assert set(results) >= {
        "recipe", "seed", "tasks", "overall", "domains", "baselines", "matrix", "curves", "seeds", "seconds", "params",
        "peak_rss_mb", "leaks", "rejected", "encoder", "chosen",
    }  # fmt: skip
    for key in ("overall", "domains", "baselines"):
        assert results[key] == results["tasks"]["spam"][key]


def test_what_is_saved_is_what_is_loaded_and_no_number_is_none_in_json(results: Results, tmp_path: Path) -> None:
    path = results.save(tmp_path / "results.json")
    assert dict(Results.load(path)) == dict(results)
    assert "NaN" not in path.read_text() and results["encoder"]["unknown"] is None
    made = Results({"a": np.float32(0.5), "b": [np.inf, np.array([1, 2])], "c": (np.int64(3),)})
    assert json.loads(json.dumps(dict(made), allow_nan=False)) == {"a": 0.5, "b": [None, [1, 2]], "c": [3]}


def test_the_frame_has_a_row_for_each_system_of_each_domain(results: Results) -> None:
    frame = results.to_frame()
    row = frame.loc[("spam", "ann", "tfidf")]
    assert row["accuracy"] == results["baselines"]["tfidf"]["domains"]["ann"]["metrics"]["accuracy"]
    assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] and row["n"] == 200
    assert len(frame) == 4 * 4


def test_absent_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results.json does not exist"):
        Results.load(tmp_path / "results.json")
    (tmp_path / "results.json").write_text('{"a": ')
    with pytest.raises(DataError, match=r"results.json is damaged"):
        Results.load(tmp_path / "results.json")


def test_where_nothing_could_be_scored_the_frame_is_empty() -> None:
    task = {"domains": {}, "baselines": {}, "rungs": {}}
    frame = Results({"tasks": {"spam": task}}).to_frame()
    assert frame.empty and frame.index.names == ["task", "domain", "system"] and list(frame) == ["n"]
