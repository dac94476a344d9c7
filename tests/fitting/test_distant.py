"""Distant transfer in a run: which way is taken, what it reaches, and that no label on the way is read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_mail import mail

import nlptl
from nlptl.contracts import Task
from nlptl.data import Frame
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.fitting.distant import reach
from nlptl.heads import Linear
from nlptl.heads._solved import Solved, solve_head
from nlptl.transfer.plan import Turn


def turning(rows: int = 120) -> tuple[Corpus, Vectors, Turn, Solved]:
    """Domains d0 … d9, whose classes turn by 150 degrees from the first, which teaches, to the last, the target."""
    import datasets

    rng = np.random.default_rng(0)
    steps = np.repeat(np.arange(10), rows)
    classes = np.tile(np.arange(rows) % 2, 10)
    angle = np.deg2rad(150) * steps / 9
    around = 3 * (2 * classes - 1)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    vectors = np.column_stack([around + rng.normal(size=around.shape), 2.0 * steps + rng.normal(size=len(steps))])
    task = Task("side", Linear(), ("left", "right"))
    every = np.arange(len(steps))
    none = np.empty(0, np.int64)
    domains = np.array([f"d{step}" for step in steps], dtype=object)
    corpus = Corpus(
        datasets.Dataset.from_dict({"id": list(map(str, every))}), {"side": task}, domains,
        domains, None, domains, {"side": classes}, domains,
    )  # fmt: skip
    turn = Turn("d9", ("d0",), ("d9",), every[:rows], none, none, every[rows:], 0, 0)
    fold = np.arange(rows) % 2 == 0
    folds = [(np.flatnonzero(fold), np.flatnonzero(~fold)), (np.flatnonzero(~fold), np.flatnonzero(fold))]
    solved = solve_head(task, {"last": vectors[:rows]}, classes[:rows], folds)
    return corpus, Vectors(every, {"last": vectors}), turn, solved


def right(corpus: Corpus, vectors: Vectors, head: Solved) -> float:
    """The share of the target's rows that ``head`` answers rightly."""
    rows = np.flatnonzero(corpus.domains == "d9")
    answers = corpus.tasks["side"].probabilities(head.logits(vectors.of(rows, "last"))).argmax(1)
    return float((answers == corpus.encoded["side"][rows]).mean())


def test_the_way_reaches_a_target_that_direct_transfer_does_not() -> None:
    corpus, vectors, turn, solved = turning()
    reached, record = reach(corpus, vectors, turn, "side", solved)
    assert right(corpus, vectors, solved) < 0.6
    assert right(corpus, vectors, reached) > 0.85
    assert record["way"] == ["sources", *(f"d{step}" for step in range(1, 10))]
    assert max(record["steps"]) < record["direct"] / 4


def test_nothing_in_between_leaves_the_head_as_it_is() -> None:
    corpus, vectors, turn, solved = turning()
    near = replace(turn, unlabelled=turn.unlabelled[corpus.domains[turn.unlabelled] == "d9"])
    reached, record = reach(corpus, vectors, near, "side", solved)
    assert reached is solved and record["way"] == ["sources", "d9"]


def recipe(model: Path, table: Any, **transfer: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        data=Frame(table=table, domain="user"),
        transfer={"source": "ann", "target": "dee", "target_labels": 0, "hold_out": 0.5, "through": "*"} | transfer,
        encoder={"model": str(model), "max_length": 24},
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        evaluate={"bootstrap": 100},
    )


def test_labels_of_domains_in_between_are_not_read(tiny_encoder: Path, tmp_path: Path) -> None:
    table = mail()
    between = ~table["user"].isin(["ann", "dee"])
    turned = table.assign(label=table["label"].where(~between, "ham"))
    runs = [nlptl.fit(recipe(tiny_encoder, data), out=tmp_path / str(n)) for n, data in enumerate((table, turned))]
    [chosen] = runs[0].results["chosen"]
    assert (chosen["way"][0], chosen["way"][-1]) == ("sources", "dee")
    assert set(chosen["way"]) <= {"sources", "bob", "cy", "dee"}
    assert len(chosen["steps"]) == len(chosen["way"]) - 1 and max(chosen["steps"]) <= chosen["direct"]
    assert runs[0].results["overall"] == runs[1].results["overall"]


@pytest.mark.parametrize(
    ("transfer", "said"),
    [
        ({"target_labels": 4}, "is for targets without labels"),
        ({"hold_out": 1.0}, "hold_out: 1 leaves none"),
        ({"weigh": "similarity"}, "stands alone"),
    ],
)
def test_what_cannot_be_gone_through_is_said(tiny_encoder: Path, transfer: dict[str, Any], said: str) -> None:
    with pytest.raises(nlptl.RecipeError, match=said):
        recipe(tiny_encoder, mail(), **transfer)


def test_several_targets_are_refused_before_an_earlier_run_is_cleared(tiny_encoder: Path, tmp_path: Path) -> None:
    nlptl.fit(recipe(tiny_encoder, mail()), out=tmp_path / "run")
    with pytest.raises(nlptl.RecipeError, match=r"transfer.through leads to one target, and turn 'all' serves cy, dee"):
        nlptl.fit(recipe(tiny_encoder, mail(), target=["cy", "dee"]), out=tmp_path / "run")
    assert (tmp_path / "run" / "results.json").is_file()
