from pathlib import Path

import numpy as np
import pytest
import torch

from nlptl.encoder.backbone import Backbone
from nlptl.encoder.word_vectors import word_vectors
from nlptl.recipe import Encoder


@pytest.mark.parametrize("reading", ["last", "layers"])
def test_a_words_vector_is_the_mean_of_its_sub_tokens(tiny_encoder: Path, reading: str) -> None:
    backbone = Backbone.load(Encoder(model=str(tiny_encoder), max_length=12, long="chunks"))
    texts = ["water, good oil; Good qat", "the report", "is it a of to and in you that he good", "good"]
    asked = {"good": np.array([0, 2, 3]), "qat": np.array([0]), "absent": np.array([1])}
    found = word_vectors(backbone, texts, asked, reading=reading)
    assert set(found) == {"good", "qat"}
    assert found["good"][0].tolist() == [0, 3]  # in text 2 it lies beyond the twelve tokens

    ids = backbone.tokenizer(texts[0], return_tensors="pt")
    with torch.inference_mode():
        output = backbone.body(**ids, output_hidden_states=True)
    states = output.last_hidden_state[0] if reading == "last" else torch.stack(output.hidden_states).mean(0)[0]
    tokens = backbone.tokenizer.convert_ids_to_tokens(ids["input_ids"][0])
    good = [place for place, token in enumerate(tokens) if token == "good"]
    assert len(good) == 2 and tokens[-4:-1] == ["q", "##a", "##t"]
    assert found["good"][1][0] == pytest.approx(states[good].mean(0).numpy(), abs=1e-5)
    assert found["qat"][1][0] == pytest.approx(states[-4:-1].mean(0).numpy(), abs=1e-5)


def test_a_prompt_is_no_part_of_the_text(tiny_encoder: Path) -> None:
    backbone = Backbone.load(Encoder(model=str(tiny_encoder), max_length=16, prompt="good: "))
    [(rows, vectors)] = word_vectors(backbone, ["a good book"], {"good": np.array([0])}, reading="last").values()
    ids = backbone.tokenizer("good: a good book", return_tensors="pt")
    with torch.inference_mode():
        states = backbone.body(**ids).last_hidden_state[0]
    assert rows.tolist() == [0] and vectors[0] == pytest.approx(states[4].numpy(), abs=1e-5)
