"""A candidate serves where it surely wins, and nowhere else."""

from collections.abc import Mapping

import numpy as np
import pytest

from nlptl.errors import RunError
from nlptl.evaluate.gate import Evidence, Trial, choose

ORDER = ("pooled", "shift", "own")


def of_one(right: Mapping[str, np.ndarray]) -> Evidence:
    """Rows of one domain that rehearsed, no copies among them."""
    rows = len(next(iter(right.values())))
    return Evidence(right, np.full(rows, "another", dtype=object), np.arange(rows))


def columns(both: int, only_first: int, only_second: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.r_[np.ones(both + only_first), np.zeros(only_second)].astype(bool)
    second = np.r_[np.ones(both), np.zeros(only_first), np.ones(only_second)].astype(bool)
    return first, second


def test_the_exact_test_decides_by_hand() -> None:
    # 6 rows to 0: p = 2 / 2^6 = .03125; 5 to 0: .0625.
    for wins, shipped in ((6, "shift"), (5, "pooled")):
        pooled, shift = columns(10, 0, wins)
        verdict = choose(ORDER, {"ann": of_one({"pooled": pooled, "shift": shift})})["ann"]
        assert verdict.shipped == shipped
        [trial] = verdict.trials
        assert (trial.only_candidate, trial.only_incumbent, trial.rows) == (wins, 0, 10 + wins)
        assert trial.p == pytest.approx(2 / 2**wins)
        assert trial.promoted == (shipped == "shift")


def test_holm_over_the_domains_takes_back_what_one_domain_alone_would_get() -> None:
    six, nine, even = columns(10, 0, 6), columns(10, 0, 9), columns(10, 3, 3)
    pairs = dict(zip("abc", (six, nine, even), strict=True))
    evidence = {name: of_one(dict(zip(ORDER, pair, strict=False))) for name, pair in pairs.items()}
    verdicts = choose(ORDER, evidence)
    assert {name: verdict.shipped for name, verdict in verdicts.items()} == {"a": "pooled", "b": "shift", "c": "pooled"}
    assert verdicts["a"].trials[0].p_holm == pytest.approx(2 * 2 / 2**6)
    assert verdicts["b"].trials[0].p_holm == pytest.approx(3 * 2 / 2**9)


def test_a_surely_worse_candidate_never_serves() -> None:
    pooled, shift = columns(10, 30, 0)
    assert choose(ORDER, {"ann": of_one({"pooled": pooled, "shift": shift})})["ann"].shipped == "pooled"


def test_the_dearer_one_must_beat_the_incumbent_not_the_cheapest() -> None:
    pooled = np.zeros(40, dtype=bool)
    shift, own = np.arange(40) < 20, np.arange(40) < 22
    verdict = choose(ORDER, {"ann": of_one({"pooled": pooled, "shift": shift, "own": own})})["ann"]
    assert verdict.shipped == "shift"
    assert [trial.incumbent for trial in verdict.trials] == ["pooled", "shift"]


def test_candidates_that_could_not_be_made_are_passed_over() -> None:
    pooled, own = columns(10, 0, 12)
    verdict = choose(ORDER, {"ann": of_one({"pooled": pooled, "own": own}), "bob": of_one({"pooled": pooled})})
    assert verdict["ann"].shipped == "own"
    assert verdict["bob"].shipped == "pooled" and verdict["bob"].trials == ()


def test_no_rows_of_evidence_change_nothing() -> None:
    none = np.zeros(0, dtype=bool)
    assert choose(ORDER, {"ann": of_one({"pooled": none, "own": none})})["ann"].shipped == "pooled"


def test_how_often_a_candidate_that_is_no_better_is_promoted() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        evidence = {
            name: of_one({"pooled": rng.random(200) < 0.8, "shift": rng.random(200) < 0.8})
            for name in ("a", "b", "c", "d")
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
        choose(ORDER, {"ann": of_one({name: np.array(column) for name, column in right.items()})})


def trial(
    pooled: np.ndarray, shift: np.ndarray, domains: list[str], copies: np.ndarray | None = None,
    tried: Mapping[str, np.ndarray] | None = None,
) -> Trial:  # fmt: skip
    rows = np.arange(len(pooled)) if copies is None else copies
    evidence = Evidence({"pooled": pooled, "shift": shift}, np.array(domains, dtype=object), rows, tried or {})
    [found] = choose(ORDER, {"ann": evidence})["ann"].trials
    return found


def test_copies_of_one_text_have_one_vote() -> None:
    """Five texts won, one of them seen forty times: 5 to 0, which is not sure."""
    pooled, shift = columns(10, 0, 44)
    found = trial(pooled, shift, ["bob"] * 54, np.r_[np.arange(14), np.full(40, 14)])
    assert (found.rows, found.only_candidate, found.promoted) == (15, 5, False)
    assert trial(pooled, shift, ["bob"] * 54).promoted


def test_a_candidate_that_the_domains_own_labels_speak_against_is_not_taken() -> None:
    """62 rows to 32 in all, p = .003, and 2 to 12 on the domain's own."""
    shift = np.r_[np.ones(60), np.zeros(20), np.ones(2), np.zeros(12)].astype(bool)
    others = ["bob"] * 40 + ["cy"] * 40
    found = trial(~shift, shift, others + ["ann"] * 14)
    assert found.p_holm < 0.01 and (found.own_candidate, found.own_incumbent) == (2, 12)
    assert not found.promoted
    assert trial(~shift, shift, others + ["dee"] * 14, tried={"shift": np.arange(94) < 80}).promoted


def test_a_candidate_that_one_domain_alone_speaks_for_is_not_taken() -> None:
    """40 to 0 in one domain; in two others it loses a row each."""
    shift = np.r_[np.ones(40), np.zeros(2)].astype(bool)
    found = trial(~shift, shift, ["bob"] * 40 + ["cy", "dee"])
    assert (found.ahead, found.behind, found.promoted) == (1, 2, False)


def test_rows_on_which_a_candidate_was_not_tried_say_nothing_of_it() -> None:
    pooled, shift = columns(10, 20, 6)
    untried = np.r_[np.ones(10), np.zeros(20), np.ones(6)].astype(bool)
    found = trial(pooled, shift, ["bob"] * 36, tried={"shift": untried})
    assert (found.rows, found.only_candidate, found.only_incumbent, found.promoted) == (16, 6, 0, True)
