"""The contrastive rung in a run: kept where it wins, left where it does not, saved, the same every time."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.fitting import contrast
from nlptl.fitting.contrast import merged

WORDS = [
    "the", "a", "of", "to", "and", "is", "in", "it", "you", "that", "he", "was", "for", "on", "are",
    "with", "as", "his", "they", "be", "at", "one", "have", "this", "from", "had", "hot", "by", "word", "but",
    "not", "what", "all", "were", "we", "when", "your", "can", "said", "there", "use", "an", "each", "which", "she",
    "do", "how", "their", "if", "will", "up", "other", "about", "out", "many", "then", "them", "these", "so", "some",
]  # fmt: skip
TEXTS = ["you can win a free cash prize", "the report for monday", "water and time"]


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path)},
        "transfer": {"target_labels": 8},
        "encoder": {"model": str(model), "max_length": 24},
        "tune": {"kind": "contrastive", "steps": 4, "check_steps": 2, "rows": 8},
        "heads": {"spam": {"kind": "linear", "column": "label", "positive": "spam"}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**{name: {**settings.get(name, {}), **sections.get(name, {})} for name in settings | sections})


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One word among ten tells spam: the body as it is hardly lets it through, and can learn to."""
    rng = np.random.default_rng(0)
    texts, labels = [], []
    for place in range(200):
        words = list(rng.choice(WORDS, 10))
        words[rng.integers(10)] = "cash" if place % 2 else "gas"
        texts.append(" ".join(words))
        labels.append("spam" if place % 2 else "ham")
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    pd.DataFrame({"text": texts, "label": labels}).to_parquet(path)
    return path


FAR = {"body": "lora", "lr": 1e-2, "steps": 10, "check_steps": 10, "rows": 48}


@pytest.mark.parametrize("body", ["full", "lora"])
def test_a_rung_that_wins_is_shipped_saved_and_the_same_again(
    tiny_encoder: Path, marked: Path, tmp_path: Path, body: str
) -> None:
    tune = FAR | ({"body": "full", "lr": 3e-4, "keep": "always"} if body == "full" else {})
    made = recipe(tiny_encoder, marked, tune=tune, transfer={"target_labels": 24})
    run = nlptl.fit(made, out=tmp_path / "run")
    *asked, contrastive = run.results["chosen"][0]["climbed"]
    assert contrastive["won"] and len(asked) == (body == "lora")  # kept always, the rung below is not asked
    assert all(contrastive["validation loss"] < below["validation loss"] for below in asked)
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"contrastive"}
    answers = run.predict(TEXTS)
    pd.testing.assert_frame_equal(nlptl.load(tmp_path / "run").predict(TEXTS), answers, atol=1e-6)
    again = nlptl.fit(made, out=tmp_path / "again")
    pd.testing.assert_frame_equal(again.predict(TEXTS), answers, atol=1e-6)


def test_a_rung_that_does_not_win_leaves_the_solved_head(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(people=("ann",)).to_parquet(tmp_path / "mail.parquet")
    still = recipe(tiny_encoder, tmp_path / "mail.parquet", tune={"lr": 1e-9}, encoder={"pool": "last"})
    run = nlptl.fit(still, out=tmp_path / "run")
    assert [(rung["rung"], rung["won"]) for rung in run.results["chosen"][0]["climbed"]] == [
        ("frozen", True), ("contrastive", False)
    ]  # fmt: skip
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"solved"}
    frozen = nlptl.Recipe(**still.model_dump() | {"tune": {"kind": "frozen"}})
    solved = nlptl.fit(frozen, out=tmp_path / "solved")
    pd.testing.assert_frame_equal(run.predict(TEXTS), solved.predict(TEXTS))


def test_one_label_a_class_leaves_no_pair_and_says_so(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(people=("ann",)).to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", transfer={"target_labels": 1})
    run = nlptl.fit(made, out=tmp_path / "run")
    [tried] = run.results["chosen"][0]["climbed"]
    assert not tried["won"] and "no label with two rows" in tried["why"]


def test_names_are_embedded_by_the_body_that_learned(tiny_encoder: Path, marked: Path, tmp_path: Path) -> None:
    heads = {"spam": {"kind": "linear", "column": "label", "prior": "label_names",
                      "names": {"ham": ["gas"], "spam": ["free cash"]}}}  # fmt: skip
    run = nlptl.fit(
        recipe(tiny_encoder, marked, tune=FAR | {"keep": "always"}, heads=heads, transfer={"target_labels": 24}),
        out=tmp_path / "run",
    )
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"contrastive"}
    pd.testing.assert_frame_equal(nlptl.load(tmp_path / "run").predict(TEXTS), run.predict(TEXTS), atol=1e-6)


def test_it_may_be_a_rung_of_the_climb(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(people=("ann",)).to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", transfer={"target_labels": 16}).model_dump()
    climbing = {"tune": {"kind": "auto", "rungs": ["contrastive"]}, "train": {"validation": 0.3}}
    run = nlptl.fit(nlptl.Recipe(**made | climbing), out=tmp_path / "run")
    assert [rung["rung"] for rung in run.results["chosen"][0]["climbed"]] == ["frozen", "contrastive"]


def test_folds_are_joined_unless_that_leaves_no_pair() -> None:
    folds = [(np.setdiff1d(np.arange(6), held), held) for held in np.array([[0, 3], [1, 4], [2, 5]])]
    classes = np.array([0, 0, 0, 1, 1, 1])
    kept = merged({"t": folds}, {"t": classes}, 2)
    assert kept is not None and len(kept["t"]) == 3  # two folds would teach one row of each class
    twice = np.repeat(classes, 2)
    folds = [(np.setdiff1d(np.arange(12), held), held) for held in np.arange(12).reshape(3, 4)]
    joined = merged({"t": folds}, {"t": twice}, 2)
    assert joined is not None
    assert [held.tolist() for _, held in joined["t"]] == [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7]]
    assert [teach.tolist() for teach, _ in joined["t"]] == [[4, 5, 6, 7], [0, 1, 2, 3, 8, 9, 10, 11]]


def test_distinct_texts_say_whether_it_wins(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of forty mails is there twice, but for its case."""
    asked: list[int] = []
    monkeypatch.setattr(contrast, "wins", lambda dear, cheap: bool(asked.append(len(dear))))
    rows = mail(people=("ann",)).assign(split="train")
    scored = mail(people=("ann",), seed=1).assign(split="test")
    pd.concat([rows, rows.assign(text=rows.text.str.upper()), scored]).to_parquet(tmp_path / "mail.parquet")
    made = recipe(
        tiny_encoder, tmp_path / "mail.parquet", data={"split": "split"}, transfer={"target_labels": "all"},
        tune={"steps": 1},
    )  # fmt: skip
    nlptl.fit(made, out=tmp_path / "run")
    assert asked == [40]
