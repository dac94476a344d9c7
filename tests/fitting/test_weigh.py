"""Sources weighed by what they say of the target's texts: the odd one out counts for nothing."""

from pathlib import Path

import numpy as np
import pytest
from made_mail import mail

import nlptl


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """Four people's mail; bob calls ham what the others call spam."""
    table = mail()
    of_bob = table["user"] == "bob"
    table.loc[of_bob, "label"] = np.where(table.loc[of_bob, "label"] == "spam", "ham", "spam")
    table.to_parquet(tmp_path / "mail.parquet")
    return tmp_path / "mail.parquet"


def recipe(model: Path, path: Path, weigh: str, **transfer: object) -> nlptl.Recipe:
    return nlptl.Recipe(
        name="weighed",
        data={"kind": "parquet", "path": str(path), "domain": "user"},
        transfer={"target": "dee", "target_labels": 0, "hold_out": 0.5, "weigh": weigh, **transfer},
        encoder={"model": str(model), "max_length": 24, "lexical": "tfidf"},
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        evaluate={"bootstrap": 100, "matrix": True},
    )


@pytest.mark.parametrize("weigh", ["similarity", "nearest:2"])
def test_the_source_that_contradicts_the_others_does_not_teach(
    tiny_encoder: Path, turned: Path, tmp_path: Path, weigh: str
) -> None:
    equal = nlptl.fit(recipe(tiny_encoder, turned, "equal"), out=tmp_path / "equal")
    run = nlptl.fit(recipe(tiny_encoder, turned, weigh), out=tmp_path / "run")
    [chosen] = run.results["chosen"]
    assert chosen["weights"]["bob"] == 0 < min(chosen["weights"]["ann"], chosen["weights"]["cy"])
    assert chosen["trusted"]["bob"] < 0.5 < chosen["trusted"]["ann"]
    assert run.results["overall"]["accuracy"] == 1.0 >= equal.results["overall"]["accuracy"]


def test_the_only_source_that_counts_is_divided_to_choose_by(tiny_encoder: Path, turned: Path, tmp_path: Path) -> None:
    [chosen] = nlptl.fit(recipe(tiny_encoder, turned, "nearest:1"), out=tmp_path / "run").results["chosen"]
    assert sorted(chosen["weights"].values()) == [0, 0, 1]
    assert chosen["loss"] < 0.6 and chosen["folds"] == 5  # of a head that nothing taught: 0.693


@pytest.mark.parametrize(
    ("weigh", "transfer", "words"),
    [
        ("nearest:0", {}, "transfer.weigh"),
        ("similarity", {"hold_out": 1.0}, "hold_out: 1 leaves none"),
        ("similarity", {"choose": "auto"}, "cannot be asked together"),
        ("equal", {"apart": [["ann", "bob"], ["ann"]]}, "'ann' is in two groups"),
    ],
)
def test_what_cannot_be_weighed_is_said(
    tiny_encoder: Path, turned: Path, weigh: str, transfer: dict[str, object], words: str
) -> None:
    with pytest.raises(nlptl.RecipeError, match=words):
        recipe(tiny_encoder, turned, weigh, **transfer)
