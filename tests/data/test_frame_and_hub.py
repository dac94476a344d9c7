"""Tables of a notebook, and what the datasets library loads."""

from pathlib import Path

import datasets
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

import nlptl
from nlptl.contracts import Quarantine
from nlptl.data import Frame, Hub
from nlptl.data._files import FILE, LINE
from nlptl.errors import DataError, RecipeError


def table() -> pd.DataFrame:
    return pd.DataFrame({"text": ["a", "b"], "label": ["ham", None]}, index=[7, 3])


def classes() -> Dataset:
    features = Features({
        "text": Value("string"), "label": ClassLabel(names=["ham", "spam"]), "many": List(ClassLabel(names=["x", "y"])),
    })  # fmt: skip
    return Dataset.from_dict(
        {"text": list("abc"), "label": [1, -1, None], "many": [[1, -1, 0], [], None]}, features=features
    )


def test_lines_are_positions_whatever_the_index() -> None:
    rows = Frame(table=table()).frame(Quarantine())
    assert rows[["text", FILE, LINE]].values.tolist() == [["a", "frame", 1], ["b", "frame", 2]]


def test_equality_and_hash_are_those_of_settings_and_content() -> None:
    one = Frame(table=table())
    assert one == Frame(table=table())
    assert hash(one) == hash(Frame(table=table()))
    assert one != Frame(table=table(), text="label")
    assert one != Frame(table=table().assign(text=["a", "c"]))
    assert one != "frame"
    assert Frame(**one.model_dump()) == one


def test_a_later_change_of_the_table_changes_nothing() -> None:
    mine = table()
    source = Frame(table=mine)
    mine.loc[7, "text"] = "changed"
    assert source == Frame(table=table())


def test_a_frame_prints_its_size_not_its_rows() -> None:
    assert "table='<2 rows: text, label>'" in repr(Frame(table=table()))


@pytest.mark.parametrize("as_json", ["model_dump_json", "model_dump"])
def test_a_frame_cannot_be_saved_and_says_why(as_json: str) -> None:
    source = Frame(table=table())
    with pytest.raises(PydanticSerializationError, match="use kind 'parquet'") as error:
        source.model_dump_json() if as_json == "model_dump_json" else source.model_dump(mode="json")
    if as_json == "model_dump":
        assert isinstance(error.value.__cause__, RecipeError)


def test_the_record_of_a_run_describes_the_table() -> None:
    described = Frame(table=table()).model_dump(mode="json", context={"described": True})
    assert described["table"] == "<2 rows: text, label>"


@pytest.mark.parametrize("given", ["mail.csv", {"text": ["a"]}, None])
def test_only_tables_are_tables(given: object) -> None:
    with pytest.raises(ValidationError, match="in a recipe file use kind 'csv'"):
        Frame(table=given)


def test_class_labels_become_their_names() -> None:
    rows = Frame(table=classes()).frame(Quarantine())
    assert rows["label"].tolist() == ["spam", None, None]
    assert rows["many"].tolist() == [["y", "x"], [], None]


def test_a_list_of_no_class_label_is_a_row_without_labels() -> None:
    features = Features({"text": Value("string"), "many": List(ClassLabel(names=["x", "y"]))})
    rows = Frame(table=Dataset.from_dict({"text": ["a", "b"], "many": [[-1], [-1, 0]]}, features=features))
    assert rows.frame(Quarantine())["many"].tolist() == [None, ["x"]]


def test_a_dataset_dict_keeps_its_splits() -> None:
    rows = Frame(table=DatasetDict(train=classes(), test=classes())).frame(Quarantine())
    assert rows["split"].tolist() == ["train"] * 3 + ["test"] * 3


# --- hub --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local data set with two splits, named as one of the library's own loaders; its cache is there too."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    place = tmp_path / "csv"
    place.mkdir()
    pd.DataFrame({"text": ["a", "b"], "label": ["ham", "spam"]}).to_csv(place / "train.csv", index=False)
    pd.DataFrame({"text": ["c"], "label": ["ham"]}).to_csv(place / "test.csv", index=False)
    return place


def test_a_local_folder_with_its_splits(folder: Path) -> None:
    (folder.parent / "train.csv").write_text("text,label\nof another,ham\n")
    rows = Hub(name="csv").frame(Quarantine())
    assert rows[["text", "split", FILE, LINE]].values.tolist() == [
        ["a", "train", "csv[train]", 1], ["b", "train", "csv[train]", 2], ["c", "test", "csv[test]", 1],
    ]  # fmt: skip


def test_some_splits_only(folder: Path) -> None:
    assert Hub(name=folder, splits="test").frame(Quarantine())["text"].tolist() == ["c"]
    rows = Hub(name=folder, splits=["test", "train[:1]"]).frame(Quarantine())
    assert rows[["text", "split"]].values.tolist() == [["c", "test"], ["a", "train"]]


def test_a_split_column_of_the_data_set_itself_wins(folder: Path) -> None:
    (folder / "test.csv").unlink()
    pd.DataFrame({"text": ["a", "b"], "split": ["test", "dev"]}).to_csv(folder / "train.csv", index=False)
    assert Hub(name=folder).frame(Quarantine())["split"].tolist() == ["test", "dev"]


def test_splits_that_are_joined_are_to_be_listed() -> None:
    with pytest.raises(RecipeError, match=r"data\.splits: .* joins splits, .*; write \['train\[:80%\]', test\]\."):
        nlptl.Recipe(data={"kind": "hub", "name": "x", "splits": "train[:80%]+test"}, heads={"x": {"kind": "linear"}})


def test_whole_numbers_of_splits_stay_whole(folder: Path) -> None:
    """One split lacks the column, and in another a cell is empty."""
    Dataset.from_dict({"text": ["a", "b"], "user": [1234567890123456789, None]}).to_parquet(folder / "train.parquet")
    Dataset.from_dict({"text": ["c"], "user": [1234567890123456788]}).to_parquet(folder / "test.parquet")
    for name in ("train", "test"):
        (folder / f"{name}.csv").unlink()
    assert Hub(name=folder).frame(Quarantine())["user"].tolist() == [1234567890123456789, None, 1234567890123456788]
    lacking = DatasetDict(
        train=Dataset.from_dict({"text": ["a"], "user": [1234567890123456789]}), test=Dataset.from_dict({"text": ["b"]})
    )
    rows = Frame(table=lacking).frame(Quarantine())
    assert rows["user"][0] == 1234567890123456789 and pd.isna(rows["user"][1])


@pytest.mark.parametrize("name", ["pandas", "json"])
def test_a_loader_is_no_data_set(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' is a loader"):
        Hub(name=name).frame(Quarantine())


def test_what_cannot_be_loaded_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (
        Hub(name="nobody/nothing"), Hub(name=tmp_path / "empty"), Hub(name=folder, splits="dev"),
        Hub(name=folder, config="other"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=f"cannot load data set {source.name!r}"):
            source.frame(Quarantine())
