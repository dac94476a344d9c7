"""Where a model is written to: nothing of an earlier model answers with it, and nobody else's file is touched."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_mail import mail
from made_model import made

import nlptl
from nlptl.cli import main
from nlptl.saved.place import copy_model
from nlptl.saved.targets import TargetModels
from nlptl.tune import Lora

TEXTS = ["win a cash prize", "the meeting is on monday", "gas"]


def fitted(encoder: Path, folder: Path, lexical: str | None = "tfidf", **transfer: object) -> nlptl.Run:
    folder.mkdir()
    mail(24, ("ann", "bob", "cy")).to_parquet(folder / "mail.parquet")
    recipe = nlptl.Recipe(
        data={"kind": "parquet", "path": str(folder / "mail.parquet"), "domain": "user"},
        transfer={"hold_out": 0.5, **transfer},
        encoder={"model": str(encoder), "max_length": 24, "lexical": lexical},
        heads={"spam": {"kind": "linear", "column": "label"}},
        evaluate={"bootstrap": 100},
    )
    return nlptl.fit(recipe, out=folder / "run")


@pytest.fixture(scope="module")
def several(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """One model a target."""
    return fitted(tiny_encoder, tmp_path_factory.mktemp("several") / "x", protocol="leave_one_out")


@pytest.fixture(scope="module")
def one(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """One model for all, with words."""
    return fitted(tiny_encoder, tmp_path_factory.mktemp("one") / "x")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_one_model_takes_the_place_of_one_a_target(several: nlptl.Run, one: nlptl.Run, tmp_path: Path) -> None:
    several.save(tmp_path)
    (tmp_path / "ann" / "notes.txt").write_text("mine")
    one.save(tmp_path)
    assert names(tmp_path) == names(one.folder / "model") | {"ann", "ann/notes.txt"}
    pd.testing.assert_frame_equal(nlptl.load(tmp_path).predict(TEXTS), one.predict(TEXTS))
    served = nlptl.load(several.save(tmp_path))
    assert isinstance(served, TargetModels)
    pd.testing.assert_frame_equal(served.predict(TEXTS, domain="bob"), several.predict(TEXTS, domain="bob"), atol=1e-6)
    several.save(tmp_path, domain="bob")
    assert names(tmp_path) == names(several.folder / "model" / "bob") | {"ann", "ann/notes.txt"}


def test_words_of_an_earlier_model_do_not_answer(one: nlptl.Run, tiny_encoder: Path, tmp_path: Path) -> None:
    one.save(tmp_path)
    (tmp_path / "lexical.json").rename(tmp_path / "kept.json")
    plain = made(tiny_encoder, Lora(rank=2))
    plain.save(tmp_path)
    assert names(tmp_path) >= {"adapter", "kept.json", "README.md"}  # the card is left to whoever wrote it
    made(tiny_encoder).save(tmp_path)
    assert names(tmp_path) == {"heads.safetensors", "model.json", "kept.json", "README.md"}
    (tmp_path / "kept.json").rename(tmp_path / "lexical.json")
    assert nlptl.load(tmp_path).words is None  # a file that is there is no sign that the model has words


def test_a_model_without_the_words_that_it_had_is_damaged(one: nlptl.Run, tmp_path: Path) -> None:
    (one.save(tmp_path) / "lexical.json").unlink()
    with pytest.raises(nlptl.ModelError, match=r"lexical\.json is damaged"):
        nlptl.load(tmp_path)


def test_a_folder_without_a_model_keeps_all_it_has(one: nlptl.Run, tmp_path: Path) -> None:
    own = {"encoder/mine.txt": "mine", "model.json": '{"layers": 3}', "tokenizer/mine.txt": "mine"}
    for name, text in own.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    one.save(tmp_path)
    assert (tmp_path / "encoder" / "mine.txt").is_file() and (tmp_path / "tokenizer" / "mine.txt").is_file()
    pd.testing.assert_frame_equal(nlptl.load(tmp_path).predict(TEXTS), one.predict(TEXTS))


def test_a_list_of_targets_leads_nowhere_else(one: nlptl.Run, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for outside in (tmp_path / "beside", tmp_path / "model" / "a" / "b"):
        one.save(outside)
    listed = {"targets": {"x": "../beside", "y": "a/b", "z": ".."}, "shared": None}
    (tmp_path / "model" / "targets.json").write_text(json.dumps(listed))
    one.save(tmp_path / "model")
    assert nlptl.load(tmp_path / "beside").tasks and nlptl.load(tmp_path / "model" / "a" / "b").tasks


def test_a_model_can_be_saved_where_it_lies(several: nlptl.Run, one: nlptl.Run, tmp_path: Path) -> None:
    for run, whose in ((several, "ann"), (one, None)):
        folder = run.save(tmp_path / run.folder.parent.name / (whose or "all"))
        before = names(folder)
        nlptl.load(folder).save(folder)
        assert names(folder) == before
        pd.testing.assert_frame_equal(nlptl.load(folder).predict(TEXTS, domain=whose), run.predict(TEXTS, domain=whose))
    copy = several.save(tmp_path / "copy")
    for inside in (copy / "ann", copy / "new"):
        with pytest.raises(nlptl.ModelError, match="lie in one another; name another folder"):
            copy_model(copy, inside)
    with pytest.raises(nlptl.ModelError, match="lie in one another"):
        copy_model(copy / "ann", copy)
    assert set(nlptl.load(copy).domains) == {"ann", "bob", "cy"}


def test_a_merged_model_can_be_saved_where_its_encoder_lies(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder, Lora(rank=2))
    model.export(tmp_path / "merged", to="merged")
    for again in (lambda m: m.save(tmp_path / "merged"), lambda m: m.export(tmp_path / "merged", to="merged")):
        again(nlptl.load(tmp_path / "merged"))
        served = nlptl.load(tmp_path / "merged")
        pd.testing.assert_frame_equal(served.predict(TEXTS), model.predict(TEXTS), atol=1e-5)


def test_an_encoder_that_the_saved_models_name_stays(tiny_encoder: Path, tmp_path: Path) -> None:
    for name, transfer in (("one", {}), ("several", {"protocol": "leave_one_out"})):
        folder = tmp_path / name / "spam"
        made(tiny_encoder, Lora(rank=2)).export(folder, to="merged")
        run = fitted(folder / "encoder", tmp_path / f"{name} run", **transfer)
        served = nlptl.load(run.save(folder))
        pd.testing.assert_frame_equal(served.predict(TEXTS, domain="ann"), run.predict(TEXTS, domain="ann"), atol=1e-6)


def test_a_readme_of_the_users_own_stays(
    several: nlptl.Run, one: nlptl.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = (tmp_path / "project" / "README.md", tmp_path / "project" / "ann" / "README.md")
    own[1].parent.mkdir(parents=True)
    for readme in own:
        readme.write_text("---\ntags:\n- mine\n---\n# About nlptl\n")
    one.save(tmp_path / "project")
    several.save(tmp_path / "project")
    one.save(tmp_path / "project")
    assert {readme.read_text() for readme in own} == {"---\ntags:\n- mine\n---\n# About nlptl\n"}
    for readme in own:
        assert f"{readme} is no model card of nlptl and stays" in caplog.text
    card = several.save(tmp_path / "copy", domain="bob") / "README.md"
    assert "bob" in card.read_text()
    one.save(tmp_path / "copy")  # a card of ours is replaced
    assert card.read_text() == (one.folder / "model" / "README.md").read_text()


def test_what_is_no_folder_is_told(one: nlptl.Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for write in (one.save, nlptl.load(one.folder).save, nlptl.load(one.folder).export):
        with pytest.raises(nlptl.DataError, match=r"file cannot be written \(File exists\); name another folder"):
            write(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_command_does_not_export_upon_other_targets(
    several: nlptl.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = several.save(tmp_path / "copy")
    before = names(copy)
    for output in (copy, copy / "ann" / "merged"):
        with pytest.raises(SystemExit) as end:
            main(["export", str(copy / "ann"), "-o", str(output), "--to", "merged"])
        assert end.value.code == 2 and "lie in one another; name another folder" in capsys.readouterr().err
    assert names(copy) == before
