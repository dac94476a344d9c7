from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from nlptl.errors import DataError, RecipeError
from nlptl.transfer.plan import Turn

Made = Callable[..., Dataset]
Planned = Callable[..., list[Turn]]
FEW = {"source": ("ann", "bob"), "target": ("cy",)}


def ids(dataset: Dataset, rows: Iterable[int]) -> set[str]:
    names = list(dataset["id"])
    return {names[row] for row in rows}


def users(dataset: Dataset, rows: Iterable[int]) -> set[str]:
    return {name.split("/")[0] for name in ids(dataset, rows)}


# --- scored rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        {"target_labels": 0},
        {"target_labels": 3},
        {"target_labels": "all"},
        {"source": "*"},
        {"source": ("bob",)},
        {"protocol": "leave_one_out"},
        {"target": ("cy", "ann")},
        {"transductive": True},
        {"leaks": "keep"},
    ],
    ids=str,
)
def test_no_setting_moves_the_scored_rows(made: Made, planned: Planned, setting: dict[str, Any]) -> None:
    dataset = made()
    [plain] = planned(dataset, hold_out=0.3, **FEW)
    turn = planned(dataset, hold_out=0.3, **(FEW | setting))[0]
    scored = {name for name in ids(dataset, turn.score) if name.startswith("cy/")}
    assert scored == ids(dataset, plain.score)
    assert len(scored) == 12


def test_scored_rows_go_by_id_whatever_the_order_and_the_other_rows(made: Made, planned: Planned) -> None:
    dataset = made()
    [plain] = planned(dataset, hold_out=0.25, **FEW)
    shuffled = dataset.select(np.random.default_rng(0).permutation(len(dataset)))
    [moved] = planned(shuffled, hold_out=0.25, **FEW)
    fewer = dataset.filter(lambda row: row["domain"] != "ann")
    [alone] = planned(fewer, hold_out=0.25, source="bob", target="cy")
    assert ids(shuffled, moved.score) == ids(dataset, plain.score) == ids(fewer, alone.score)
    assert moved.score.tolist() == sorted(moved.score)


def test_the_seed_moves_the_scored_rows(made: Made, planned: Planned) -> None:
    first, second = (planned(made(), hold_out=0.5, seed=seed, **FEW)[0].score.tolist() for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(("share", "rows"), [(0.01, 1), (0.25, 10), (0.33, 13), (1.0, 40), (None, 8)])
def test_the_share_of_each_target_is_exact(made: Made, planned: Planned, share: float | None, rows: int) -> None:
    [turn] = planned(made(), source="bob", target=("ann", "cy"), hold_out=share, target_labels=0)
    assert len(turn.score) == 2 * rows


def test_in_time_order_the_latest_are_scored(made: Made, planned: Planned) -> None:
    dataset = made(time=[float(-place) for place in range(120)])
    [turn] = planned(dataset, hold_out=0.25, order="time", **FEW)
    assert turn.score.tolist() == list(range(80, 90))


def test_time_order_without_times_is_refused(made: Made, planned: Planned) -> None:
    with pytest.raises(RecipeError, match=r"data\.time"):
        planned(made(), order="time", **FEW)
    with pytest.raises(DataError, match="2 rows of the targets have no time"):
        planned(made(time=[None] * 2 + [1.0] * 116 + [None] * 2), order="time", **FEW)


def test_held_out_rows_without_label_are_counted_not_scored(made: Made, planned: Planned) -> None:
    labels = ["ham", "spam"] * 40 + ["ham", None] * 20
    dataset = made(spam=labels)
    [turn] = planned(dataset, hold_out=1.0, target_labels=0, **FEW)
    assert (len(turn.score), turn.unscorable) == (20, 20)
    assert not np.isin(np.arange(80, 120), turn.unlabelled).any()


# --- sample -----------------------------------------------------------------------------------------------------------


def test_sample_is_a_number_a_domain_and_blind_to_labels(made: Made, planned: Planned) -> None:
    dataset = made(users=("ann", "bob", "cy"))
    flipped = dataset.remove_columns("spam").add_column("spam", list(dataset["spam"])[::-1])
    first, second = (planned(data, sample=16, hold_out=0.5, target_labels=0, **FEW)[0] for data in (dataset, flipped))
    assert (len(first.teach), len(first.score), len(first.unlabelled)) == (32, 8, 8)
    for part in ("teach", "score", "unlabelled"):
        assert getattr(first, part).tolist() == getattr(second, part).tolist()


def test_a_larger_sample_holds_the_smaller_one(made: Made, planned: Planned) -> None:
    small, large = (planned(made(), sample=size, hold_out=1.0, target_labels=0, **FEW)[0] for size in (10, 20))
    assert set(small.teach) < set(large.teach)
    assert set(small.score) < set(large.score)


# --- what teaches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [False, True])
def test_hidden_target_labels_change_nothing_but_what_is_scored(made: Made, planned: Planned, reads: bool) -> None:
    labels = list(made()["spam"])
    fewer = labels[:80] + [None] * 20 + labels[:79:-2]
    whole, hidden = (
        planned(made(spam=column), hold_out=0.5, target_labels=0, transductive=reads, **FEW)[0]
        for column in (labels, fewer)
    )
    assert hidden.teach.tolist() == whole.teach.tolist()
    assert hidden.unlabelled.tolist() == whole.unlabelled.tolist()
    assert len(hidden.score) + hidden.unscorable == len(whole.score)
    assert hidden.unscorable > 0


def test_k_per_class_of_each_target(made: Made, planned: Planned) -> None:
    dataset = made()
    [turn] = planned(dataset, source="ann", target=("bob", "cy"), hold_out=0.5, target_labels=3)
    labels = np.array(dataset["spam"])
    for first in (40, 80):
        taught = turn.teach[(turn.teach >= first) & (turn.teach < first + 40)]
        assert sorted(labels[taught]) == ["ham"] * 3 + ["spam"] * 3
        assert np.isin(taught, turn.unlabelled).all()
    assert turn.labels_of_target == 12
    assert users(dataset, turn.teach) == {"ann", "bob", "cy"}


def test_more_labels_per_class_hold_the_fewer(made: Made, planned: Planned) -> None:
    drawn = [set(planned(made(), hold_out=0.5, target_labels=k, **FEW)[0].teach) for k in (1, 2, 8, "all")]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]


