"""Guessing masked words: which and what stands there, by hand; the checkpoint's own head or a fresh one; from recipe to
run, refused where nothing can learn, and resumed to the same numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from made_mail import mail
from torch.nn.functional import cross_entropy

import nlptl
from nlptl.adapt._masked import corrupted, draw, guessing_loss
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.masked_head import masked_head
from nlptl.encoder.tokens import tokenize
from nlptl.fitting import augment as fitting_augment
from nlptl.fitting.folder import RunFolder
from nlptl.recipe import Encoder
from nlptl.train.guessing import Guessing


def test_what_stands_in_a_tokens_place_by_hand() -> None:
    ids, fate = torch.tensor([[7, 8, 9, 10]]), torch.tensor([[0.79, 0.80, 0.89, 0.90]])
    others = torch.tensor([[21, 22, 23, 24]])
    assert corrupted(ids, torch.ones(1, 4, dtype=torch.bool), fate, others, 4).tolist() == [[4, 22, 23, 10]]
    assert corrupted(ids, torch.zeros(1, 4, dtype=torch.bool), fate, others, 4).tolist() == ids.tolist()


def test_masks_are_drawn_by_seed_at_the_rate_and_never_over_special_tokens() -> None:
    ids = torch.randint(5, 100, (200, 100), generator=torch.Generator().manual_seed(0))
    ids[:, 0], special, ordinary = 2, torch.tensor([0, 2, 4]), torch.arange(5, 100)
    read, chosen = draw(ids, ordinary, special, 0.15, 4, seed=1)
    assert not chosen[:, 0].any()
    assert float(chosen[:, 1:].float().mean()) == pytest.approx(0.15, abs=0.01)
    shares = [float(where[chosen].float().mean()) for where in (read == 4, read == ids)]
    assert shares == pytest.approx([0.8, 0.1 + 0.1 / 95], abs=0.02)
    assert torch.equal(read[~chosen], ids[~chosen])
    again, other = (draw(ids, ordinary, special, 0.15, 4, seed=seed)[1] for seed in (1, 2))
    assert torch.equal(again, chosen) and not torch.equal(other, chosen)


def test_the_loss_by_hand() -> None:
    """Two guesses of the first row at ¼ and ½, none of the second: ln 4 + ln 2, and 0."""
    logits = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    found = guessing_loss(logits, torch.tensor([0, 1]), torch.tensor([0, 0]), rows=2)
    assert found.tolist() == pytest.approx([np.log(4) + np.log(2), 0])


@pytest.fixture(scope="module")
def with_head(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder's size and tokenizer, saved with a masked-LM head."""
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("with_head")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    torch.manual_seed(1)
    BertForMaskedLM(BertConfig.from_pretrained(tiny_encoder)).save_pretrained(folder)
    return folder


def test_the_checkpoints_own_head_guesses_as_it_does(with_head: Path, tiny_encoder: Path) -> None:
    """The mean loss is that of transformers' own model on the same corrupted tokens."""
    from transformers import BertForMaskedLM

    backbone = Backbone.load(Encoder(model=str(with_head), max_length=32))
    head = masked_head(backbone)
    assert not head.fresh and masked_head(Backbone.load(Encoder(model=str(tiny_encoder), max_length=32))).fresh
    tokens = tokenize(backbone, ["win a cash prize now", "the meeting is on the gas contract", "good book"])
    guessing = Guessing(backbone, head, tokens, rate=0.5, seed=3)
    found = guessing.loss(np.arange(3), 7, Accelerator(cpu=True))
    whole = tokens.batch(np.arange(3))
    seed = int(np.random.SeedSequence((3, 7, 3)).generate_state(1)[0])
    read, chosen = draw(whole.input_ids, guessing.ordinary, guessing.special, 0.5, 4, seed)
    with torch.no_grad():
        reference = BertForMaskedLM.from_pretrained(with_head).eval()
        logits = reference(input_ids=read, attention_mask=whole.attention_mask).logits
    torch.testing.assert_close(found.detach(), cross_entropy(logits[chosen], whole.input_ids[chosen]))


def test_a_head_without_a_mask_token_is_refused(tiny_encoder: Path) -> None:
    backbone = Backbone.load(Encoder(model=str(tiny_encoder), max_length=32))
    backbone.tokenizer.mask_token = None
    with pytest.raises(nlptl.ModelError, match="has no mask token"):
        masked_head(backbone)


