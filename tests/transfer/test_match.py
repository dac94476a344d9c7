import pytest

from nlptl.errors import RecipeError
from nlptl.transfer.match import match

USERS = ["ann", "bob", "bo[b]", "cy"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ("*", ("ann", "bob", "bo[b]", "cy")),
        ("b*", ("bob", "bo[b]")),
        (("cy", "a?n", "cy"), ("cy", "ann")),
        ("bo[b]", ("bo[b]",)),  # a name goes before what it would mean as a glob
        ("[!b]*", ("ann", "cy")),
    ],
)
def test_names_and_globs(patterns: str | tuple[str, ...], found: tuple[str, ...]) -> None:
    assert match(patterns, USERS, where="transfer.source") == found


def test_every_unseen_pattern_is_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        match(("anne", "z*", "cy"), USERS, where="transfer.target")
    assert len(caught.value.problems) == 2
    assert "transfer.target: no domain matches 'anne'; did you mean 'ann'?" in str(caught.value)
    assert "'z*'" in str(caught.value)
    assert "ann, bob, bo[b], cy" in str(caught.value)


def test_many_domains_are_counted_not_listed() -> None:
    with pytest.raises(RecipeError, match="and 980 more"):
        match("x", [f"user-{place}" for place in range(1000)], where="transfer.source")


def test_case_matters() -> None:
    with pytest.raises(RecipeError, match="no domain matches 'A\\*'"):
        match("A*", USERS, where="transfer.source")