def test_a_class_with_fewer_gives_all_it_has(made: Made, planned: Planned) -> None:
    dataset = made(spam=["ham", "spam"] * 40 + ["ham"] * 38 + ["spam"] * 2)
    [turn] = planned(dataset, hold_out=0.1, target_labels=30, **FEW)
    rest = set(range(118, 120)) - set(turn.score)
    assert turn.labels_of_target == 30 + len(rest)


def test_k_per_class_counts_for_every_task_and_every_label(made: Made, planned: Planned) -> None:
    marks = [[], ["urgent"], ["private"], ["urgent", "private"], None] * 24
    topics = [None, "work", "home", "shop"] * 30
    dataset = made(topic=topics, marks=marks)
    [turn] = planned(dataset, tasks=("topic", "marks"), hold_out=0.25, target_labels=2, **FEW)
    taught = turn.teach[turn.teach >= 80]
    for topic in ("work", "home", "shop"):
        assert sum(topics[row] == topic for row in taught) >= 2
    for mark in ("urgent", "private"):
        assert sum(mark in (marks[row] or []) for row in taught) >= 2
    assert all(topics[row] is not None or marks[row] is not None for row in turn.teach)


def test_a_domain_in_both_follows_the_rules_of_a_target(made: Made, planned: Planned) -> None:
    dataset = made()
    [turn] = planned(dataset, source="*", target="cy", hold_out=0.5, target_labels=2)
    assert turn.sources == ("ann", "bob", "cy")
    assert (turn.teach >= 80).sum() == turn.labels_of_target == 4
    assert not np.isin(turn.score, turn.teach).any()


def test_leave_one_out_gives_each_target_its_turn(made: Made, planned: Planned) -> None:
    dataset = made()
    turns = planned(dataset, source="*", target="*", protocol="leave_one_out", hold_out=1.0, target_labels=0)
    assert [turn.name for turn in turns] == ["ann", "bob", "cy"]
    for turn in turns:
        assert turn.targets == (turn.name,)
        assert turn.name not in turn.sources
        assert users(dataset, turn.score) == {turn.name}
        assert users(dataset, turn.teach) == set(turn.sources)
        assert (len(turn.teach), len(turn.score)) == (80, 40)


def test_sources_lend_their_unlabelled_texts(made: Made, planned: Planned) -> None:
    dataset = made(spam=[None] * 10 + ["ham", "spam"] * 55)
    [turn] = planned(dataset, hold_out=1.0, target_labels=0, **FEW)
    assert turn.unlabelled.tolist() == list(range(10))
    assert turn.teach.tolist() == list(range(10, 80))


@pytest.mark.parametrize("labels", [0, 2, "all"])
def test_transductive_adds_just_the_scored_texts(made: Made, planned: Planned, labels: Any) -> None:
    plain, reads = (
        planned(made(), hold_out=0.25, target_labels=labels, transductive=reads, **FEW)[0] for reads in (False, True)
    )
    assert not np.isin(plain.score, plain.unlabelled).any()
    assert set(reads.unlabelled) == set(plain.unlabelled) | set(plain.score)
    assert reads.teach.tolist() == plain.teach.tolist()


# --- official splits --------------------------------------------------------------------------------------------------

SPLIT = (["train"] * 20 + ["validation"] * 5 + ["test"] * 10 + ["unlabelled"] * 5) * 3


def test_the_official_test_split_is_scored_and_never_teaches(made: Made, planned: Planned) -> None:
    dataset = made(split=SPLIT)
    [turn] = planned(dataset, **FEW)
    assert turn.score.tolist() == list(range(105, 115))
    assert set(np.array(SPLIT)[turn.teach]) == {"train"}
    assert len(turn.teach) == 60
    assert turn.validate.tolist() == [*range(20, 25), *range(60, 65), *range(100, 105)]
    assert turn.unlabelled.tolist() == [*range(35, 40), *range(75, 80), *range(80, 100), *range(115, 120)]


