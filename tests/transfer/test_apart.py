"""Groups of domains that never mix: who teaches whom then, and what is refused."""

from collections.abc import Callable

import pytest
from datasets import Dataset

from nlptl.errors import RecipeError
from nlptl.transfer.plan import Turn

GROUPS = (("ann", "bob"), ("cy", "dee"))
FIVE = ("ann", "bob", "cy", "dee", "eve")


def test_no_group_teaches_another(made: Callable[..., Dataset], planned: Callable[..., list[Turn]]) -> None:
    turns = planned(made(users=FIVE), protocol="leave_one_out", target=FIVE[:4], target_labels=0, apart=GROUPS)
    assert {turn.name: turn.sources for turn in turns} == {
        "ann": ("bob", "eve"),
        "bob": ("ann", "eve"),
        "cy": ("dee", "eve"),
        "dee": ("cy", "eve"),
    }
    for turn in turns:
        taught = {FIVE[row // 40] for row in turn.teach}
        assert taught == set(turn.sources)


def test_groups_may_be_globs_and_a_name_that_nobody_has_is_refused(
    made: Callable[..., Dataset], planned: Callable[..., list[Turn]]
) -> None:
    users = ("eu-ann", "eu-bob", "us-cy", "us-dee")
    [turn] = planned(made(users=users), target="eu-ann", target_labels=0, apart=(("eu-*",), ("us-*",)))
    assert turn.sources == ("eu-ann", "eu-bob")
    with pytest.raises(RecipeError, match=r"transfer\.apart: no domain matches 'eu-anne'"):
        planned(made(users=users), target="eu-ann", target_labels=0, apart=(("eu-anne",), ("us-*",)))
    with pytest.raises(RecipeError, match="eu-bob would be in two groups"):
        planned(made(users=users), target="eu-ann", target_labels=0, apart=(("eu-*",), ("*-bob",)))


@pytest.mark.parametrize("target", [("ann", "cy"), ("eve",)], ids=["targets of two groups", "sources of two groups"])
def test_one_model_that_would_mix_groups_is_refused(
    made: Callable[..., Dataset], planned: Callable[..., list[Turn]], target: tuple[str, ...]
) -> None:
    with pytest.raises(RecipeError, match=r"transfer\.apart keeps ann from cy"):
        planned(made(users=FIVE), target=target, target_labels=0, apart=GROUPS)
