"""The rows of a run as plain columns."""

import numpy as np
from datasets import Dataset

from nlptl.fitting.corpus import Corpus
from nlptl.heads import Linear

ROWS = {"id": ["a", "b", "c"], "text": ["one", "two", "three"], "domain": ["x", "y", "x"], "spam": ["no", "yes", "no"]}


def test_texts_of_rows_come_in_the_order_asked_with_their_second_texts_where_there_are_such() -> None:
    heads = {"spam": Linear(labels=("no", "yes"))}
    rows = np.array([2, 0])
    alone = Corpus.of(Dataset.from_dict(ROWS), heads)
    assert alone.texts_of(rows) == (["three", "one"], None)
    paired = Corpus.of(Dataset.from_dict(ROWS | {"text_pair": ["eins", "zwei", "drei"]}), heads)
    assert paired.texts_of(rows) == (["three", "one"], ["drei", "eins"])
    assert paired.texts_of(rows[:0]) == ([], [])
