"""What a merged model keeps beside its answers: which texts taught it, and the runs that it goes on from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from made_model import made

import nlptl
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder
from nlptl.saved import Model
from nlptl.saved.taken import load_backbone
from nlptl.transfer.taught import hashes, load_taught
from nlptl.tune import Full, Lora

TEXTS = ["win a cash prize", "the meeting is on monday", "gas"]


def test_it_says_which_texts_taught_it(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder, Lora(rank=2))
    model.taught = hashes(TEXTS, None)
    model.export(tmp_path / "merged", to="merged")
    np.testing.assert_array_equal(load_taught(tmp_path / "merged"), np.unique(model.taught))


def test_it_says_which_runs_it_goes_on_from(tiny_encoder: Path, tmp_path: Path) -> None:
    made(tiny_encoder, Full()).save(tmp_path / "first")
    backbone = load_backbone(Encoder(model=str(tmp_path / "first"), max_length=24))
    head = TaskHead.fresh(made(tiny_encoder).tasks["spam"], "last", backbone.width)
    model = Model(Network(backbone.freeze("float32"), {"spam": head}), None, {"text": "text"})
    model.export(tmp_path / "merged", to="merged")
    described = json.loads((tmp_path / "merged" / "model.json").read_text())
    assert [parent["path"] for parent in described["parents"]] == [str(tmp_path / "first")]
    pd.testing.assert_frame_equal(nlptl.load(tmp_path / "merged").predict(TEXTS), model.predict(TEXTS), atol=1e-5)
