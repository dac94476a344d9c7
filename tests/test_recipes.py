"""Every recipe runs, for two steps, on a tiny encoder and small data of the shape that it names."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

import nlptl
from nlptl.data import Mailboxes

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
QUESTIONS = {
    "NUM:date": "when did the war end",
    "NUM:count": "how many people are there",
    "HUM:ind": "who wrote the book",
    "ABBR:exp": "what do the letters stand for",
    "DESC:def": "what is a contract",
    "ENTY:animal": "what animal is it",
    "LOC:city": "where is the city",
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
    pd.DataFrame(
        {"text": [f"it is a good book {n}" if n % 2 else f"they had a contract {n}" for n in range(30)],
         "label": ["subjective" if n % 2 else "objective" for n in range(30)]}
    ).to_parquet(folder / "subj.parquet")  # fmt: skip
    topics = ("World", "Sports", "Business", "Sci/Tech")
    pd.DataFrame(
        {"text": [f"number {n} of {n * n} in the {topics[n % 4]} report" for n in range(60)],
         "label": [topics[n % 4] for n in range(60)]}
    ).to_parquet(folder / "ag_news_test.parquet")  # fmt: skip
    reviews = [
        {"text": f"a {mood} {product} number {n}", "label": label, "domain": product}
        for product in ("books", "dvd", "kitchen")
        for n in range(20)
        for mood, label in (("good", "positive"), ("bad", "negative"))
    ]
    for name in ("amazon_3domains", "reviews_10domains"):
        pd.DataFrame(reviews).to_parquet(folder / f"{name}.parquet")
    films = [
        {"text": f"a {mood} movie {n}", "label": label, "split": "train" if n < 20 else "test"}
        for n in range(25)
        for mood, label in (("good", "positive"), ("bad", "negative"))
    ]
    pd.DataFrame(films).to_parquet(folder / "sst2_sentences.parquet")
    questions = [
        {"text": f"{text} {n}", "label": label, "split": "test" if n % 4 == 0 else "train"}
        for label, text in (
            ("time", "what time is it"),
            ("love", "do they love you"),
            ("work", "the report"),
            ("oos", "water oil"),
        )
        for n in range(16)
    ]
    pd.DataFrame(questions).to_parquet(folder / "clinc150_small.parquet")
    return {path.name: str(path) for path in folder.iterdir()}


def encoders(recipe: nlptl.Recipe, data: dict[str, str], tiny: Path) -> list[str]:
    """Overrides that put the tiny encoder in the place of the real one, in what runs first too."""
    if recipe.encoder.among:
        return [f"encoder.among=[{tiny}]"]
    if recipe.before is None:
        return [f"encoder.model={tiny}"]
    return [
        f"before.encoder.model={tiny}", "before.encoder.max_length=24", "before.evaluate.bootstrap=100",
        f"before.data.path={data[Path(recipe.before.data.path).name]}", "before.train.max_steps=2",
    ]  # fmt: skip


def test_every_file_among_the_recipes_is_run_and_the_readme_names_no_other() -> None:
    stems = {path.stem for path in RECIPES}
    assert {file.partition(".")[0] for file in os.listdir(FOLDER)} == stems
    table = (FOLDER.parent / "README.md").read_text(encoding="utf-8").split("| you have |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.rpartition(" | ")[2])}
    assert named and named <= stems


def commands(path: Path) -> list[tuple[str, list[str]]]:
    """The commands that stand under ``Run:`` in a recipe's header, each with its settings, folded lines made whole."""
    header = "".join(line[1:] for line in path.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
    [section] = re.findall(r"^ Run:(.*?)(?=^ [A-Z][a-z]+: |\Z)", header, re.MULTILINE | re.DOTALL)
    found = re.findall(r"nlptl [a-z-]+ recipes/(\w+)\.yaml((?:\s+[a-z_][\w.]*=\S+)*)", section)
    return [(name, settings.split()) for name, settings in found]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_commands_that_the_header_names_are_sound(path: Path) -> None:
    assert f"\n# Run:     nlptl run recipes/{path.name}" in path.read_text(encoding="utf-8")
    found = commands(path)
    assert found and {name for name, _ in found} == {path.stem}
    for _, settings in found:
        assert isinstance(nlptl.Recipe.load(path, *settings), nlptl.Recipe)


def test_folded_commands_are_seen_whole() -> None:
    assert [len(settings) for _, settings in commands(FOLDER / "multitask.yaml")] == [3]
    assert [len(settings) for _, settings in commands(FOLDER / "sentiment_across_domains.yaml")] == [2, 4]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_runs(path: Path, data: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    overrides = ["encoder.max_length=24", "evaluate.bootstrap=100"]
    contrasts = nlptl.Recipe.load(path).tune.kind == "contrastive"  # which do without the loop
    overrides += ["tune.steps=2"] if contrasts else ["train.epochs=1", "train.max_steps=2"]
    overrides += encoders(nlptl.Recipe.load(path), data, tiny_encoder)
    source = nlptl.Recipe.load(path).data
    if isinstance(source, dict):
        overrides += [f"data.{name}.path={data[Path(one.path).name]}" for name, one in source.items()]
    elif source.kind == "mailboxes":
        overrides += ["data.mails=30"]
    else:
        overrides += [f"data.path={data[Path(source.path).name]}"]
    if path.stem.startswith(("spam_", "label_shift")):
        overrides += ["transfer.target=[ada]"]
    run = nlptl.fit(nlptl.Recipe.load(path, *overrides), out=tmp_path / "run")
    for task in run.results["tasks"].values():
        assert task["domains"]
        without_names = {"cosine"} if path.stem == "zero_shot" else {"majority", "tfidf", "probe"}
        assert set(task["baselines"]) - ({"cosine"} - without_names) == without_names
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000


def test_the_recipe_to_look_with_looks(data: dict[str, str], tiny_encoder: Path) -> None:
    path = Path(__file__).parents[1] / "recipes" / "diagnose_users.yaml"
    overrides = (f"encoder.model={tiny_encoder}", "encoder.max_length=24", f"data.path={data['mail.parquet']}")
    recipe = nlptl.Recipe.load(path, *overrides, "transfer.target=[ada]", "transfer.near=1.0")
    assert recipe.diagnose()["ada"]["shift"]["words"]
    assert set(recipe.diagnose("senses")["ada"]) == {"moved", "flipped", "looked_at"}
    assert recipe.diagnose("rows")["rows"] > 10
    blind = nlptl.Recipe.load(
        path, *overrides, "transfer.target=[ada]", "transfer.near=1.0", "transfer.target_labels=0"
    )
    assert set(blind.suggest(3)["domain"]) == {"ada"}
