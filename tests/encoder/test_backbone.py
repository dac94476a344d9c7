import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_bodies import FAMILIES, tiny_body
from transformers import AutoConfig, AutoModel

from nlptl.contracts import Floats
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import encode
from nlptl.errors import ModelError
from nlptl.recipe import Encoder

TEXTS = ["win a free prize", "the meeting about the gas contract is on my number now", "", "zzz"]
OFFSET = {"roberta": 1, "xlm-roberta": 1, "camembert": 1, "mpnet": 2}
"""Positions lost by families that begin after the padding's: its id is 0 here, and 1 in MPNet whatever is said."""


def load(folder: Path, **settings: Any) -> Backbone:
    return Backbone.load(Encoder(model=str(folder), **{"max_length": 32, **settings}))


def vectors(backbone: Backbone, *readings: str, texts: list[str] = TEXTS) -> dict[str, Floats]:
    return encode(backbone, texts, readings=readings, store=None)


@pytest.fixture
def copy(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "copy"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def of_family(family: str, folder: Path) -> Path:
    """``folder`` with another family's body in it: its tokenizer is the tiny BERT's."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=300, hidden_size=32, dim=32, num_hidden_layers=2, n_layers=2, num_attention_heads=4,
        n_heads=4, intermediate_size=64, hidden_dim=64, embedding_size=16, max_position_embeddings=40, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip
    (folder / "model.safetensors").unlink()
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_the_same_alone_and_beside_others(family: str, copy: Path) -> None:
    backbone = load(of_family(family, copy))
    assert (backbone.width, backbone.depth, backbone.dtype) == (32, 2, torch.float32)
    assert not [name for name, _ in backbone.body.named_parameters() if "pooler" in name]
    names = ("last", "cls", "layers", "layer.0", "layer.1", "layer.2")
    together = vectors(backbone, *names)
    for row, text in enumerate(TEXTS):
        for name, alone in vectors(backbone, *names, texts=[text]).items():
            np.testing.assert_allclose(alone[0], together[name][row], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(together["last"], together["layer.2"], atol=1e-6)
    every = [together[f"layer.{layer}"] for layer in range(3)]
    np.testing.assert_allclose(together["layers"], np.mean(every, axis=0), atol=1e-6)
    pairs = encode(backbone, TEXTS[:2], TEXTS[1:3], readings=["last"], store=None)["last"]
    assert np.isfinite(pairs).all() and not np.allclose(pairs, together["last"][:2])


@pytest.mark.parametrize("family", FAMILIES)
def test_max_length_is_held_against_the_positions(family: str, copy: Path) -> None:
    places = 40 - OFFSET.get(family, 0)
    folder = of_family(family, copy)
    backbone = load(folder, max_length=places)
    assert np.isfinite(vectors(backbone, "last", texts=["the " * 60])["last"]).all()
    with pytest.raises(ModelError, match=rf"has {places} positions; set encoder.max_length to {places} or less"):
        load(folder, max_length=places + 1)


def test_the_checkpoint_s_pooling_is_followed(copy: Path) -> None:
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    found = vectors(load(copy), "last", "cls")
    np.testing.assert_array_equal(found["last"], found["cls"])


def test_half_checkpoints_load_in_float32(copy: Path) -> None:
    halves = {name: tensor.half() for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(halves, copy / "model.safetensors", metadata={"format": "pt"})
    change(copy / "config.json", dtype="float16")
    assert {parameter.dtype for parameter in load(copy).parameters()} == {torch.float32}


def test_freezing_casts_the_body_and_spares_the_adapter(tiny_encoder: Path) -> None:
    backbone = load(tiny_encoder)
    exact = vectors(backbone, "last")["last"]
    backbone.body = get_peft_model(backbone.body, LoraConfig(r=2, target_modules=["query"]))
    backbone.freeze("bfloat16")
    kinds = {(".lora_" in name, p.dtype, p.requires_grad) for name, p in backbone.named_parameters()}
    assert kinds == {(True, torch.float32, True), (False, torch.bfloat16, False)}
    np.testing.assert_allclose(vectors(backbone, "last")["last"], exact, atol=0.05)


def test_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        (True, True, "GenuineIntel", "bfloat16"),
        (False, True, "GenuineIntel", "float32"),  # AVX-512 BF16 at half the rate of float32
        (False, True, "AuthenticAMD", "bfloat16"),
        (False, False, "AuthenticAMD", "float32"),
    ]
    for tiles, native, maker, expected in cases:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(Path, "read_text", lambda self, maker=maker, **settings: f"vendor_id: {maker}")
        assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"


def test_vocabulary_beyond_the_embeddings_is_refused(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["entirelynew"] = len(vocabulary)
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="not of one model"):
        load(copy)


def drop_layers(folder: Path) -> None:
    change(folder / "config.json", num_hidden_layers=4)


def cut_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])


def other_width(folder: Path) -> None:
    change(folder / "config.json", intermediate_size=128)


def only_a_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("damage", [drop_layers, cut_weights, other_width, only_a_pickle])
def test_weights_that_are_not_the_model_s_are_refused(copy: Path, damage: Callable[[Path], None]) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=r"lacks 32 of the weights|could not be loaded"):
        load(copy)


def test_loading_prints_nothing(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_file(
        load_file(copy / "model.safetensors") | {"classifier.weight": torch.ones(2, 32)}, copy / "model.safetensors",
        metadata={"format": "pt"},
    )  # fmt: skip
    load(copy)
    assert capfd.readouterr() == ("", "")


def lowercase_off(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    change(folder / "tokenizer_config.json", do_lower_case=False)


def fewer_heads(folder: Path) -> None:
    change(folder / "config.json", num_attention_heads=2)


def one_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][7, 3] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def a_prompt(folder: Path) -> None:
    prompts = {"prompts": {"q": "the "}, "default_prompt_name": "q"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))


@pytest.mark.parametrize("alter", [lowercase_off, fewer_heads, one_weight, a_prompt])
def test_identity_changes_with_all_that_changes_a_vector(
    tiny_encoder: Path, copy: Path, alter: Callable[[Path], None]
) -> None:
    assert load(copy).identity() == load(tiny_encoder).identity()
    alter(copy)
    assert load(copy).identity() != load(tiny_encoder).identity()


def test_identity_includes_the_adapter_its_scale_and_whether_it_is_on(tiny_encoder: Path) -> None:
    def adapted(alpha: int) -> Backbone:
        backbone = load(tiny_encoder)
        torch.manual_seed(0)
        settings = LoraConfig(r=2, lora_alpha=alpha, target_modules=["query"], init_lora_weights=False)
        backbone.body = get_peft_model(backbone.body, settings)
        return backbone

    backbone = adapted(2)
    found = {load(tiny_encoder).identity(), backbone.identity(), adapted(4).identity()}
    with backbone.body.disable_adapter():
        found.add(backbone.identity())
    before = backbone.identity()
    with torch.no_grad():
        next(p for name, p in backbone.named_parameters() if "lora_B" in name).add_(1e-4)
    found.add(backbone.identity())
    assert len(found) == 5 and before == adapted(2).identity()


@pytest.mark.real
@pytest.mark.parametrize("name", ["default", "paraphrase-MiniLM-L3-v2", "quire-distilbert-base-cased"])
def test_real_encoders_equal_sentence_transformers(name: str, shared_models: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    backbone = load(Path("default") if name == "default" else shared_models / name, max_length=64)
    texts = [*TEXTS[:2], "An unseen word: floccinaucinihilipilification. " * 20]
    peer = sentence_transformers.SentenceTransformer(
        backbone.located.path, device="cpu", model_kwargs={"dtype": "float32"}
    )
    peer.max_seq_length = 64
    expected = peer.encode(texts, normalize_embeddings=True)

    def normalised() -> Floats:
        found = vectors(backbone, "last", texts=texts)["last"]
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    np.testing.assert_allclose(normalised(), expected, atol=1e-5)
    backbone.freeze("bfloat16")
    assert (normalised() * expected).sum(axis=1).min() >= 0.9998


@pytest.mark.parametrize("family", FAMILIES)
def test_without_dropout_training_answers_as_evaluation_does(family: str) -> None:
    body = tiny_body(family)
    ids = torch.tensor([[1, 7, 8, 9, 10, 2], [1, 11, 12, 2, 0, 0]])
    expected = body(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    for _, module in body.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    Backbone.switch_off_dropout(SimpleNamespace(body=body))  # type: ignore[arg-type]
    found = body.train()(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    torch.testing.assert_close(found[ids != 0], expected[ids != 0], atol=1e-5, rtol=0)
