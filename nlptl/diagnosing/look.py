"""The rows that a diagnosis may see, with their vectors: those that teach and those that are read without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nlptl.contracts import UNLABELLED, Ints, Quarantine, Task
from nlptl.contracts.diagnose import View
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.errors import DataError, RecipeError
from nlptl.fitting.chain import after_before
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.progress import bar
from nlptl.recipe import Recipe
from nlptl.saved.taken import load_backbone
from nlptl.transfer.draw import first_of_each, keyed
from nlptl.transfer.leaks import Signatures, guard
from nlptl.transfer.plan import Turn, plan
from nlptl.transfer.rows import read_apart

READING = {"last": "last", "cls": "cls", "layers": "layers", "both": "last+layers", "auto": "layers", "mix": "layers"}
"""By ``encoder.pool``, what is looked at; ``auto`` would choose anew for every question."""


def one_of_each(view: View) -> View:
    """Of each group of near copies one row a side, one with a label where there is one: tests that shuffle rows, or
    count them, take them for independent, which copies are not."""
    groups, domain, labels = view.need("groups", "domain", "labels")
    order = np.lexsort((labels == UNLABELLED, domain == view.target, groups))
    sides = np.stack([groups, domain == view.target], axis=1)[order]
    return view.take(np.sort(order[np.unique(sides, axis=0, return_index=True)[1]]))


def several(texts: int, target: str) -> None:
    """Refuse a target of so few ``texts`` that they cannot be compared with one another.

    Raises:
        DataError: there are fewer than two.
    """
    if texts < 2:
        raise DataError(
            f"{texts} texts of {target!r}, copies counted once, may be read without being scored; lower "
            "transfer.hold_out, or let scored texts (never their labels) be read with transfer.transductive: true."
        )


@dataclass(frozen=True)
class Look:
    """A recipe's rows before anything is trained. Scored rows are never among them."""

    recipe: Recipe
    corpus: Corpus
    turns: tuple[Turn, ...]
    signatures: Signatures

    @classmethod
    def at(cls, recipe: Recipe, *, blind: bool = False) -> Look:
        """Read the data and plan it as a run would, leaks dropped.

        Args:
            blind: no row needs a label.

        Raises:
            RecipeError: the first task has several labels a row, which these measures do not read.
        """
        recipe = after_before(recipe)
        corpus = Corpus.of(read_apart(recipe, Quarantine())[0], recipe.heads, blind=blind)
        if corpus.tasks[next(iter(corpus.tasks))].head.multilabel:
            raise RecipeError("a diagnosis reads the first task, and its rows must have one label each; put such a one "
                              "first under heads.")  # fmt: skip
        sample = recipe.first_source.sample
        turns = plan(corpus.dataset, recipe.transfer, corpus.tasks, sample=sample, seed=recipe.seed, blind=blind)
        rows = np.unique(np.concatenate([np.r_[t.teach, t.validate, t.score, t.unlabelled] for t in turns]))
        signatures = Signatures.of(corpus.texts, corpus.pairs, rows=rows)
        settings = recipe.transfer
        clean = (guard(turn, signatures, leaks=settings.leaks, near=settings.near)[0] for turn in turns)
        return cls(recipe, corpus, tuple(clean), signatures)

    @property
    def task(self) -> Task:
        """The first task: the one that is looked at."""
        return next(iter(self.corpus.tasks.values()))

    @cached_property
    def backbone(self) -> Backbone:
        """The frozen encoder, at the precision that a run encodes with."""
        from accelerate import Accelerator

        device = Accelerator().device
        backbone = load_backbone(self.recipe.encoder, device=device)
        return backbone.freeze(resolve_precision(self.recipe.encoder.precision, device))

    def vectors(self, rows: Ints, *readings: str) -> Vectors:
        """The vectors of ``rows``, from the store as far as they are there."""
        rows = np.unique(rows)
        texts, pairs = self.corpus.texts_of(rows)
        store = FeatureStore.of(self.backbone) if self.recipe.encoder.cache else None
        wanted = sorted({part for reading in readings for part in reading.split("+")})
        with bar("encode") as progress:
            found = encode(self.backbone, texts, pairs, readings=wanted, store=store, progress=progress)
        return Vectors(rows, found)

    def targets(self) -> Iterator[tuple[Turn, str]]:
        """Each target with the turn that serves it."""
        for turn in self.turns:
            for target in turn.targets:
                yield turn, target

    def sides(self, turn: Turn, target: str, most: int) -> tuple[Ints, Ints]:
        """(labelled rows of the sources, rows of the target), at most ``most`` a side, drawn by row id.

        Raises:
            DataError: no source teaches, or no text of the target may be read.
        """
        domains = self.corpus.domains
        teach = self.corpus.labelled(self.task.name, turn.teach)
        sources = teach[domains[teach] != target]
        read_rows = np.unique(np.concatenate([turn.unlabelled, turn.teach, turn.validate]))
        own = read_rows[domains[read_rows] == target]
        if not len(sources):
            raise DataError(f"no labelled row of another domain teaches {target!r}; name sources in transfer.source.")
        several(len(own), target)
        return self.drawn(sources, most), self.drawn(own, most, first=np.isin(own, teach))

    def drawn(self, rows: Ints, most: int, *, first: object = None) -> Ints:
        """At most ``most`` of ``rows``, by keyed hash of their ids; those marked ``first`` before all others."""
        hashes = keyed((str(self.corpus.ids[row]) for row in rows), seed=self.recipe.seed, purpose="diagnose")
        later = np.zeros(len(rows), np.int64) if first is None else 1 - np.asarray(first, np.int64)
        taken = first_of_each(np.zeros(len(rows), np.int64), np.array([most]), later, hashes)
        return np.asarray(rows[taken], dtype=np.int64)

    def rows(self, turn: Turn, target: str, *, most: int = 1000) -> View:
        """Sources' labelled rows and the target's, whose labels show only where they teach; without vectors."""
        sources, own = self.sides(turn, target, most)
        rows = np.concatenate([sources, own])
        labels = self.corpus.encoded[self.task.name][rows].astype(np.int64)
        labels[~np.isin(rows, turn.teach)] = UNLABELLED
        return View(
            labels=labels,
            domain=self.corpus.domains[rows],
            target=target,
            texts=self.corpus.texts[rows],
            groups=self.signatures.groups(rows, near=self.recipe.transfer.near),
            label_names=self.task.labels,
        )

    def view(self, turn: Turn, target: str, *, most: int = 1000) -> View:
        """``rows`` with their vectors."""
        reading = READING[self.recipe.encoder.pool]
        rows = np.concatenate(self.sides(turn, target, most))
        return replace(self.rows(turn, target, most=most), features=self.vectors(rows, reading).of(rows, reading))
