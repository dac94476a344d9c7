"""Exported models answer as the model does, from their own folder alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from train_network import TASKS
from transformers import AutoModel
from typer.testing import CliRunner

import nlptl
from nlptl.cli import app
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.lexical import Lexical
from nlptl.evaluate.calibrate import Calibration
from nlptl.heads._domains import Deviations, Spread
from nlptl.heads._scaling import Scaling
from nlptl.heads.mlp import Mlp
from nlptl.model import Network, TaskHead
from nlptl.predict import predict_file
from nlptl.recipe import Encoder
from nlptl.saved import Model
from nlptl.saved.domains import DomainHeads
from nlptl.saved.words import Words
from nlptl.tune import Lora

TEXTS = ["win a cash prize", "the meeting is on monday", "gas", "you can win the report of the people " * 6, "x y z"]
TASKS = TASKS | {
    "kind": nlptl.contracts.Task("kind", nlptl.heads.Linear(positive="spam"), ("ham", "spam")),
    "tags": nlptl.contracts.Task("tags", Mlp(hidden=(8,), multilabel=True), ("a", "b", "c")),
}


def made(encoder: Path, *, lora: bool = True, words: bool = True, **settings: Any) -> Model:
    """A model with an adapter, a head of each link over each reading, and words beside one."""
    torch.manual_seed(0)
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=24, **settings))
    if lora:
        Lora(rank=2).apply(backbone)
        with torch.no_grad():
            for name, parameter in backbone.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.2)
    readings = ("last", "layers", "last+layers")
    heads = {
        name: TaskHead.fresh(task, reading, backbone.width)
        for (name, task), reading in zip(TASKS.items(), readings, strict=True)
    }
    lexical = Lexical.fit([*TEXTS, *TEXTS])
    beside = Words(lexical, {"kind": np.random.default_rng(0).normal(size=(lexical.width, 1))}) if words else None
    return Model(Network(backbone.freeze("float32"), heads), beside, {"text": "text", "text_pair": None})


def probabilities(model: Model, texts: list[str] = TEXTS) -> dict[str, Any]:
    return {name: np.asarray(values) for name, values in model.probabilities(texts).items()}


def assert_same(model: Model, other: Model, tolerance: float = 1e-5) -> None:
    ours, theirs = probabilities(model), probabilities(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance)


@pytest.mark.parametrize("lora", [False, True], ids=["frozen", "lora"])
def test_a_merged_model_needs_no_other_encoder(lora: bool, tiny_encoder: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_encoder, tmp_path / "base")
    model = made(base, lora=lora)
    before = probabilities(model)
    model.export(tmp_path / "merged", to="merged", texts=TEXTS)
    shutil.rmtree(base)
    moved = (tmp_path / "merged").rename(tmp_path / "elsewhere")
    assert_same(model, nlptl.load(moved))
    assert json.loads((moved / "agreement.json").read_text())["kind"]["labels"] == 1
    assert all((before[name] == values).all() for name, values in probabilities(model).items())  # left as it was
    body = AutoModel.from_pretrained(moved / "encoder")
    assert body.config.hidden_size == 32


def test_an_encoder_named_from_where_the_command_runs_is_found_again(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    model = made(Path("base"))
    model.network.backbone.settings = model.network.backbone.settings.model_copy(update={"model": "./base"})
    assert_same(model, nlptl.load(model.save(tmp_path / "saved" / "model")))


def test_an_exported_adapter_is_pefts(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder).export(tmp_path / "adapter", to="adapter")
    plain = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_encoder), str(tmp_path / "adapter"))
    assert plain.peft_config["default"].r == 2
    with pytest.raises(nlptl.ModelError, match="no adapter"):
        made(tiny_encoder, lora=False).export(tmp_path / "none", to="adapter")


def test_an_export_leaves_nothing_of_an_earlier_one(tiny_encoder: Path, tmp_path: Path) -> None:
    plain = made(tiny_encoder, lora=False, words=False)
    made(tiny_encoder).export(tmp_path, to="adapter")
    (tmp_path / "mine.txt").write_text("mine")
    with_domains(made(tiny_encoder)).save(tmp_path)
    plain.export(tmp_path, to="merged", texts=TEXTS)
    assert_same(plain, nlptl.load(tmp_path))
    assert not (tmp_path / "lexical.json").exists() and not (tmp_path / "adapter").exists()
    made(tiny_encoder).export(tmp_path, to="adapter")
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "mine.txt"
    }  # fmt: skip
    with pytest.raises(nlptl.ModelError, match=r"model\.json is absent"):
        nlptl.load(tmp_path)


def test_an_export_that_fails_leaves_the_earlier_one(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder, lora=False)
    model.export(tmp_path, to="merged")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(nlptl.ModelError, match="no adapter"):
        model.export(tmp_path, to="adapter")
    with pytest.raises(nlptl.ModelError, match=r"adapter does not answer by itself.*leave them out"):
        made(tiny_encoder).export(tmp_path, to="adapter", texts=TEXTS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_command_does_not_export_upon_the_model_itself(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder)
    model.save(tmp_path / "run" / "model")
    for named in ("run", "run/model"):
        command = ["export", str(tmp_path / named), "--to", "adapter", "-o", str(tmp_path / "run" / "model")]
        with pytest.raises(nlptl.RecipeError, match="folder of the model itself; name another"):
            CliRunner().invoke(app, command, catch_exceptions=False)
    assert_same(model, nlptl.load(tmp_path / "run"))


@pytest.mark.parametrize("wrong", [{"to": "onx"}, {"to": "adapter", "int8": True}])
def test_what_there_is_not_is_refused(wrong: dict[str, Any], tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(nlptl.NlptlError, match=r"did you mean 'onnx'|knows no int8"):
        made(tiny_encoder).export(tmp_path / "wrong", **wrong)


# --- onnx -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def onnx() -> None:
    """The extra; where it is absent the test says so."""
    pytest.importorskip("onnx", reason="the extra onnx is not installed: pip install 'nlptl[onnx]'")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: pip install 'nlptl[onnx]'")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("lora", [False, True], ids=["frozen", "lora"])
def test_a_graph_answers_as_the_model_does(lora: bool, tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder, lora=lora)
    model.export(tmp_path / "onnx", texts=TEXTS)
    served = nlptl.load(tmp_path / "onnx")
    assert_same(model, served)
    agreement = json.loads((tmp_path / "onnx" / "agreement.json").read_text())
    assert agreement["texts"] == len(TEXTS) and agreement["tags"]["labels"] == 1
    assert agreement["kind"]["probability"] < 1e-5
    pd.testing.assert_frame_equal(served.predict(TEXTS), model.predict(TEXTS), atol=1e-5)
    assert "OnnxModel" in repr(served) and served.tasks == model.tasks
    served.use_batch_tokens(16)
    assert_same(model, nlptl.load(served.save(tmp_path / "copy")))


@pytest.mark.usefixtures("onnx")
def test_a_mix_of_layers_answers_any_number_of_texts(tiny_encoder: Path, tmp_path: Path) -> None:
    """The graph is traced on three rows, and is asked for others."""
    plain = made(tiny_encoder, lora=False, words=False)
    head = plain.network.task_heads["kind"].mixing(plain.network.backbone.depth)
    model = Model(Network(plain.network.backbone, {"kind": head}), None, plain.columns)
    model.export(tmp_path / "onnx", texts=TEXTS)
    assert_same(model, nlptl.load(tmp_path / "onnx"))


@pytest.mark.usefixtures("onnx")
def test_a_graph_needs_no_encoder_and_files_are_answered_by_it(tiny_encoder: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_encoder, tmp_path / "base")
    model = made(base)
    model.export(tmp_path / "onnx")
    shutil.rmtree(base)
    pd.DataFrame({"text": [*TEXTS, ""]}).to_csv(tmp_path / "texts.csv", index=False)
    predict_file(tmp_path / "onnx", tmp_path / "texts.csv", tmp_path / "answers.csv")
    answers = pd.read_csv(tmp_path / "answers.csv")
    np.testing.assert_allclose(answers["kind.spam"][:-1], probabilities(model)["kind"][:, 1], atol=1e-5)
    assert answers["problem"].iloc[-1] == "no text"


def with_domains(model: Model) -> Model:
    """``model`` with heads of two domains for two of its tasks, and temperatures and thresholds of domains for one."""
    rng = np.random.default_rng(0)
    for name, width in (("kind", 32), ("topic", 32)):
        outputs = model.tasks[name].outputs
        model.domain_heads[name] = DomainHeads(
            Spread(1.0, 1.0), Scaling(rng.normal(size=width), 2.0), ("ann@x.org", "bö"),
            Deviations(rng.normal(size=(2, width, outputs)), rng.normal(size=(2, outputs))),
        )  # fmt: skip
    model.calibrations["kind"] = Calibration(1.7, {"bö": 0.4}, 0.6, {"bö": 0.2, "cy": 0.9}, abstain=0.3)
    return model


WHOSE = ["ann@x.org", "bö", None, "nobody", "cy"]


@pytest.mark.usefixtures("onnx")
def test_domains_heads_and_calibration_answer_beside_the_graph(tiny_encoder: Path, tmp_path: Path) -> None:
    model = with_domains(made(tiny_encoder))
    model.export(tmp_path / "onnx", texts=TEXTS)
    served = nlptl.load(tmp_path / "onnx")
    ours, theirs = (each.predict(TEXTS * 2, domain=[*WHOSE, *WHOSE[::-1]]) for each in (model, served))
    pd.testing.assert_frame_equal(ours, theirs, atol=1e-4)
    plain = made(tiny_encoder).predict(TEXTS, domain=WHOSE)
    for place in range(len(TEXTS)):  # every row is calibrated, and the first two have heads of their own
        assert abs(plain["kind.spam"][place] - theirs["kind.spam"][place]) > 1e-3
    assert served.domains == model.domains and served.calibrations == model.calibrations
    assert json.loads((tmp_path / "onnx" / "agreement.json").read_text())["kind"]["labels"] == 1
    table = pd.DataFrame({"text": TEXTS, "user": WHOSE})
    table.to_csv(tmp_path / "texts.csv", index=False)
    answers = pd.read_csv(predict_file(tmp_path / "onnx", tmp_path / "texts.csv", tmp_path / "out.csv", domain="user"))
    np.testing.assert_allclose(answers["kind.spam"], ours["kind.spam"][: len(TEXTS)], atol=1e-4)


@pytest.mark.usefixtures("onnx")
def test_a_domain_can_be_added_to_an_exported_model(tiny_encoder: Path, tmp_path: Path) -> None:
    model = with_domains(made(tiny_encoder))
    model.export(tmp_path / "onnx")
    served = nlptl.load(tmp_path / "onnx")
    labels = {"kind": ["spam", "ham", "ham", "spam", "ham"], "topic": [None] * 5}
    for each in (model, served):
        each.add_domain("new", TEXTS, labels)
    served.save_heads(tmp_path / "onnx")
    again = nlptl.load(tmp_path / "onnx")
    pd.testing.assert_frame_equal(model.predict(TEXTS, domain="new"), again.predict(TEXTS, domain="new"), atol=1e-4)
    assert np.abs(again.predict(TEXTS, domain="new")["kind.spam"] - again.predict(TEXTS)["kind.spam"]).max() > 1e-3


@pytest.mark.usefixtures("onnx")
def test_a_graph_has_nothing_of_an_earlier_graph_beside_it(tiny_encoder: Path, tmp_path: Path) -> None:
    with_domains(made(tiny_encoder)).export(tmp_path / "onnx")
    plain = made(tiny_encoder, words=False)
    plain.export(tmp_path / "onnx", texts=TEXTS)
    kept = {"model.json", "model.onnx", "tokenizer", "agreement.json"}
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == kept
    assert_same(plain, nlptl.load(tmp_path / "onnx"))
    Lexical.fit([*TEXTS, *TEXTS]).save(tmp_path / "onnx" / "lexical.json")  # what the description does not name
    assert nlptl.load(tmp_path / "onnx").words is None
    with pytest.raises(nlptl.ModelError, match="was exported already"):
        nlptl.load(tmp_path / "onnx").export(tmp_path / "again")


@pytest.mark.usefixtures("onnx")
def test_int8_is_smaller_and_close(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder)
    for int8 in (False, True):
        model.export(tmp_path / str(int8), int8=int8, texts=TEXTS)
    sizes = [(tmp_path / str(int8) / "model.onnx").stat().st_size for int8 in (False, True)]
    assert sizes[1] < sizes[0]
    difference = json.loads((tmp_path / "True" / "agreement.json").read_text())["topic"]["probability"]
    assert 0 < difference < 0.1


@pytest.mark.usefixtures("onnx")
def test_pairs_are_told_apart(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder, words=False)
    model.columns["text_pair"] = "reply"
    model.export(tmp_path / "onnx")
    served = nlptl.load(tmp_path / "onnx")
    ours, theirs = (each.probabilities(TEXTS, TEXTS[::-1])["topic"] for each in (model, served))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(np.asarray(ours) - probabilities(model)["topic"]).max() > 1e-3


@pytest.mark.usefixtures("onnx")
def test_what_one_graph_cannot_hold_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(nlptl.ModelError, match="long: chunks"):
        made(tiny_encoder, long="chunks").export(tmp_path / "onnx")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("name", ["model.onnx", "words.safetensors", "domains.safetensors", "tokenizer"])
def test_a_damaged_folder_is_told_of(name: str, tiny_encoder: Path, tmp_path: Path) -> None:
    with_domains(made(tiny_encoder)).export(tmp_path / "onnx")
    broken = tmp_path / "onnx" / name
    shutil.rmtree(broken) if broken.is_dir() else broken.write_bytes(b"x")
    with pytest.raises(nlptl.ModelError, match=r"is damaged .* export it again"):
        nlptl.load(tmp_path / "onnx")


@pytest.mark.usefixtures("onnx")
def test_the_command_says_how_far_answers_agree(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder).save(tmp_path / "model")
    pd.DataFrame({"mail": TEXTS}).to_csv(tmp_path / "texts.csv", index=False)
    options = ["--to", "onnx", "-o", str(tmp_path / "onnx"), "--texts", str(tmp_path / "texts.csv"), "--text", "mail"]
    done = CliRunner().invoke(app, ["export", str(tmp_path / "model"), *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert "kind: 100.00% of 5 labels agree" in done.output


def test_without_the_extra_it_says_what_to_install(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(nlptl.ModelError, match=r"pip install 'nlptl\[onnx\]'"):
        made(tiny_encoder).export(tmp_path / "onnx")
