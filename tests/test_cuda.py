"""On a CUDA card: whatever trains there answers there, and the saved model answers the same on the processor."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_mail import mail

import nlptl

on_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA card")

ADAPTED = ("cdan", "coral", "dann", "entropy", "mcc", "mmd", "self_training")
WAYS: dict[str, dict[str, Any]] = {
    "solved": {"encoder": {"lexical": "tfidf"}},
    "mlp": {"head": {"kind": "mlp", "hidden": [8], "batch_norm": True}},
    "lora": {"tune": {"kind": "lora", "rank": 2}, "encoder": {"lexical": "tfidf"}},
    "top layers, reused below": {"tune": {"kind": "top_layers", "layers": 1}, "train": {"epochs": 2}},
    "mix": {"tune": {"kind": "lora", "rank": 2}, "encoder": {"pool": "mix"}},
    "an adapter a domain": {"tune": {"kind": "lora", "rank": 2, "per": "domain"}, "transfer": {"target_labels": "all"}},
    "a head a domain": {"head": {"kind": "linear", "per": "domain"}, "transfer": {"target_labels": "all"}},
    "contrastive": {
        "tune": {"kind": "contrastive", "keep": "always", "steps": 2}, "transfer": {"target_labels": 8},
    },
    "gate": {"tune": {"kind": "lora", "rank": 2}, "transfer": {"choose": "auto", "target_labels": 4}},
    "mixup": {
        "tune": {"kind": "lora", "rank": 2}, "augment": [{"kind": "mixup"}], "train": {"validation": 0.2},
    },
    "cutoff": {
        "tune": {"kind": "lora", "rank": 2}, "augment": [{"kind": "cutoff"}], "train": {"validation": 0.2},
    },
    "refit": {"tune": {"kind": "lora", "rank": 2}, "train": {"validation": 0.2, "refit": True}},
    "strange texts": {
        "tune": {"kind": "lora", "rank": 2}, "train": {"validation": 0.2},
        "head": {"kind": "linear", "anomaly": {"score": "mahalanobis", "share": 0.2}, "calibrate": {}},
    },
    "against overfitting": {
        "tune": {"kind": "full"},
        "train": {"l2_sp": 0.1, "average": "ema", "mixout": 0.1, "r_drop": 1.0, "class_weights": "balanced"},
    },
    **{kind: {"tune": {"kind": "lora", "rank": 2}, "adapt": [{"kind": kind}]} for kind in (*ADAPTED, "tapt")},
}  # fmt: skip


FEW_STEPS = {"max_steps": 6, "batch_tokens": 512, "precision": "float32"}


def recipe_of(way: str, encoder: Path, folder: Path) -> nlptl.Recipe:
    """One of ``WAYS``, over made mail that it writes."""
    mail().to_parquet(folder / "mail.parquet")
    chosen = WAYS[way]
    return nlptl.Recipe(
        name="test",
        data={"kind": "parquet", "path": str(folder / "mail.parquet"), "domain": "user"},
        transfer={"target": "dee", "target_labels": 0, "hold_out": 0.5} | chosen.get("transfer", {}),
        encoder={"model": str(encoder), "max_length": 24, "precision": "float32"} | chosen.get("encoder", {}),
        tune=chosen.get("tune", {"kind": "frozen"}),
        heads={
            "spam": {"column": "label", "labels": ["ham", "spam"], "positive": "spam"}
            | chosen.get("head", {"kind": "linear"})
        },
        adapt=chosen.get("adapt", []),
        augment=chosen.get("augment", []),
        train=chosen.get("train", {}) if way == "contrastive" else FEW_STEPS | chosen.get("train", {}),
        evaluate={"bootstrap": 100},
    )


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_a_recipe_where_there_is_no_card_too(tiny_encoder: Path, tmp_path: Path, way: str) -> None:
    assert recipe_of(way, tiny_encoder, tmp_path).heads["spam"].labels == ("ham", "spam")


@on_a_card
@pytest.mark.parametrize("way", WAYS)
def test_what_trains_on_a_card_answers_anywhere(tiny_encoder: Path, tmp_path: Path, way: str) -> None:
    recipe = recipe_of(way, tiny_encoder, tmp_path)
    [trained] = nlptl.fit(recipe, out=tmp_path / "run").models.values()
    saved = trained.save(tmp_path / "saved")
    texts = ["you can win a free cash prize", "the report for monday", "x"]
    there, here = (nlptl.load(saved, device=device) for device in ("cuda", "cpu"))
    assert next(there.network.backbone.parameters()).device.type == "cuda"
    answers = [model.predict(texts, domain="dee") for model in (there, here)]
    pd.testing.assert_frame_equal(*answers, atol=1e-4, rtol=1e-3)
    pd.testing.assert_frame_equal(answers[0], trained.predict(texts, domain="dee"), atol=1e-4, rtol=1e-3)
    assert np.isfinite(answers[0]["spam.spam"]).all()


@on_a_card
def test_tasks_share_a_card_under_every_balance(tiny_encoder: Path, tmp_path: Path) -> None:
    mail().to_parquet(tmp_path / "mail.parquet")
    for balance in ("dwa", "equal", "famo", "gradnorm", "pcgrad", "uncertainty"):
        recipe = nlptl.Recipe(
            name="test",
            data={"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user"},
            transfer={"target": "dee", "target_labels": 0, "hold_out": 0.5},
            encoder={"model": str(tiny_encoder), "max_length": 24},
            tune={"kind": "lora", "rank": 2, "per": "task" if balance == "equal" else None},
            heads={
                "spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]},
                "topic": {"kind": "linear", "column": "topic", "labels": ["home", "shop", "work"]},
            },
            balance={"kind": balance},
            train={"max_steps": 4, "batch_tokens": 512},
            evaluate={"bootstrap": 100},
        )
        run = nlptl.fit(recipe, out=tmp_path / balance)
        assert set(run.results["tasks"]) == {"spam", "topic"}
