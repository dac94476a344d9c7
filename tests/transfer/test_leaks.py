from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlptl.errors import DataError
from nlptl.transfer.leaks import Signatures, _bands, guard, guard_validation
from nlptl.transfer.plan import Turn

SENTENCE = "dear friend i write to you about a matter of some weight for which i seek your help before the month is out"
BODY = SENTENCE.split()


def turn(*, teach: list[int], score: list[int], validate: Any = (), unlabelled: Any = (), of_target: int = 0) -> Turn:
    rows = {"teach": teach, "score": score, "validate": validate, "unlabelled": unlabelled}
    return Turn(
        name="all", sources=("a",), targets=("b",), labels_of_target=of_target, unscorable=0,
        **{name: np.array(places, dtype=np.int64) for name, places in rows.items()},
    )  # fmt: skip


def altered(word: str, place: int = 0) -> str:
    """The body with one word put in another's place: near the body at the ends, less so in the middle."""
    return " ".join([*BODY[:place], word, *BODY[place + 1 :]])


def other(name: str) -> str:
    return " ".join(f"{name}{place}" for place in range(20))


TEXTS = [
    SENTENCE,  # scored
    SENTENCE.upper() + "!!",  # teaches: an exact copy
    altered("hi"),  # teaches: a near copy
    other("x"),  # teaches: its own text
    other("y"),  # scored
    other("Y"),  # read unlabelled: an exact copy
    altered("ho"),  # validates: a near copy
]
TURN = turn(teach=[1, 2, 3], score=[0, 4], unlabelled=[3, 5], validate=[6])


def test_counts_and_drops_the_teaching_side() -> None:
    clean, leaks = guard(TURN, Signatures.of(TEXTS), leaks="drop", near=0.8)
    assert (leaks.exact, leaks.near, leaks.dropped) == (2, 2, 4)
    assert (clean.teach.tolist(), clean.unlabelled.tolist(), clean.validate.tolist()) == ([3], [3], [])
    assert clean.score.tolist() == [0, 4]
    assert leaks.examples == ((1, 0), (2, 0), (5, 4), (6, 0))


def test_keep_counts_only() -> None:
    clean, leaks = guard(TURN, Signatures.of(TEXTS), leaks="keep", near=0.8)
    assert clean is TURN
    assert (leaks.exact, leaks.near, leaks.dropped) == (2, 2, 0)


def test_fail_names_counts_and_examples() -> None:
    with pytest.raises(DataError, match=r"2 teaching rows are copies .* 2 nearly so \(row 1 of 0, .*leaks: drop"):
        guard(TURN, Signatures.of(TEXTS), leaks="fail", near=0.8)
    clean = turn(teach=[3], score=[0, 4])
    assert guard(clean, Signatures.of(TEXTS), leaks="fail", near=0.8)[0] is clean


def test_copies_of_validation_rows_do_not_teach() -> None:
    """Labelled ones: texts that are read without labels may be copies."""
    choosing = turn(teach=[1, 2, 3], score=[4], validate=[0], unlabelled=[1, 5, 6], of_target=1)
    clean, leaks = guard_validation(choosing, Signatures.of(TEXTS), leaks="drop", near=0.8)
    assert (leaks.exact, leaks.near, leaks.dropped, leaks.examples) == (1, 1, 2, ((1, 0), (2, 0)))
    assert (clean.teach.tolist(), clean.validate.tolist(), clean.unlabelled.tolist()) == ([3], [0], [5, 6])
    assert guard_validation(choosing, Signatures.of(TEXTS), leaks="keep", near=0.8)[0] is choosing
    with pytest.raises(DataError, match="1 teaching rows are copies of validation rows and 1 nearly so"):
        guard_validation(choosing, Signatures.of(TEXTS), leaks="fail", near=0.8)
    with pytest.raises(DataError, match="all 2 rows that may teach are copies of validation rows"):
        guard_validation(turn(teach=[1, 2], score=[4], validate=[0]), Signatures.of(TEXTS), leaks="drop", near=0.8)


@pytest.mark.parametrize(("near", "found"), [(0.5, 2), (0.95, 0), (1.0, 0)])
def test_near_is_the_jaccard_similarity_of_shingles(near: float, found: int) -> None:
    # 23 words are 21 shingles; with another first word 20 of them are shared, of 22 in all.
    signatures = Signatures.of(TEXTS)
    assert signatures.jaccard(*signatures.texts[[0, 2]]) == pytest.approx(20 / 22)
    assert guard(TURN, signatures, leaks="keep", near=near)[1].near == found


def test_equal_sets_of_shingles_are_near_at_one() -> None:
    texts = ["a b c a b c a b c", "a b c a b c a b c a b c"]
    leaks = guard(turn(teach=[0], score=[1]), Signatures.of(texts), leaks="keep", near=1.0)[1]
    assert (leaks.exact, leaks.near) == (0, 1)


