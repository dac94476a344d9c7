"""Heads of a thousand users, solved as one batch, beside a loop of scikit-learn's logistic regressions.

Compared: labelled vectors in memory to each user's coefficients, with 50 texts a user and width 384: the library's own
solve (`nlptl.heads._domains`, in the dual) with no shared head below, and
(a) with the strength of the prior given: `LogisticRegression` user by user, at its default tolerance and at 1e-8;
(b) with each user's strength chosen on five stratified folds from ten: `LogisticRegressionCV`, the same grid, folds
    and measure (log loss), and then all rows again at what was chosen.
Fair, because: the same float64 vectors, scaled the same way before the clock starts, and the same objective: weights of
N(0, C I) and an intercept that is free (ours: of standard deviation 1,000); ours solves all of (b)'s grid too.
`furthest`: the largest difference of one coefficient from scikit-learn's at tolerance 1e-10, at the strength that ours
chose; `same choice`: the share of users for whom both chose the same strength.

    python benchmarks/users_heads.py DATA [users of (a)] [users of (b)] [repeats of (b)]

DATA is a folder with reviews_10domains, enron_spam_4users and sst2_sentences.parquet. Users are made by dealing the
texts of one product, mailbox or site to as many people as they suffice for.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _paired import cell, paired
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.heads._domains import GroupedRows, Spread, deviate
from nlptl.heads._domains_each import choose_taus
from nlptl.heads._scaling import Scaling
from nlptl.recipe import Encoder

TEXTS = 50
STRENGTHS = np.logspace(-4, 4, 10)
"""C, as scikit-learn calls it: the variance of each weight."""
FREE = 1e3
SETS = {"reviews_10domains": "domain", "enron_spam_4users": "user", "sst2_sentences": None}
POSITIVE = ("positive", "spam")


def dealt(data: Path, users: int) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
    """Texts, their labels (0 or 1) and the rows of each user."""
    texts: list[str] = []
    labels: list[bool] = []
    members: list[np.ndarray] = []
    for name, domain in SETS.items():
        table = pd.read_parquet(data / f"{name}.parquet")
        table = table[table.label != ""].drop_duplicates("text").sample(frac=1, random_state=0)
        whose = table[domain] if domain else pd.Series(name, index=table.index)
        for _, part in table.groupby(whose.to_numpy()):
            for start in range(0, len(part) - TEXTS + 1, TEXTS):
                own = part.iloc[start : start + TEXTS]
                answers = own.label.isin(POSITIVE).to_numpy()
                if len(members) < users and min(answers.sum(), (~answers).sum()) >= 5:
                    members.append(np.arange(len(texts), len(texts) + TEXTS))
                    texts += list(own.text)
                    labels += list(answers)
    return texts, np.array(labels, dtype=np.int64), members


def encoded(texts: list[str]) -> np.ndarray:
    """(texts, width) vectors of the first 32 tokens, scaled; kept in the store."""
    backbone = Backbone.load(Encoder(max_length=32)).freeze(resolve_precision("auto", "cpu"))
    vectors = encode(backbone, texts, readings=("last",), store=FeatureStore.of(backbone))["last"]
    return Scaling.of(vectors)(vectors)


def grouped(vectors: np.ndarray, labels: np.ndarray, members: list[np.ndarray]) -> GroupedRows:
    """The users' rows, with nothing that they share."""
    targets = labels[:, None].astype(np.float64)
    return GroupedRows(vectors, targets, np.zeros_like(targets), members, "sigmoid")


def exact(vectors: np.ndarray, labels: np.ndarray, members: list[np.ndarray], strengths: np.ndarray) -> np.ndarray:
    """(users, width + 1) coefficients by scikit-learn, to a tolerance that costs it much time."""
    found = []
    for rows, strength in zip(members, strengths, strict=True):
        fitted = LogisticRegression(C=strength, tol=1e-10, max_iter=100_000).fit(vectors[rows], labels[rows])
        found.append(np.append(fitted.coef_[0], fitted.intercept_))
    return np.array(found)


def given(vectors: np.ndarray, labels: np.ndarray, members: list[np.ndarray], repeats: int) -> dict[str, Any]:
    """(a): C = 1 for everyone."""
    rows = grouped(vectors, labels, members)

    def ours() -> np.ndarray:
        found = deviate(rows, Spread(1.0, FREE))
        return np.append(found.weights[:, :, 0], found.bias, axis=1)

    def loop(tolerance: float) -> None:
        for own in members:
            LogisticRegression(C=1.0, tol=tolerance, max_iter=10_000).fit(vectors[own], labels[own])

    found = paired(
        {"ours": ours, "scikit-learn, defaults": lambda: loop(1e-4), "scikit-learn, to 1e-8": lambda: loop(1e-8)},
        repeats=repeats,
    )
    apart = ours() - exact(vectors, labels, members, np.ones(len(members)))
    return found | {"furthest": float(np.abs(apart).max())}


def chosen(vectors: np.ndarray, labels: np.ndarray, members: list[np.ndarray], repeats: int) -> dict[str, Any]:
    """(b): each user's C by the user's folds."""
    rows = grouped(vectors, labels, members)
    inside = [list(StratifiedKFold(5).split(vectors[own], labels[own])) for own in members]
    folds = [
        tuple(np.concatenate([own[of[fold][side]] for own, of in zip(members, inside, strict=True)]) for side in (0, 1))
        for fold in range(5)
    ]
    choices: dict[str, np.ndarray] = {}
    coefficients = np.empty(0)

    def ours() -> None:
        nonlocal coefficients
        taus = choose_taus(rows, folds, taus=list(np.sqrt(STRENGTHS)), sigma=FREE)
        found = deviate(rows, Spread(1.0, FREE), taus)
        choices["ours"], coefficients = taus**2, np.append(found.weights[:, :, 0], found.bias, axis=1)

    def loop() -> None:
        theirs = []
        for own, of in zip(members, inside, strict=True):
            fitted = LogisticRegressionCV(
                Cs=STRENGTHS,
                cv=of,
                scoring="neg_log_loss",
                l1_ratios=(0.0,),
                max_iter=10_000,
                use_legacy_attributes=False,
            ).fit(vectors[own], labels[own])
            theirs.append(float(fitted.C_))
        choices["theirs"] = np.array(theirs)

    found = paired({"ours": ours, "scikit-learn": loop}, repeats=repeats, warm=False)
    apart = coefficients - exact(vectors, labels, members, choices["ours"])
    same = np.isclose(choices["ours"], choices["theirs"])
    return found | {"furthest": float(np.abs(apart).max()), "same choice": float(same.mean())}


def main(data: str, of_given: str = "1000", of_chosen: str = "100", repeats: str = "3") -> None:
    """One cell each."""
    warnings.filterwarnings("error", category=ConvergenceWarning)
    made: list[Any] = []

    def part(users: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        if not made:
            texts, labels, members = dealt(Path(data), max(int(of_given), int(of_chosen)))
            made.extend([encoded(texts), labels, members])
        vectors, labels, members = made
        # Every user of every set in turn, so that few users are of all sets.
        picked = [members[place] for place in np.linspace(0, len(members) - 1, min(users, len(members))).astype(int)]
        return vectors, labels, picked

    cell("users_heads", f"strength given, {of_given} users", lambda: given(*part(int(of_given)), repeats=5))
    cell(
        "users_heads", f"strength chosen on folds, {of_chosen} users",
        lambda: chosen(*part(int(of_chosen)), repeats=int(repeats)),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
