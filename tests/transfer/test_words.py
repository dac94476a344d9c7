import pytest

from nlptl.transfer.words import normalise, shingles


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Subject:  WIN a_prize!!\n", "subject win a prize"),
        ("Ｗin ﬁve STRASSE straße", "win five strasse strasse"),
        ("vi\u00adag\u200bra", "viagra"),
        ("$100 > 50% |", "100 50"),
        ("great 😀!", "great 😀"),
        ("दिन दान", "दिन दान"),
        ("你好, world", "你 好 world"),
        ("!!!  ?", "!!! ?"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(("one", "other"), [("😀", "😡"), ("दिन", "दान"), ("!!!", "???"), ("good 👍", "good 👎")])
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("text", "count"), [("one", 1), ("one two", 1), ("a b c", 1), ("a b c d", 2), ("a a a a a", 1)]
)
def test_shingles_are_a_set_of_three_words_in_a_row(text: str, count: int) -> None:
    assert len(shingles(text)) == count


def test_lone_surrogates_are_no_obstacle() -> None:
    assert len(shingles(normalise("broken \ud800 text here"))) == 2
