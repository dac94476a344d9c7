"""A run in Python and its folder: what is saved is this run's own, and each card tells what its model answered."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from made_mail import mail

import nlptl
from nlptl.fitting.turn import _columns

TEXTS = ["win a free cash prize", "the report for monday", "gas contract"]


def fitted(encoder: Path, folder: Path, people: tuple[str, ...], **sections: Any) -> nlptl.Run:
    """Frozen, on ``people``'s mail, in ``folder/run``."""
    settings: dict[str, Any] = {
        "data": {"kind": "frame", "table": mail(24, people), "domain": "user"},
        "transfer": {"hold_out": 0.5},
        "encoder": {"model": str(encoder), "max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.fit(nlptl.Recipe(**settings | sections), out=folder / "run")


@pytest.fixture(scope="module")
def chosen(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """A model a person, and beside them the one that all taught."""
    transfer = {"choose": "auto", "hold_out": 0.5}
    return fitted(tiny_encoder, tmp_path_factory.mktemp("chosen"), ("ann", "bob", "cy"), transfer=transfer)


def test_the_model_of_another_run_in_the_same_folder_is_not_saved(tiny_encoder: Path, tmp_path: Path) -> None:
    first = fitted(tiny_encoder, tmp_path, ("ann", "bob"))
    first.save(tmp_path / "saved")
    second = fitted(tiny_encoder, tmp_path, ("ann", "bob"), seed=1)
    with pytest.raises(nlptl.ModelError, match=r"run holds another run by now.*a folder of its own \(out=\)"):
        first.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    pd.testing.assert_frame_equal(nlptl.load(tmp_path / "saved").predict(TEXTS), first.predict(TEXTS), atol=1e-6)
    pd.testing.assert_frame_equal(
        nlptl.load(second.save(tmp_path / "other")).predict(TEXTS), second.predict(TEXTS), atol=1e-6
    )
    (tmp_path / "run" / "results.json").unlink()  # as where a third run has begun
    with pytest.raises(nlptl.ModelError, match="or one that has not ended"):
        second.save(tmp_path / "third")


def test_each_card_tells_what_its_own_model_answered(chosen: nlptl.Run) -> None:
    for person in ("ann", "bob", "cy"):
        card = ModelCard.load(chosen.folder / "model" / person / "README.md")
        assert {result.dataset_name for result in card.data.eval_results} == {person}
        worth = card.content.split("## What it is worth")[1]
        assert f" on {person}" in worth and "mean of" not in worth
        assert not any(other in worth for other in {"ann", "bob"} - {person})
    shared = ModelCard.load(chosen.folder / "model" / "shared.model" / "README.md")
    assert shared.data.eval_results is None and "It was not scored: " in shared.content
    assert "## For whom" not in shared.content and "## What it cost" in shared.content


def test_a_column_of_texts_is_read_by_place_by_many_models(chosen: nlptl.Run) -> None:
    model, whose = nlptl.load(chosen.folder), ["cy", "zed", "ann"]
    column: Any = pd.Series(TEXTS, index=[1, 2, 0])
    expected = model.probabilities(TEXTS, domains=whose)["spam"]
    np.testing.assert_allclose(model.probabilities(column, domains=whose)["spam"], expected, atol=1e-6)


def test_a_model_is_taught_by_pairs_where_any_source_has_them() -> None:
    sources = {"a": {"kind": "csv", "path": "a.csv"}, "b": {"kind": "csv", "path": "b.csv", "text_pair": "reply"}}
    assert _columns(nlptl.Recipe(data=sources, heads={"spam": {"kind": "linear"}}))["text_pair"] == "reply"
    alone = nlptl.Recipe(data=sources["a"], heads={"spam": {"kind": "linear"}})
    assert _columns(alone)["text_pair"] is None
