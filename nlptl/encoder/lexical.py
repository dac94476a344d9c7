"""Words beside vectors: TF-IDF features of a text, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.errors import DataError, ModelError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer


class Lexical:
    """TF-IDF with sublinear counts, over words that at least two texts have, rows of norm 1."""

    def __init__(self, vectorizer: TfidfVectorizer) -> None:
        self._vectorizer = vectorizer

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Lexical:
        """Learn words and their weights from ``texts``.

        Raises:
            DataError: no word occurs in two of the texts.
        """
        vectorizer = _vectorizer()
        try:
            return cls(vectorizer.fit(texts))
        except ValueError as error:
            raise DataError(
                f"encoder.lexical: no word occurs in two of the {len(texts)} texts that teach; "
                "set encoder.lexical: null."
            ) from error

    @property
    def width(self) -> int:
        """How many words it knows."""
        return len(self._vectorizer.vocabulary_)

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """(texts, words) sparse float64; a text without known words is a row of zeros."""
        return self._vectorizer.transform(texts)

    def save(self, path: Path) -> None:
        """Write words and weights as JSON."""
        words = sorted(self._vectorizer.vocabulary_, key=self._vectorizer.vocabulary_.__getitem__)
        content = {"words": words, "idf": self._vectorizer.idf_.tolist()}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Lexical:
        """Read what ``save`` wrote.

        Raises:
            ModelError: the file is damaged.
        """
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            vectorizer = _vectorizer(vocabulary={word: place for place, word in enumerate(content["words"])})
            vectorizer.idf_ = np.array(content["idf"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is damaged ({error}); save the model again.") from error
        return cls(vectorizer)


def _vectorizer(vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, min_df=2 if vocabulary is None else 1, vocabulary=vocabulary)
