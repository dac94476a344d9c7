"""The sets, draws and label descriptions that `zero_shot.py` and `few_shot.py` share.

Scored rows are fixed for each set: the official test split where there is one, else a fifth by row id, at most 1,000 of
them. Rows that are copies of a scored one, or nearly, teach nothing and lend no text. The descriptions were written
once, before any score was looked at, and are not tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nlptl.contracts import Quarantine
from nlptl.data import Frame
from nlptl.data._read import read
from nlptl.fitting.corpus import Corpus
from nlptl.heads import Linear
from nlptl.recipe import Transfer
from nlptl.transfer.leaks import Signatures, guard
from nlptl.transfer.plan import plan

SCORED = 1000
UNLABELLED = 1000
OFFICIAL = {"sst2_sentences", "trec_qc"}
"""Sets whose official test split is scored; the only split of `ag_news_test` is called test."""

NAMES = {
    "ag_news_test": {"World": ["world"], "Sports": ["sports"], "Business": ["business"],
                     "Sci/Tech": ["science and technology"]},
    "sst2_sentences": {"negative": ["negative"], "positive": ["positive"]},
    "subj": {"objective": ["objective"], "subjective": ["subjective"]},
    "sms_spam": {"ham": ["ham"], "spam": ["spam"]},
    "trec_qc": {"ABBR": ["abbreviation"], "DESC": ["description"], "ENTY": ["entity"], "HUM": ["human"],
                "LOC": ["location"], "NUM": ["number"]},
}  # fmt: skip

DESCRIPTIONS = {
    "ag_news_test": {
        "World": ["world news", "news about politics, war, elections and diplomacy in countries around the world"],
        "Sports": ["sports news", "news about games, teams, players and championships"],
        "Business": ["business news", "news about companies, markets, the economy and oil prices"],
        "Sci/Tech": ["science and technology news", "news about computers, software, the internet, space and research"],
    },
    "sst2_sentences": {
        "negative": ["a negative movie review", "this film is bad, boring and disappointing", "I hated this movie"],
        "positive": ["a positive movie review", "this film is good, moving and enjoyable", "I loved this movie"],
    },
    "subj": {
        "objective": ["a summary of the plot of a movie", "what happens to the characters in the story, told as facts"],
        "subjective": ["a critic's opinion of a movie", "a personal judgement of how good or bad a film is"],
    },
    "sms_spam": {
        "ham": ["an everyday text message to a friend or to family", "a personal message about plans and daily life"],
        "spam": ["an unwanted advertisement by text message", "you have won a prize, call now to claim the free offer"],
    },
    "trec_qc": {
        "ABBR": ["a question about an abbreviation", "what does this acronym stand for?"],
        "DESC": ["a question that asks for a definition, a reason or a manner", "what does it mean, why and how?"],
        "ENTY": ["a question about a thing, such as an animal, a food, a product, a work or a colour",
                 "what is the name of this thing?"],
        "HUM": ["a question about a person or a group of people", "who is it?"],
        "LOC": ["a question about a place, such as a city, a country or a mountain", "where is it?"],
        "NUM": ["a question about a number, such as a date, a count, a distance or an amount",
                "how many, how much and when?"],
    },
}  # fmt: skip


@dataclass(frozen=True)
class LabelledSet:
    """One set: texts, class of each, the labels' names, and row numbers of the parts."""

    name: str
    texts: np.ndarray
    classes: np.ndarray
    labels: tuple[str, ...]
    pool: np.ndarray
    """Rows that may teach."""
    scored: np.ndarray
    unlabelled: np.ndarray
    """Rows of the pool whose texts, never labels, calibrate."""

    def draw(self, seed: int, per_class: int) -> np.ndarray:
        """So many rows of each class, or all where there are fewer."""
        rng = np.random.default_rng((seed, 8))
        of_class = (rng.permutation(self.pool[self.classes[self.pool] == c]) for c in range(len(self.labels)))
        return np.sort(np.concatenate([rows[:per_class] for rows in of_class]))


def load(name: str, folder: Path) -> LabelledSet:
    """Read ``<folder>/<name>.parquet`` and set its parts apart."""
    table = pd.read_parquet(folder / f"{name}.parquet")
    heads = {"label": Linear()}
    source = Frame(table=table, split="split" if name in OFFICIAL else None)
    corpus = Corpus.of(read(source, heads, Quarantine()), heads)
    [turn] = plan(corpus.dataset, Transfer(), corpus.tasks, sample=None, seed=0)
    turn, _ = guard(turn, Signatures.of(list(corpus.texts)), leaks="drop", near=Transfer().near)
    rng = np.random.default_rng(0)
    scored = np.sort(rng.permutation(turn.score)[:SCORED])
    unlabelled = np.sort(rng.permutation(turn.teach)[:UNLABELLED])
    return LabelledSet(
        name, corpus.texts, corpus.encoded["label"], corpus.tasks["label"].labels, turn.teach, scored, unlabelled
    )
