"""The made mail has the shifts that it says it has, and no others."""

from collections import Counter
from typing import Any

import pandas as pd
import pytest

from nlptl.contracts import Quarantine
from nlptl.data import Mailboxes
from nlptl.data._mailboxes_words import GREY, JOBS, PEOPLE

NONE: dict[str, Any] = {"covariate": 0, "label_shift": 0, "concept": 0, "copies": 0}


def made(**settings: Any) -> pd.DataFrame:
    return Mailboxes(**settings).frame(Quarantine())


def test_the_same_seed_writes_the_same_mail() -> None:
    pd.testing.assert_frame_equal(made(mails=20, seed=1), made(mails=20, seed=1))
    assert made(mails=20, seed=1)["text"].tolist() != made(mails=20, seed=2)["text"].tolist()


def test_columns_names_and_sizes() -> None:
    table = made(people=10, mails=12)
    assert Counter(table["user"]) == dict.fromkeys([*PEOPLE, "ada2", "ben2"], 12)
    assert set(table["truth"]) == {"ham", "spam"}
    assert not table["text"].str.contains("[{}|]").any()
    dates = pd.to_datetime(table["date"])
    assert all(dates[table["user"] == user].is_monotonic_increasing for user in PEOPLE)


def test_without_shifts_people_differ_only_by_chance() -> None:
    table = made(mails=800, unlabelled=0, **NONE)
    shares = (table["label"] == "spam").groupby(table["user"]).mean()
    assert shares.between(0.34, 0.46).all()
    assert not set(table["topic"]) & set(JOBS)
    assert (
        not table["text"].str.contains("load calculation|controller firmware|gasket set").any()
    )  # nor is spam dressed so
    assert made(mails=800, **NONE | {"covariate": 0.6})["text"].str.contains("controller firmware").any()
    assert set(table.loc[table["topic"].isin(GREY), "label"]) == {"spam"}
    assert table["copy"].isna().all()


def test_covariate_shift_is_what_ham_speaks_of() -> None:
    table = made(mails=800, **NONE | {"covariate": 0.6})
    ham = table[table["truth"] == "ham"]
    own = ham["topic"] == ham["user"].map(PEOPLE)
    assert own.groupby(ham["user"]).mean().between(0.52, 0.68).all()
    assert not (ham["topic"].isin(JOBS) & ~own).any()


def test_label_shift_spreads_the_shares_of_spam() -> None:
    source = Mailboxes(people=4, mails=800, **NONE | {"label_shift": 1})
    shares = [source.spam_share(number) for number in range(4)]
    assert sorted(shares) == pytest.approx([0.1, 0.3, 0.5, 0.7])
    table = source.frame(Quarantine())
    found = (table["truth"] == "spam").groupby(table["user"]).mean()
    assert found[list(PEOPLE)[:4]].tolist() == pytest.approx(shares, abs=0.06)


@pytest.mark.parametrize(("concept", "wanting"), [(0, 0), (0.5, 1), (1, 2)])
def test_concept_shift_is_who_wants_grey_mail(concept: float, wanting: int) -> None:
    source = Mailboxes(people=4, mails=300, **NONE | {"concept": concept})
    assert [len(people) for people in source.wanted().values()] == [wanting] * len(GREY)
    table = source.frame(Quarantine())
    for topic, people in source.wanted().items():
        mails = table[table["topic"] == topic]
        assert set(mails.loc[mails["user"].isin(people), "truth"]) <= {"ham"}
        assert set(mails.loc[~mails["user"].isin(people), "truth"]) == {"spam"}


def test_some_spam_goes_to_several_people_as_it_is_or_nearly() -> None:
    table = made(copies=0.5)
    copies = table[table["copy"].notna()]
    assert set(copies["copy"]) == {"exact", "near"}
    assert set(copies["truth"]) == {"spam"}
    readers = copies[copies["copy"] == "exact"].groupby("text")["user"].nunique()
    assert (readers > 1).mean() > 0.8
    near = copies.loc[copies["copy"] == "near", "text"]
    exact = set(copies.loc[copies["copy"] == "exact", "text"])
    assert (near.str.replace(r" ref \d+$", "", regex=True).isin(exact)).mean() > 0.8
    assert not near.isin(exact).any()


def test_some_mails_are_unlabelled_and_the_truth_is_known() -> None:
    table = made(unlabelled=0.3)
    assert 0.25 < table["label"].isna().mean() < 0.35
    labelled = table.dropna(subset="label")
    assert (labelled["label"] == labelled["truth"]).all()


def test_words_of_others_help_but_do_not_suffice() -> None:
    """The demo's point: TF-IDF taught by other people leaves room above it, and each shift costs something."""
    plain = mean_accuracy(made(mails=200, unlabelled=0, **NONE))
    default = mean_accuracy(made(mails=200, unlabelled=0))
    assert plain > 0.93
    assert 0.80 < default < 0.95
    for shift in ("covariate", "concept"):
        assert mean_accuracy(made(mails=200, unlabelled=0, **NONE | {shift: 1})) < plain - 0.03


def mean_accuracy(table: pd.DataFrame) -> float:
    """Of TF-IDF and logistic regression, each person served by all the others, without exact copies."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    scores = []
    for _, target in table.groupby("user"):
        source = table[(table["user"] != target["user"].iloc[0]) & ~table["text"].isin(target["text"])]
        words = TfidfVectorizer(sublinear_tf=True).fit(source["text"])
        model = LogisticRegression(C=10, max_iter=1000).fit(words.transform(source["text"]), source["label"])
        scores.append(model.score(words.transform(target["text"]), target["label"]))
    return sum(scores) / len(scores)
