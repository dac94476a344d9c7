"""A saved adapter is a plain PEFT folder; what does not fit is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_bodies import FAMILIES, hidden_states, holding, tiny_body
from transformers import AutoModel

from nlptl.errors import ModelError
from nlptl.tune import Lora
from nlptl.tune._adapter import CONFIG, WEIGHTS, load_adapter, save_adapter


def trained(family: str, settings: Lora | None = None) -> Any:
    """A body whose adapter differs from its start."""
    body = (settings or Lora(targets="all")).apply(holding(tiny_body(family))).body
    with torch.no_grad():
        for parameter in (parameter for parameter in body.parameters() if parameter.requires_grad):
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return body


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a BERT's adapter."""
    save_adapter(trained("bert"), tmp_path, "team/encoder")
    return tmp_path


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_peft_on_a_plain_encoder_gives_the_same_hidden_states(family: str, tmp_path: Path) -> None:
    tiny_body(family).save_pretrained(tmp_path / "base")
    body = trained(family)
    save_adapter(body, tmp_path / "adapter", "team/encoder")
    plain = PeftModel.from_pretrained(AutoModel.from_pretrained(tmp_path / "base"), str(tmp_path / "adapter")).eval()
    expected = hidden_states(body)
    torch.testing.assert_close(hidden_states(plain), expected, rtol=0, atol=1e-5)
    assert (expected - hidden_states(tiny_body(family))).abs().max() > 1e-3


@pytest.mark.parametrize(
    "settings", [Lora(), Lora(dora=True), Lora(rslora=True, layers=1)], ids=["lora", "dora", "top"]
)
def test_what_is_saved_is_loaded(settings: Lora, tmp_path: Path) -> None:
    body = trained("bert", settings)
    save_adapter(body, tmp_path, "team/encoder")
    loaded = load_adapter(tiny_body("bert"), tmp_path)
    body.requires_grad_(False)  # what learns sums in another order
    torch.testing.assert_close(hidden_states(loaded), hidden_states(body), rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_folder_names_the_base_as_it_is_told_and_holds_no_more_than_the_adapter(saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "team/encoder"
    assert config["inference_mode"] is True
    assert sorted(path.name for path in saved.iterdir()) == [CONFIG, WEIGHTS]
    assert all("lora_" in name for name in load_file(saved / WEIGHTS))


def test_saving_leaves_the_body_as_it_was(tmp_path: Path) -> None:
    body = trained("bert")
    save_adapter(body, tmp_path, "team/encoder")
    assert body.peft_config["default"].inference_mode is False
    assert any(parameter.requires_grad for parameter in body.parameters())


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_an_absent_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ModelError, match=f"no {name}"):
        load_adapter(tiny_body("bert"), saved)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_cut_file_is_damaged(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="damaged"):
        load_adapter(tiny_body("bert"), saved)


def test_an_adapter_of_another_family_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match="another encoder than DistilBertModel"):
        load_adapter(tiny_body("distilbert"), saved)


def test_an_adapter_of_another_depth_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"weights are missing, unknown or of another shape, such as .*layer\.2"):
        load_adapter(tiny_body("bert", layers=3), saved)


def test_missing_weights_are_refused(saved: Path) -> None:
    state = load_file(saved / WEIGHTS)
    state.pop(next(iter(state)))
    save_file(state, saved / WEIGHTS)
    with pytest.raises(ModelError, match="1 weights are missing"):
        load_adapter(tiny_body("bert"), saved)
