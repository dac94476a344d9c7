"""The rows of a run as plain columns."""

from dataclasses import replace

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


def test_copies_have_one_number_and_a_view_that_of_its_row() -> None:
    corpus = Corpus.of(Dataset.from_dict(ROWS), {"spam": Linear(labels=("no", "yes"))})
    wide = replace(corpus, origins=np.array([1, 2]))
    assert wide.texts_among(np.array([0, 2, 3, 4])).tolist() == [0, 2, 1, 2]
    assert replace(wide, alike=np.array([7, 8, 7])).texts_among(np.array([0, 2, 3, 4])).tolist() == [7, 7, 8, 7]


def test_rows_that_are_known_do_not_judge() -> None:
    corpus = Corpus.of(Dataset.from_dict(ROWS), {"spam": Linear(labels=("no", "yes"))})
    assert replace(corpus, known=np.array([1])).fresh(np.array([2, 1, 0])).tolist() == [True, False, True]
