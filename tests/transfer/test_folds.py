import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlptl.contracts import Ints
from nlptl.errors import DataError
from nlptl.transfer.folds import MOST_DOMAINS, folds

LABELS = np.array([0, 1] * 30)
APART = np.arange(60)
THREE = np.repeat(["ann", "bob", "cy"], 20)


def test_three_domains_without_target_labels_are_held_out_whole() -> None:
    pairs = folds(labels=LABELS, domains=THREE, groups=APART, target_labels=0, seed=0)
    assert [set(THREE[held]) for _, held in pairs] == [{"ann"}, {"bob"}, {"cy"}]
    for teach, held in pairs:
        assert sorted([*teach, *held]) == list(range(60))


def test_near_copies_of_a_held_out_domain_do_not_teach() -> None:
    groups = APART.copy()
    groups[25] = groups[3]
    [first, second, third] = folds(labels=LABELS, domains=THREE, groups=groups, target_labels=0, seed=0)
    assert 25 not in first[0]
    assert 3 not in second[0]
    assert {3, 25} <= set(third[0])


@pytest.mark.parametrize(("domains", "target_labels"), [(THREE, 4), (np.repeat(["ann", "bob"], 30), 0)])
def test_else_five_stratified_parts(domains: np.ndarray, target_labels: int) -> None:
    pairs = folds(labels=LABELS, domains=domains, groups=APART, target_labels=target_labels, seed=0)
    assert len(pairs) == 5
    for _, held in pairs:
        assert np.bincount(LABELS[held]).tolist() == [6, 6]


def test_many_domains_are_dealt_whole() -> None:
    domains = np.repeat([f"user-{place}" for place in range(30)], 2)
    pairs = folds(labels=LABELS, domains=domains, groups=APART, target_labels=0, seed=0)
    assert len(pairs) == MOST_DOMAINS
    for teach, held in pairs:
        assert not set(domains[teach]) & set(domains[held])


def test_a_rare_class_costs_the_others_nothing() -> None:
    labels = np.array([0] * 50 + [1] * 9 + [2])
    pairs = folds(labels=labels, domains=np.repeat("ann", 60), groups=APART, target_labels=1, seed=0)
    assert len(pairs) == 5
    assert all({0, 1} <= set(labels[teach]) for teach, _ in pairs)


@pytest.mark.parametrize(("labels", "parts"), [([0, 1], 2), ([0, 0, 1, 1], 2), ([0, 0, 0, 1, 1, 1], 3), ([0, 1, 2], 2)])
def test_few_rows_make_few_parts(labels: list[int], parts: int) -> None:
    rows = np.arange(len(labels))
    pairs = folds(labels=np.array(labels), domains=np.repeat("ann", len(rows)), groups=rows, target_labels=1, seed=0)
    assert len(pairs) == parts
    assert sorted(np.concatenate([held for _, held in pairs])) == rows.tolist()


def test_rows_that_are_all_copies_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"the 60 rows that teach .*transfer\.source"):
        folds(labels=LABELS, domains=THREE, groups=np.zeros(60, dtype=np.int64), target_labels=0, seed=0)
    with pytest.raises(DataError, match="cannot be divided"):
        folds(labels=LABELS, domains=THREE, groups=np.zeros(60, dtype=np.int64), target_labels=1, seed=0)


def test_multilabel_rows_keep_groups_together() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(np.float32)
    groups = APART // 2
    pairs = folds(labels=labels, domains=np.repeat("ann", 60), groups=groups, target_labels=1, seed=0)
    assert len(pairs) == 5
    assert all(not set(groups[teach]) & set(groups[held]) for teach, held in pairs)


def test_the_seed_deals_the_parts() -> None:
    def held(seed: int) -> list[list[int]]:
        pairs = folds(labels=LABELS, domains=THREE, groups=APART, target_labels=1, seed=seed)
        return [held.tolist() for _, held in pairs]

    assert held(0) == held(0)
    assert held(0) != held(1)


@st.composite
def teaching(draw: st.DrawFn) -> tuple[Ints, np.ndarray, Ints, int]:
    rows = draw(st.integers(4, 40))

    def column(high: int) -> Ints:
        return np.array(draw(st.lists(st.integers(0, high), min_size=rows, max_size=rows)))

    return column(2), np.array(["ann", "bob", "cy", "dee"])[column(3)], column(12), draw(st.integers(0, 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(teaching())
def test_no_row_and_no_copy_is_on_both_sides(rows: tuple[Ints, np.ndarray, Ints, int]) -> None:
    labels, domains, groups, target_labels = rows
    try:
        pairs = folds(labels=labels, domains=domains, groups=groups, target_labels=target_labels, seed=0)
    except DataError:
        if len(set(groups)) > 1 and (target_labels or len(set(domains)) < 3):
            raise
        return
    for teach, held in pairs:
        assert len(teach)
        assert not set(groups[teach]) & set(groups[held])
    every = np.concatenate([held for _, held in pairs])
    assert len(every) == len(set(every))