def recipe(model: Path, path: Path, *, tune: dict[str, Any] | None = None, **tapt: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        data={"kind": "parquet", "path": str(path), "domain": "user"},
        transfer={"target": "dee", "target_labels": 0, "hold_out": 0.5},
        encoder={"model": str(model), "max_length": 24},
        tune=tune or {"kind": "lora"},
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        adapt=[{"kind": "tapt", "lr": 1e-2, "max_steps": 12, **tapt}],
        train={"max_steps": 4, "checkpoint_steps": 2, "batch_rows": 16},
        evaluate={"bootstrap": 100},
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail().to_parquet(path)
    return path


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("tune", [{"kind": "lora"}, {"kind": "full"}])
def test_the_encoder_learns_first_and_beside_the_labels(
    with_head: Path, table: Path, tmp_path: Path, tune: dict[str, Any]
) -> None:
    run = nlptl.fit(recipe(with_head, table, tune=tune, when="both"), out=tmp_path)
    guessed = [entry["masked loss"] for entry in entries(tmp_path) if "masked loss" in entry]
    assert len(guessed) == 12 and np.mean(guessed[-3:]) < np.mean(guessed[:3]) - 0.05
    assert [entry["turn"] for entry in entries(tmp_path) if "adapt.tapt" in entry] == ["all"] * 4
    [chosen] = run.results["chosen"]
    assert chosen["adapt"].startswith("tapt: 20 texts, 12 steps, loss ")
    assert chosen["adapt"].endswith("tapt beside the labels; masked-LM head is the checkpoint's")
    assert run.results["domains"]["dee"]["shipped"] == f"{tune['kind']}+tapt"
    served = nlptl.load(tmp_path).predict(["win a prize"])
    assert np.allclose(served["spam.spam"], run.predict(["win a prize"])["spam.spam"], atol=1e-6)


def test_a_fresh_head_is_said_to_be_one_and_before_changes_the_vectors(
    tiny_encoder: Path, table: Path, tmp_path: Path
) -> None:
    run = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path / "before")
    beside = nlptl.fit(recipe(tiny_encoder, table, when="joint"), out=tmp_path / "joint")
    assert run.results["chosen"][0]["adapt"].endswith("nats; masked-LM head is fresh")
    assert beside.results["chosen"][0]["adapt"] == "tapt beside the labels; masked-LM head is fresh"
    assert run.results["chosen"][0]["loss"] != beside.results["chosen"][0]["loss"]  # of the solved heads
    probes = [each.results["baselines"]["probe"]["overall"] for each in (run, beside)]
    assert probes[0] == probes[1]  # baselines read the encoder as it was published


def test_views_of_the_rows_that_chose_have_the_new_vectors_once_all_teach(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting_augment, "wins", lambda dear, cheap: True)
    described = recipe(tiny_encoder, table).model_dump()
    described["augment"] = [{"kind": "eda", "views_a_row": 1}]
    described["train"] |= {"validation": 0.3, "refit": True}
    run = nlptl.fit(nlptl.Recipe(**described), out=tmp_path)
    [told] = run.results["cost"]["refit"]
    [augmented] = run.results["chosen"][0]["augmented"]
    assert told["rows"] > told["held back before"] + augmented["rows added"] > told["held back before"] > 0


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("after", [7, 15])
def test_interrupted_and_resumed_is_as_if_nothing_had_happened(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """While it guesses (a checkpoint every two steps), and once the labels have begun."""
    made, log = recipe(tiny_encoder, table, when="both"), RunFolder.log
    whole = nlptl.fit(made, out=tmp_path / "whole")
    count = 0

    def breaks(folder: RunFolder, entry: Any) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise Interrupted
        log(folder, entry)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(RunFolder, "log", breaks)
        nlptl.fit(made, out=tmp_path / "broken")
    again = nlptl.fit(made, out=tmp_path / "broken", resume=True)
    assert entries(tmp_path / "broken") == entries(tmp_path / "whole")
    assert again.results["domains"] == whole.results["domains"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tune": {"kind": "frozen"}}, "tapt teaches the encoder, and tune.kind: frozen lets nothing learn"),
        ({"tune": {"kind": "auto"}}, "tapt comes before tune.kind: auto chooses what learns"),
        ({"tune": {"kind": "lora", "layers": "auto"}}, "tapt comes before tune.layers: auto chooses what learns"),
    ],
)
def test_a_body_that_cannot_learn_by_guessing_is_refused(
    tiny_encoder: Path, table: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(nlptl.RecipeError) as caught:
        recipe(tiny_encoder, table, **change)
    assert said in str(caught.value)