def test_scored_rows_that_may_be_read_are_no_leaks_against_themselves() -> None:
    texts = [*TEXTS, TEXTS[0]]
    reads = turn(teach=[3], score=[0, 4, 7], unlabelled=[0, 3, 4, 5, 7])
    clean, leaks = guard(reads, Signatures.of(texts), leaks="drop", near=0.8)
    assert clean.unlabelled.tolist() == [0, 3, 4, 7]
    assert leaks.exact == 1


def test_dropped_target_labels_are_no_longer_counted() -> None:
    mixed = turn(teach=[1, 2, 3], score=[0], unlabelled=[2, 3, 5], of_target=2)
    assert guard(mixed, Signatures.of(TEXTS), leaks="drop", near=0.8)[0].labels_of_target == 1


def test_nothing_left_to_teach_is_told() -> None:
    with pytest.raises(DataError, match=r"all 2 rows that may teach are copies.*transfer\.source"):
        guard(turn(teach=[1, 2], score=[0]), Signatures.of(TEXTS), leaks="drop", near=0.8)


def test_pairs_are_compared_whole() -> None:
    texts, pairs = [other("p"), other("p"), "a b"], [other("q"), other("r"), "c"]
    signatures = Signatures.of([*texts, "a"], [*pairs, "b c"])
    assert len(set(signatures.texts)) == 4
    leaks = guard(turn(teach=[0], score=[1]), signatures, leaks="keep", near=0.85)[1]
    assert (leaks.exact, leaks.near) == (0, 0)


def test_the_end_of_a_long_text_counts() -> None:
    head = " ".join(f"w{place}" for place in range(3000))
    texts = [head, f"{head} {' '.join(f'v{place}' for place in range(3000))}"]
    assert guard(turn(teach=[0], score=[1]), Signatures.of(texts), leaks="keep", near=0.85)[1].near == 0


@pytest.mark.parametrize("near", [0.2, 0.5, 0.85, 0.95, 1.0])
def test_the_index_misses_next_to_nothing(near: float) -> None:
    bands, rows = _bands(near)
    assert bands >= 2
    assert bands * rows <= 64
    assert (1 - near**rows) ** bands <= 1e-3


def test_every_copy_of_a_template_is_found() -> None:
    """Two hundred mails of one template, each with its own number: all near one another, all in one group."""
    texts = [f"{SENTENCE} order {place} was sent {' '.join(reversed(BODY))}" for place in range(200)]
    signatures = Signatures.of(texts)
    rows = np.arange(200)
    assert len(set(signatures.groups(rows, near=0.8))) == 1
    halves = turn(teach=[*range(100)], score=[*range(100, 200)])
    assert guard(halves, signatures, leaks="keep", near=0.8)[1].near == 100


def test_groups_chain_copies_and_keep_others_apart() -> None:
    chain = [" ".join(f"w{place}" for place in range(start, start + 40)) for start in (0, 2, 4)]
    texts = [*chain, other("z"), chain[1].upper(), other("z")]
    signatures = Signatures.of(texts)
    assert signatures.jaccard(0, 2) < 0.85 <= signatures.jaccard(0, 1)
    groups = signatures.groups(np.arange(6), near=0.85)
    assert len({*groups[[0, 1, 2, 4]]}) == 1
    assert groups[3] == groups[5] != groups[0]
    assert len(set(signatures.groups(np.array([0, 2]), near=0.85))) == 2


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), min_size=2, max_size=14))
def test_agrees_with_comparing_every_pair(words: list[list[str]]) -> None:
    texts = [" ".join(text) for text in words]
    signatures, half = Signatures.of(texts), len(texts) // 2
    taught, scored = list(range(half)), list(range(half, len(texts)))
    numbers = signatures.texts
    exact = {row for row in taught if numbers[row] in numbers[scored]}
    similar = {row: [signatures.jaccard(numbers[row], numbers[held]) for held in scored] for row in taught}
    near = {row for row in set(taught) - exact if max(similar[row]) >= 0.6}
    leaks = guard(turn(teach=taught, score=scored), signatures, leaks="keep", near=0.6)[1]
    assert (leaks.exact, leaks.near) == (len(exact), len(near))


@pytest.mark.real
def test_spam_that_two_users_got_is_found(shared_data: Path) -> None:
    table = pd.read_parquet(shared_data / "enron_spam_4users.parquet")
    table = table[table["user"].isin(["farmer-d", "williams-w3"])].reset_index(drop=True)
    own = (table["user"] == "williams-w3").to_numpy()
    whole = turn(teach=np.flatnonzero(~own).tolist(), score=np.flatnonzero(own).tolist())
    clean, leaks = guard(whole, Signatures.of(table["text"].tolist()), leaks="drop", near=0.85)
    assert leaks.exact >= 200
    assert leaks.near > 0
    assert len(clean.teach) == len(whole.teach) - leaks.exact - leaks.near
    assert not set(table["text"][clean.teach]) & set(table["text"][clean.score])
