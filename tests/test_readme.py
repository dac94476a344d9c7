"""What the README shows is so: its recipe is sound, and its notebook runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
from made_mail import mail

import nlptl
from nlptl.cli.outline import outline
from nlptl.encoder import backbone, locate

ROOT = Path(__file__).parents[1]


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in ``language``."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_recipe_is_sound_for_mail_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [written] = blocks("yaml")
    (tmp_path / "recipe.yaml").write_text(written, encoding="utf-8")
    mail(30, ("ann", "bob", "kitchen-l")).to_parquet(tmp_path / "mail.parquet")
    monkeypatch.chdir(tmp_path)
    recipe = nlptl.Recipe.load("recipe.yaml")
    assert recipe.name == "spam-across-users" and recipe.transfer.target == ("kitchen-l",)
    told = [line.split() for line in outline(recipe)]
    assert ["kitchen-l", "30", "30"] in [words[:3] for words in told]  # rows, and how many of them are scored


def test_the_notebook_runs(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = locate.locate
    monkeypatch.setattr(backbone, "locate", lambda model, revision: found(str(tiny_encoder), None))
    monkeypatch.chdir(tmp_path)
    written = (ROOT / "recipes" / "quickstart.yaml").read_text(encoding="utf-8")
    small = written.replace("{kind: mailboxes}", "{kind: mailboxes, mails: 40}")
    small = small.replace("encoder: {", "encoder: {max_length: 24, ")
    Path("recipes").mkdir()
    Path("recipes/quickstart.yaml").write_text(small, encoding="utf-8")
    left: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), left)
    assert left["run"].results["tasks"]["spam"]["domains"].keys() == {"ada"}
    assert (tmp_path / "models" / "spam" / "model.json").is_file()


def test_what_reads_the_model_without_nlptl_is_what_the_example_runs() -> None:
    """Each call and each name of a weight; the example runs in a test of its own."""
    plain = blocks("python")[1]
    compile(plain, "README.md", "exec")
    example = (ROOT / "examples" / "plain_peft.py").read_text(encoding="utf-8")
    used = set(re.findall(r'[A-Za-z_.]+\(|"[^"]+"', plain)) - {'"model/adapter"', '"model/heads.safetensors"'}
    assert used and sorted(each for each in used if each not in example) == []
