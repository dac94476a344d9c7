"""What a notebook asks of a model: texts, second texts and domains as lists, or why they cannot be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.errors import DataError
from nlptl.saved.answers import asked

ALONE: dict[str, str | None] = {"text": "body", "text_pair": None}
BY_PAIRS = ALONE | {"text_pair": "reply"}


def test_columns_of_a_table_are_taken_as_lists() -> None:
    table = pd.DataFrame({"body": ["a", "b"], "reply": ["x", ""], "user": ["ann", None]}, index=[7, 3])
    texts, pairs, domains = asked(table.body, table.reply, table.user, BY_PAIRS)  # type: ignore[arg-type]
    assert (texts, pairs, domains[0], len(domains)) == (["a", "b"], ["x", ""], "ann", 2)
    assert asked(["a"], None, None, ALONE)[:2] == (["a"], None)
    missing = pd.Series(["x", None, float("nan"), pd.NA], dtype=object)
    assert asked(list("abcd"), missing, None, BY_PAIRS)[1] == ["x", "", "", ""]  # as in training
    assert asked(["a"], ["x"], None, {})[1] == ["x"]  # what taught it is not known


@pytest.mark.parametrize(
    ("texts", "pairs", "columns", "said"),
    [
        ("win", None, ALONE, r"texts is one string, .*; write \[text\]"),
        (["win", None], None, ALONE, r"texts\[1\] is None, not a string"),
        (["win"], "prize", BY_PAIRS, "text_pair is one string"),
        (["win"], [3], BY_PAIRS, r"text_pair\[0\] is 3, not a string"),
        (["win", "lose"], ["prize"], BY_PAIRS, "2 texts and 1 in text_pair"),
        (["win"], ["prize"], ALONE, "text_pair is given, and the model was not taught by pairs; leave it out"),
        (["win"], None, BY_PAIRS, "taught by pairs .column 'reply' beside the text.*'' where there is none"),
    ],
)
def test_what_cannot_be_asked_says_which_text_and_what_to_do(
    texts: list[str], pairs: list[str] | None, columns: dict[str, str | None], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        asked(texts, pairs, None, columns)


def test_probabilities_are_those_of_the_table_of_answers(tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = nlptl.Recipe(
        name="test",
        data=nlptl.data.Frame(table=mail(rows=20), domain="user"),
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"spam": nlptl.heads.Linear(column="label", labels=("ham", "spam"), per="domain")},
        evaluate={"bootstrap": 100},
    )
    run = nlptl.fit(recipe, out=tmp_path / "run")
    model, texts, whose = nlptl.load(run.folder), ["win a prize", "the report"], ["ann", "nobody"]
    table, shares = model.predict(texts, domain=whose), model.predict_proba(texts, domain=whose)
    assert set(shares) == {"spam"}
    np.testing.assert_allclose(run.predict_proba(texts, domain=whose)["spam"], shares["spam"], atol=1e-6)
    np.testing.assert_array_equal(shares["spam"], table[[f"spam.{label}" for label in model.tasks["spam"].labels]])