@pytest.mark.parametrize("labels", [0, 1])
def test_hidden_target_labels_are_hidden_in_its_validation_split_too(made: Made, planned: Planned, labels: int) -> None:
    [turn] = planned(made(split=SPLIT), target_labels=labels, **FEW)
    assert turn.validate.tolist() == [*range(20, 25), *range(60, 65)]
    assert np.isin(np.arange(100, 105), turn.unlabelled).all()


def test_a_share_sets_the_line_between_train_and_test_aside(made: Made, planned: Planned) -> None:
    dataset = made(split=SPLIT)
    [turn] = planned(dataset, hold_out=1.0, target_labels=0, **FEW)
    assert turn.score.tolist() == [*range(80, 100), *range(105, 115)]
    assert set(np.array(SPLIT)[turn.teach]) == {"train", "test"}


def test_a_thin_sample_keeps_the_official_split(made: Made, planned: Planned) -> None:
    split = ["train"] * 119 + ["test"]
    seeds = range(20)
    outcomes = set()
    for seed in seeds:
        try:
            outcomes.add(planned(made(split=split), sample=10, seed=seed, target_labels=0, **FEW)[0].score.tolist()[0])
        except RecipeError:
            outcomes.add(None)
    assert outcomes <= {119, None}
    assert None in outcomes


def test_domains_without_a_test_split_hold_out_a_fifth(made: Made, planned: Planned) -> None:
    dataset = made(split=["train"] * 80 + ["test"] * 3 + ["train"] * 37)
    [turn] = planned(dataset, source="ann", target=("bob", "cy"))
    assert (turn.score < 80).sum() == 8
    assert turn.score[turn.score >= 80].tolist() == [80, 81, 82]


def test_an_unknown_split_is_named(made: Made, planned: Planned) -> None:
    with pytest.raises(DataError, match=r"'tests' is none of .*did you mean 'test'"):
        planned(made(split=["tests"] * 120), **FEW)


# --- what cannot be meant ---------------------------------------------------------------------------------------------


def test_nothing_teaches(made: Made, planned: Planned) -> None:
    with pytest.raises(RecipeError, match=r"no labelled row that may teach.*transfer\.source"):
        planned(made(), source="cy", target="cy", target_labels=0)
    with pytest.raises(RecipeError, match="no labelled row that may teach"):
        planned(made(users=("ann",)), protocol="leave_one_out", target_labels=0)


def test_a_target_without_a_label_is_served_and_not_scored(made: Made, planned: Planned) -> None:
    [turn] = planned(made(spam=["ham", "spam"] * 40 + [None] * 40), **FEW)
    assert len(turn.score) == 0 and len(turn.teach) == 80
    assert set(turn.unlabelled) == set(range(80, 120))  # all its texts may be read


def test_labelled_targets_must_have_a_row_to_score(made: Made, planned: Planned) -> None:
    with pytest.raises(RecipeError, match=r"labelled rows in cy and holds none of them out.*transfer\.hold_out"):
        planned(made(split=["train"] * 119 + ["test"], spam=["ham", "spam"] * 59 + ["ham", None]), **FEW)


def test_one_label_only_cannot_be_learned(made: Made, planned: Planned) -> None:
    labels = ["ham"] * 80 + ["ham", "spam"] * 20
    with pytest.raises(DataError, match="the 80 rows that teach task 'spam' in turn 'all' do not differ"):
        planned(made(spam=labels), target_labels=0, **FEW)
    planned(made(spam=labels), target_labels=1, **FEW)


def test_a_task_that_nothing_teaches_is_named(made: Made, planned: Planned) -> None:
    with pytest.raises(DataError, match="the 0 rows that teach task 'topic'"):
        planned(made(topic=[None] * 80 + ["work", "home"] * 20), tasks=("spam", "topic"), target_labels=0, **FEW)


def test_a_turn_prints_as_what_it_is(made: Made, planned: Planned) -> None:
    assert repr(planned(made(), hold_out=0.5, target_labels=1, **FEW)[0]) == (
        "Turn('all': ann, bob → cy; 82 rows teach (2 of the target), 0 validate, 20 unlabelled, 20 scored)"
    )


@pytest.mark.real
def test_reviews_keep_their_official_splits(shared_data: Path, planned: Planned) -> None:
    table = pd.read_parquet(shared_data / "reviews_10domains.parquet")
    dataset = Dataset.from_dict(
        {
            "id": [str(place) for place in range(len(table))],
            "domain": table["domain"].tolist(),
            "split": table["split"].tolist(),
            "spam": [{"negative": "ham", "positive": "spam"}.get(label) for label in table["label"]],
        }
    )
    turns = planned(dataset, protocol="leave_one_out", target_labels=0)
    split = table["split"].to_numpy()
    assert len(turns) == 10
    for turn in turns:
        assert set(split[turn.score]) == {"test"}
        assert set(split[turn.teach]) == {"train"}
        assert len(turn.unlabelled) > 2000
