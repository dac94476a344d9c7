"""A candidate serves where it surely wins, and nowhere else."""

import numpy as np
import pytest

from nlptl.errors import RunError
from nlptl.evaluate.gate import choose

ORDER = ("pooled", "shift", "own")


def columns(both: int, only_first: int, only_second: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.r_[np.ones(both + only_first), np.zeros(only_second)].astype(bool)
    second = np.r_[np.ones(both), np.zeros(only_first), np.ones(only_second)].astype(bool)
    return first, second


def test_the_exact_test_decides_by_hand() -> None:
    # 6 rows to 0: p = 2 / 2^6 = .03125; 5 to 0: .0625.
    for wins, shipped in ((6, "shift"), (5, "pooled")):
        pooled, shift = columns(10, 0, wins)
        verdict = choose(ORDER, {"ann": {"pooled": pooled, "shift": shift}})["ann"]
        assert verdict.shipped == shipped
        [trial] = verdict.trials
        assert (trial.only_candidate, trial.only_incumbent, trial.rows) == (wins, 0, 10 + wins)
        assert trial.p == pytest.approx(2 / 2**wins)
        assert trial.promoted == (shipped == "shift")


def test_holm_over_the_domains_takes_back_what_one_domain_alone_would_get() -> None:
    six, nine, even = columns(10, 0, 6), columns(10, 0, 9), columns(10, 3, 3)
    evidence = {name: dict(zip(ORDER, pair, strict=False)) for name, pair in zip("abc", (six, nine, even), strict=True)}
    verdicts = choose(ORDER, evidence)
    assert {name: verdict.shipped for name, verdict in verdicts.items()} == {"a": "pooled", "b": "shift", "c": "pooled"}
    assert verdicts["a"].trials[0].p_holm == pytest.approx(2 * 2 / 2**6)
    assert verdicts["b"].trials[0].p_holm == pytest.approx(3 * 2 / 2**9)


def test_a_surely_worse_candidate_never_serves() -> None:
    pooled, shift = columns(10, 30, 0)
    assert choose(ORDER, {"ann": {"pooled": pooled, "shift": shift}})["ann"].shipped == "pooled"


def test_the_dearer_one_must_beat_the_incumbent_not_the_cheapest() -> None:
    pooled = np.zeros(40, dtype=bool)
    shift, own = np.arange(40) < 20, np.arange(40) < 22
    verdict = choose(ORDER, {"ann": {"pooled": pooled, "shift": shift, "own": own}})["ann"]
    assert verdict.shipped == "shift"
    assert [trial.incumbent for trial in verdict.trials] == ["pooled", "shift"]


def test_candidates_that_could_not_be_made_are_passed_over() -> None:
    pooled, own = columns(10, 0, 12)
    verdict = choose(ORDER, {"ann": {"pooled": pooled, "own": own}, "bob": {"pooled": pooled}})
    assert verdict["ann"].shipped == "own"
    assert verdict["bob"].shipped == "pooled" and verdict["bob"].trials == ()


def test_no_rows_of_evidence_change_nothing() -> None:
    none = np.zeros(0, dtype=bool)
    assert choose(ORDER, {"ann": {"pooled": none, "own": none}})["ann"].shipped == "pooled"


def test_how_often_a_candidate_that_is_no_better_is_promoted() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        evidence = {
            name: {"pooled": rng.random(200) < 0.8, "shift": rng.random(200) < 0.8} for name in ("a", "b", "c", "d")
        }
        wrong += any(verdict.shipped != "pooled" for verdict in choose(ORDER, evidence).values())
    assert wrong / 300 <= 0.05  # the exact test is conservative; only promotions, not demotions, count


@pytest.mark.parametrize(
    ("right", "words"),
    [
        ({"shift": [True]}, "no evidence of 'pooled'"),
        ({"pooled": [True], "magic": [True]}, "'magic', which is none of pooled, shift, own"),
        ({"pooled": [True], "own": [True, False]}, "different numbers of rows"),
    ],
)
def test_evidence_that_does_not_fit_is_named(right: dict[str, list[bool]], words: str) -> None:
    with pytest.raises(RunError, match=words):
        choose(ORDER, {"ann": {name: np.array(column) for name, column in right.items()}})
