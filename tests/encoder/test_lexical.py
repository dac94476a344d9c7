from pathlib import Path

import numpy as np
import pytest

from nlptl.encoder.lexical import Lexical
from nlptl.errors import DataError, ModelError

TEXTS = ["Win a prize, win cash", "the meeting about gas", "cash for the meeting", "gas prize"]


def test_weights_by_hand() -> None:
    """Sublinear counts 1 + ln tf and smoothed idf ln((1 + n) / (1 + df)) + 1, rows of norm 1."""
    words = Lexical.fit(["win win cash", "win prize", "cash prize"])
    assert words.width == 3
    idf = np.log(4 / 3) + 1
    row = words.transform(["win win cash"]).toarray()[0]
    raw = np.array([idf, 0.0, (1 + np.log(2)) * idf])  # cash, prize, win
    np.testing.assert_allclose(row, raw / np.linalg.norm(raw), rtol=1e-12)


def test_words_of_one_text_only_are_left_out() -> None:
    words = Lexical.fit(TEXTS)
    assert words.width == 5, "cash gas meeting prize the"
    found = words.transform([*TEXTS, "unheard of"])
    assert found.shape == (5, 5) and found.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(found.toarray(), axis=1), [1, 1, 1, 1, 0])


def test_the_same_numbers_after_reloading(tmp_path: Path) -> None:
    texts = [*TEXTS, "a naïve “résumé” 中文 中文", "naïve résumé 中文"]
    words = Lexical.fit(texts)
    words.save(tmp_path / "lexical.json")
    again = Lexical.load(tmp_path / "lexical.json")
    assert again.width == words.width
    assert (words.transform(texts) != again.transform(texts)).nnz == 0


def test_texts_without_a_common_word_are_refused() -> None:
    with pytest.raises(DataError, match=r"encoder\.lexical: no word occurs in two of the 2 texts"):
        Lexical.fit(["alpha beta", "gamma delta"])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"words": ["a"]}', '{"words": ["a", "b"], "idf": [1.0]}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "lexical.json").write_text(content)
    with pytest.raises(ModelError, match=r"lexical\.json is damaged"):
        Lexical.load(tmp_path / "lexical.json")
