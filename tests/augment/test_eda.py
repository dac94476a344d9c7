"""Easy data augmentation: each operation by hand, what is left alone, and our list of synonyms."""

from pathlib import Path

import numpy as np
import pytest

from nlptl.augment import Eda
from nlptl.augment._words import changed, read_synonyms
from nlptl.errors import DataError

TEXT = "The Film, was very GOOD and the plot moved along nicely"
SYNONYMS = {"film": ("movie",), "good": ("fine",), "plot": ("story",)}


def after(operation: str, text: str = TEXT, strength: float = 0.2, seed: int = 0) -> list[str]:
    return changed(operation, text.split(), strength, SYNONYMS, np.random.default_rng(seed))


def test_synonyms_keep_the_case_and_the_marks_of_the_word() -> None:
    """A fifth of eleven words are two; three have synonyms."""
    found = after("replace", strength=0.9)
    assert found == ["The", "Movie,", "was", "very", "FINE", "and", "the", "story", "moved", "along", "nicely"]
    differing = [word for word, before in zip(after("replace"), TEXT.split(), strict=True) if word != before]
    assert len(differing) == 2 and set(differing) <= {"Movie,", "FINE", "story"}


def test_insertion_adds_synonyms_of_words_that_are_there() -> None:
    found = after("insert")
    assert len(found) == 13 and [word for word in found if word in TEXT.split()] == TEXT.split()
    assert {word for word in found if word not in TEXT.split()} <= {"movie", "fine", "story"}


def test_swaps_keep_the_words_and_deletion_their_order() -> None:
    assert after("swap") != TEXT.split() and sorted(after("swap")) == sorted(TEXT.split())
    counts = [len(after("delete", seed=seed)) for seed in range(300)]
    assert np.mean(counts) == pytest.approx(11 * 0.8, abs=0.3)
    left = iter(TEXT.split())
    assert all(word in left for word in after("delete"))
    assert after("delete", "alone", strength=0.99) == ["alone"]


@pytest.mark.parametrize("operation", ["replace", "insert", "swap", "delete"])
@pytest.mark.parametrize("text", ["", "xyzzy"])
def test_what_has_nothing_to_change_stays(operation: str, text: str) -> None:
    assert after(operation, text, strength=0.01) == text.split()


def test_views_are_new_distinct_and_drawn_from_the_seed() -> None:
    eda = Eda(views_a_row=8)
    views = eda.views(TEXT, np.random.default_rng(1))
    assert 1 < len(views) <= 8 and len(set(views)) == len(views) and TEXT not in views
    assert eda.views(TEXT, np.random.default_rng(1)) == views
    assert Eda(operations=("replace",)).views("xyzzy plugh", np.random.default_rng(0)) == []


def test_our_list_is_of_single_groups_and_large_enough() -> None:
    ours = read_synonyms(None)
    assert len(ours) > 800 and all(others and word not in others for word, others in ours.items())
    assert "movie" in ours["film"] and all(word == word.lower() for word in ours)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mots.txt"
    path.write_text("# français\nfilm, long métrage\nbon, bien\n", encoding="utf-8")
    eda = Eda(synonyms=str(path), operations=("replace",), strength=0.9)
    assert eda.views("un bon film", np.random.default_rng(0)) == ["un bien long métrage"]
    path.with_name("bad.txt").write_text("film, movie\nalone\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.txt, line 2: 'alone' stands alone"):
        read_synonyms(str(path.with_name("bad.txt")))
    with pytest.raises(DataError, match="cannot be read"):
        read_synonyms(str(tmp_path / "absent.txt"))
