"""Labels and names of domains in a notebook are made as in training."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_model import made

import nlptl
from nlptl.contracts import Task
from nlptl.data._cells import NO_DOMAIN
from nlptl.heads import Linear
from nlptl.heads._domains import Deviations, Spread
from nlptl.heads._scaling import Scaling
from nlptl.saved import Model
from nlptl.saved.domains import DomainHeads, by_task
from nlptl.saved.whose import domain_name, domains_of

TEXTS = ["win a cash prize", "the meeting is on monday", "gas", "x y z"]


def per_domain(encoder: Path) -> Model:
    """A model of labels that were numbers, with per-domain heads of no domain yet."""
    model = made(encoder, labels=("0", "1"))
    nobody = Deviations(np.zeros((0, 32, 1)), np.zeros((0, 1)))
    model.domain_heads["spam"] = DomainHeads(Spread(1.0, 1.0), Scaling(np.zeros(32), 1.0), (), nobody)
    return model


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 1, None], np.array([0.0, 1.0, 1.0, np.nan]), pd.Series([0, 1, 1, None], index=[3, 1, 0, 2]),
     {"spam": [0, "1 ", 1.0, ""]}],
    ids=["list", "array", "column", "by task"],
)  # fmt: skip
def test_labels_are_named_as_in_training(labels: Any, tiny_encoder: Path) -> None:
    named, given = per_domain(tiny_encoder), per_domain(tiny_encoder)
    named.add_domain("ann", TEXTS, ["0", "1", "1", None])
    given.add_domain("ann", TEXTS, labels)
    answers = [model.predict(TEXTS, domain="ann") for model in (named, given)]
    pd.testing.assert_frame_equal(*answers)
    assert not np.allclose(answers[0]["spam.1"], named.predict(TEXTS)["spam.1"])


def test_several_labels_in_one_text_are_parted() -> None:
    task = Task("tags", Linear(multilabel=True, separator=";"), ("a", "b,c"))
    model: Any = SimpleNamespace(tasks={"tags": task}, domain_heads={"tags": None})
    assert by_task(model, ["a; b,c", "", ["b,c"], [], np.nan]) == {"tags": [["a", "b,c"], None, ["b,c"], [], None]}


def test_what_is_no_label_is_told_with_its_place(tiny_encoder: Path) -> None:
    with pytest.raises(nlptl.DataError, match=r"label 1 of task 'spam' is \['1'\] \(not text: list\)"):
        per_domain(tiny_encoder).add_domain("ann", TEXTS[:2], ["0", ["1"]])


def test_one_domain_may_be_a_number() -> None:
    assert domains_of(7, 2) == domains_of(7.0, 2) == domains_of(np.int64(7), 2) == ["7", "7"]  # type: ignore[arg-type]
    assert domains_of(float("nan"), 1) == domains_of(None, 1) == [NO_DOMAIN]
    with pytest.raises(nlptl.DataError, match=r"\['ann'\] names no domain \(not text: list\)"):
        domain_name(["ann"])  # type: ignore[arg-type]
