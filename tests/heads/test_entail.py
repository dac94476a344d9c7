"""Zero-shot by entailment, on a cross-encoder whose weights are set by hand, so that its answers are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_set_cross_encoder import logit, save_cross_encoder

import nlptl
from nlptl.encoder.cross import CrossEncoder
from nlptl.heads import Entail
from nlptl.heads._hypotheses import hypotheses, label_scores, meanings, offsets

TEXTS = [
    f"{word} this {filler}"
    for word in ("goal", "team", "bank", "price")
    for filler in ("text", "is", "on", "on .", ".")
]
TOPICS = [0] * 10 + [1] * 10
NAMES = {"sport": ["sport", "games"], "money": ["money"]}


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("cross"))


def head(cross: Path, **settings: Any) -> dict[str, Any]:
    return {"kind": "entail", "model": str(cross), "names": NAMES, "max_length": 24, **settings}


def recipe(tiny_encoder: Path, table: pd.DataFrame, head: dict[str, Any], **transfer: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        data={"kind": "frame", "table": table},
        transfer={"target_labels": 0, "hold_out": 0.5, **transfer},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"topic": head},
        evaluate={"bootstrap": 100},
    )


# --- the maths --------------------------------------------------------------------------------------------------------


def test_a_label_has_each_phrasing_in_each_template() -> None:
    found = hypotheses([["a", "b"], ["c"]], ["on {}.", "{}?"])
    assert found == [["on a.", "on b.", "a?", "b?"], ["on c.", "c?"]]


def test_scores_are_entailment_or_entailment_against_contradiction() -> None:
    logits = np.array([[[1.0, 0, 5], [3, 0, 1], [0, 0, 2]]])  # one text, three hypotheses
    assert label_scores(logits, (0, 0, 1), 2, None).tolist() == [[3, 2]]
    assert label_scores(logits, (0, 0, 1), 2, 0).tolist() == [[1, 2]]


def test_no_label_wins_by_its_wording_and_shares_are_estimated() -> None:
    scores = np.array([[2.0, 3.0], [-2.0, 7.0]] * 10)  # label 1 wins each text; label 0 is the better of half of them
    level = offsets(scores, multilabel=True)
    assert level == pytest.approx([2.5, -2.5])
    even = offsets(scores, multilabel=False)
    assert even - level == pytest.approx([np.log(0.5)] * 2)
    few = offsets(np.array([[2.0, 3.0]] * 6 + [[-2.0, 7.0]] * 2), multilabel=False)
    assert ((np.array([[2.0, 3.0]]) + few).argmax(), (np.array([[-2.0, 7.0]]) + few).argmax()) == (0, 1)


@pytest.mark.parametrize(
    ("outputs", "named", "expected"),
    [
        (("contradiction", "neutral", "entailment"), (None, None), (2, 0)),
        (("ENTAILMENT", "NEUTRAL", "CONTRADICTION"), (None, None), (0, 2)),
        (("entailment", "not_entailment"), (None, None), (0, 1)),
        (("not_entailment", "entailment"), (None, None), (1, 0)),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("LABEL_2", "LABEL_0"), (2, 0)),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("LABEL_2", None), (2, None)),
    ],
)
def test_what_an_output_means_is_read_from_its_name(
    outputs: tuple[str, ...], named: tuple[str | None, str | None], expected: tuple[int, int | None]
) -> None:
    assert meanings(outputs, *named) == expected


@pytest.mark.parametrize(
    ("outputs", "named", "said"),
    [
        (("LABEL_0", "LABEL_1"), None, "not clear from their names: LABEL_0, LABEL_1; name it in the head's setting"),
        (("entailment",), None, "not clear"),
        (("contradiction", "entailment"), "entailmnt", "no output 'entailmnt'; did you mean 'entailment'"),
    ],
)
def test_what_is_not_clear_is_said(outputs: tuple[str, ...], named: str | None, said: str) -> None:
    with pytest.raises(nlptl.ModelError, match=said):
        meanings(outputs, named, None)


# --- the cross-encoder ------------------------------------------------------------------------------------------------


def load(cross: Path, max_length: int = 24) -> CrossEncoder:
    return CrossEncoder.load(str(cross), None, max_length=max_length, precision="float32", device="cpu")


def test_the_cross_encoder_says_what_its_weights_were_set_to(cross: Path) -> None:
    said = load(cross).logits(["the team", "price on bank", "goal at the bank", "nothing"], ["on sport", "on finance."])
    for found, topics in zip(said, ((0,), (1,), (0, 1), ()), strict=True):
        for asked in (0, 1):
            entailment, contradiction = logit(topics, asked)
            assert found[asked, [2, 0]] == pytest.approx([entailment, contradiction], abs=0.02)


def test_only_the_text_is_cut(cross: Path) -> None:
    long = "this " * 40 + "goal"
    early, late = load(cross, 16).logits(["goal " + long, long], ["this text is about sport ."])[:, 0, 2]
    assert (early, late) == pytest.approx((logit((0,), 0)[0], logit((), 0)[0]), abs=0.02)
    with pytest.raises(nlptl.ModelError, match="leaves no room for a text"):
        load(cross, 8).logits(["goal"], ["this text is about sport ."])


def test_a_text_is_read_alike_whatever_is_beside_it(cross: Path) -> None:
    reader = load(cross)
    together = reader.logits([*TEXTS, "this " * 30], ["on sport", "on money"])
    for place, text in enumerate(TEXTS):
        np.testing.assert_array_equal(reader.logits([text], ["on sport", "on money"])[0], together[place])


def test_what_is_no_cross_encoder_is_told(tiny_encoder: Path) -> None:
    with pytest.raises(nlptl.ModelError, match="lacks weights of a sequence classifier"):
        load(tiny_encoder)
    with pytest.raises(nlptl.ModelError, match="no folder"):
        load(tiny_encoder / "absent")


# --- the run ----------------------------------------------------------------------------------------------------------


def test_names_and_texts_alone_make_a_model_that_is_saved_and_found_again(
    tiny_encoder: Path, cross: Path, tmp_path: Path
) -> None:
    run = nlptl.fit(recipe(tiny_encoder, pd.DataFrame({"text": TEXTS}), head(cross)), out=tmp_path / "run")
    answers = run.predict(TEXTS)
    assert list(answers["topic"]) == ["sport"] * 10 + ["money"] * 10  # uncalibrated, all would be money
    loaded = nlptl.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(TEXTS), answers, atol=1e-5)
    described = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert described["tasks"]["topic"]["texts"]["precision"] in ("float32", "bfloat16")
    saved = [path for path in (tmp_path / "run" / "model").rglob("*.safetensors") if path.stat().st_size > 2000]
    assert saved == []  # the cross-encoder is named, not copied


def test_another_cross_encoder_in_its_place_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    from hand_set_cross_encoder import NLI

    place = save_cross_encoder(tmp_path / "cross")
    nlptl.fit(recipe(tiny_encoder, pd.DataFrame({"text": TEXTS}), head(place)), out=tmp_path / "run")
    save_cross_encoder(place, tuple(reversed(NLI)))
    with pytest.raises(nlptl.ModelError, match="another than the one it was made with"):
        nlptl.load(tmp_path / "run")


def test_labels_in_scored_rows_only_are_scored_by(tiny_encoder: Path, cross: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({
        "text": [f"{text} {place}" for place, text in enumerate([*TEXTS, *TEXTS])],
        "topic": [None] * 20 + [("sport", "money")[topic] for topic in TOPICS],
        "split": ["train"] * 20 + ["test"] * 20,
    })  # fmt: skip
    made = recipe(tiny_encoder, table, head(cross), hold_out=None)
    made = made.model_copy(update={"data": made.data.model_copy(update={"split": "split"})})
    run = nlptl.fit(made, out=tmp_path / "run")
    assert run.results["overall"]["accuracy"] == 1.0
    assert set(run.results["baselines"]) == {"cosine"}
    assert run.results["chosen"][0]["calibrated on"] == 20
    assert run.results["tasks"]["topic"]["domains"]["all"]["shipped"] == "entail"


def test_it_answers_the_same_beside_a_head_that_is_trained(tiny_encoder: Path, cross: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({
        "text": [f"{text} {place}" for place, text in enumerate([*TEXTS, *TEXTS])],
        "topic": [("sport", "money")[topic] for topic in TOPICS * 2],
        "long": ["yes" if place % 5 < 2 else "no" for place in range(40)],
    })  # fmt: skip
    made = nlptl.Recipe(
        data={"kind": "frame", "table": table},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"topic": head(cross), "long": {"kind": "mlp", "hidden": [4]}},
        train={"max_steps": 2},
        evaluate={"bootstrap": 100},
    )
    run = nlptl.fit(made, out=tmp_path / "run")
    answers = pd.read_parquet(run.folder / "predictions.parquet").query("task == 'topic'")
    np.testing.assert_allclose(np.stack(answers["model"]), np.stack(answers["solved"]), atol=1e-6)
    pd.testing.assert_frame_equal(nlptl.load(run.folder).predict(TEXTS), run.predict(TEXTS), atol=1e-5)


def test_labels_among_several_are_each_set_against_contradiction(
    tiny_encoder: Path, cross: Path, tmp_path: Path
) -> None:
    table = pd.DataFrame({"text": ["goal on bank", "team", "price this", "text"] * 4,
                          "topic": ["sport,money", "sport", "money", ""] * 4})  # fmt: skip
    several = head(cross, multilabel=True, contradiction="contradiction")
    run = nlptl.fit(recipe(tiny_encoder, table, several, leaks="keep"), out=tmp_path / "run")
    found = list(map(set, run.predict(["goal on bank", "team", "price this"])["topic"]))
    assert found == [{"sport", "money"}, {"sport"}, {"money"}]
    assert nlptl.load(tmp_path / "run").predict(["team"])["topic"][0] == run.predict(["team"])["topic"][0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"heads": {"templates": ["about"]}}, "must hold {} once"),
        ({"tune": {"kind": "full"}}, "entail answers from"),
        ({"data": {"text_pair": "other"}}, "sets one text beside each hypothesis"),
    ],
)
def test_what_cannot_be_asked_is_said(tiny_encoder: Path, cross: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(nlptl.RecipeError, match=said):
        nlptl.Recipe(
            data={"kind": "csv", "path": "mail.csv", **changed.get("data", {})},
            tune=changed.get("tune", {"kind": "frozen"}),
            heads={"topic": head(cross, **changed.get("heads", {}))},
        )


def test_it_cannot_be_exported(tiny_encoder: Path, cross: Path, tmp_path: Path) -> None:
    run = nlptl.fit(recipe(tiny_encoder, pd.DataFrame({"text": TEXTS}), head(cross)), out=tmp_path / "run")
    with pytest.raises(nlptl.ModelError, match="which no export holds"):
        run.model("all").export(tmp_path / "onnx")


def test_the_settings_are_whole_without_a_model() -> None:
    assert Entail(model="x", names=NAMES).labels == ("sport", "money")
