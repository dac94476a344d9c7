"""Every recipe runs, for two steps, on a tiny encoder and small data of the shape that it names."""

from pathlib import Path

import pandas as pd
import pytest

import nlptl
from nlptl.data import Mailboxes

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
QUESTIONS = {
    "NUM:date": "when did the war end",
    "NUM:count": "how many people are there",
    "HUM:ind": "who wrote the book",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small files by the name that a recipe gives its data."""
    folder = tmp_path_factory.mktemp("data")
    mail = Mailboxes(people=3, mails=24).frame(nlptl.contracts.Quarantine())
    mail[["text", "label", "user"]].to_parquet(folder / "mail.parquet")
    mail[["text", "label"]].dropna().to_parquet(folder / "sms_spam.parquet")
    rows = [
        {"text": f"{text} number {place}", "label": fine.split(":")[0], "label_fine": fine, "split": split}
        for split, count in (("train", 12), ("test", 4))
        for place in range(count)
        for fine, text in QUESTIONS.items()
    ]
    pd.DataFrame(rows).to_parquet(folder / "trec_qc.parquet")
    return {path.name: str(path) for path in folder.iterdir()}


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_opens_with_its_command_and_runs(
    path: Path, data: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    assert f"nlptl run recipes/{path.name}" in path.read_text(encoding="utf-8")
    overrides = [f"encoder.model={tiny_encoder}", "encoder.max_length=24", "evaluate.bootstrap=100", "train.epochs=1"]
    source = nlptl.Recipe.load(path).data
    if source.kind == "mailboxes":
        overrides += ["data.mails=30"]
    else:
        overrides += [f"data.path={data[Path(source.path).name]}", "train.max_steps=2"]
    if path.stem.startswith("spam_"):
        overrides += ["transfer.target=[ada]"]
    run = nlptl.fit(nlptl.Recipe.load(path, *overrides), out=tmp_path / "run")
    for task in run.results["tasks"].values():
        assert task["domains"]
        assert set(task["baselines"]) == {"majority", "tfidf", "probe"}
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
