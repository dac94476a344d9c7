"""A target without a single label: taught by others, served, and said to be unmeasured."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_mail import mail

import nlptl

LORA = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 3, "batch_tokens": 512}}


def served(tiny_encoder: Path, folder: Path, **sections: Any) -> nlptl.Run:
    """A run whose target, dee, has no label."""
    table = mail()
    table.loc[table.user == "dee", "label"] = None
    settings: dict[str, Any] = {
        "data": {"kind": "frame", "table": table, "domain": "user"},
        "transfer": {"target": "dee", "target_labels": 0},
        "encoder": {"model": str(tiny_encoder), "max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        "evaluate": {"bootstrap": 100},
    }
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section if isinstance(section, dict) else section
    return nlptl.fit(nlptl.Recipe(name="test", **settings), out=folder)


@pytest.mark.parametrize(
    "sections",
    [
        {}, LORA, LORA | {"adapt": [{"kind": "mcc"}]}, {"transfer": {"choose": "auto"}},
        {"evaluate": {"cold_start": {}, "matrix": True}},
    ],
    ids=["solved", "lora", "adapted", "gate", "curves"],
)  # fmt: skip
def test_it_is_answered_by_the_model_that_is_saved(
    tiny_encoder: Path, tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = served(tiny_encoder, tmp_path / "run", **sections)
    answers = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    assert set(answers["domain"]) == {"dee"} and len(answers) == (mail().user == "dee").sum()
    task = run.results["tasks"]["spam"]
    assert task["domains"] == {} and sum(task["answers"]["counts"].values()) == len(answers)
    expected = nlptl.load(tmp_path / "run").predict(list(answers["text"]), domain=list(answers["domain"]))
    pd.testing.assert_frame_equal(answers[list(expected)], expected, atol=1e-5)
    assert "no text served has a label" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_answers_that_are_withheld_are_counted(tiny_encoder: Path, tmp_path: Path) -> None:
    head = {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "calibrate": {"abstain": 0.9999}}
    answers = served(tiny_encoder, tmp_path / "run", heads={"spam": head}).results["tasks"]["spam"]["answers"]
    assert answers["abstained"] > 0 and answers["abstained"] + sum(answers["counts"].values()) == answers["n"]
    assert f"none {answers['abstained']}" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_check_says_what_would_be_done(tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nlptl.cli import main

    table = mail()
    table.loc[table.user == "dee", "label"] = None
    table.to_csv(tmp_path / "mail.csv", index=False)
    (tmp_path / "recipe.yaml").write_text(
        f"""
name: test
data: {{kind: csv, path: {tmp_path / "mail.csv"}, domain: user}}
transfer: {{target: dee, target_labels: 0}}
encoder: {{model: {tiny_encoder}, max_length: 24}}
tune: {{kind: frozen}}
heads: {{spam: {{kind: linear, column: label, labels: [ham, spam]}}}}
""",
        encoding="utf-8",
    )
    with pytest.raises(SystemExit) as left:
        main(["check", str(tmp_path / "recipe.yaml")])
    said = capsys.readouterr().out
    assert not left.value.code and "is sound" in said and "dee" in said
    print(said)
