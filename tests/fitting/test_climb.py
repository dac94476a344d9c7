"""What is chosen on the way: how many layers learn, which rung is kept, a learned mix of layers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail
from sections import laid
from tiny_bodies import tiny_body

import nlptl
from nlptl.fitting import augment, climb
from nlptl.fitting.climb import once_a_text, wins
from nlptl.fitting.layers import top_layers, with_layers


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path)},
        "encoder": {"model": str(model), "max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label", "positive": "spam"}},
        "train": {"max_steps": 4, "batch_tokens": 256},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**laid(settings, sections))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail(people=("ann", "bob")).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("losses", "layers"),
    [
        ((0.1, 0.9, 0.5, 0.4, 0.6), 2),  # the third of four is best: it and what is above it learn
        ((0.9, 0.9, 0.41, 0.4, 0.4), 3),  # the second is as good as the best
        ((0.9, 0.8, 0.7, 0.6, 0.5), 1),
        ((0.9, 0.5, 0.7, 0.8, 0.9), 4),
    ],
)
def test_layers_from_the_lowest_good_one_up_learn(losses: tuple[float, ...], layers: int) -> None:
    assert top_layers(losses) == layers


def test_a_win_is_more_than_a_standard_error() -> None:
    cheap = np.array([1.0, 1.0, 1.0, 1.0])
    assert wins(np.array([0.5, 0.4, 0.6, 0.5]), cheap)
    assert not wins(np.array([0.1, 1.9, 0.1, 1.8]), cheap)
    assert not wins(cheap, cheap)


@pytest.mark.parametrize("kind", ["top_layers", "lora"])
def test_the_number_of_layers_is_chosen_and_told(tiny_encoder: Path, table: Path, tmp_path: Path, kind: str) -> None:
    run = nlptl.fit(recipe(tiny_encoder, table, tune={"kind": kind, "layers": "auto"}), out=tmp_path)
    [chosen] = run.results["chosen"]
    assert len(chosen["loss by layer"]) == 3
    assert chosen["top layers"] == top_layers(chosen["loss by layer"])
    assert run.results["recipe"]["tune"]["layers"] == "auto"


def test_layers_that_share_their_weights_are_not_chosen_among() -> None:
    """Before any of them is solved: neither turn nor heads are looked at."""
    encoder = SimpleNamespace(body=tiny_body("albert"), located=SimpleNamespace(name="albert"))
    setting: Any = SimpleNamespace(recipe=SimpleNamespace(tune=nlptl.tune.Lora(layers="auto")), backbone=encoder)
    nothing: Any = None
    with pytest.raises(nlptl.ModelError, match=r"tune.layers: auto .* all those of albert share their weights"):
        with_layers(setting, nothing, nothing)


def test_a_learned_mix_starts_from_the_mean_of_layers_and_is_saved(
    tiny_encoder: Path, table: Path, tmp_path: Path
) -> None:
    run = nlptl.fit(recipe(tiny_encoder, table, encoder={"pool": "mix"}), out=tmp_path / "mix")
    texts = ["you can win a free cash prize", "the report for monday", "x"]
    again = nlptl.load(tmp_path / "mix")
    pd.testing.assert_frame_equal(again.predict(texts), run.predict(texts), atol=1e-6)
    scores = again.network.heads["spam"].net[0].scores
    assert len(scores) == 3 and scores.abs().max() > 0
    still = recipe(tiny_encoder, table, encoder={"pool": "mix"}, train={"lr": 1e-12})
    mean = recipe(tiny_encoder, table, encoder={"pool": "layers"})
    both = [nlptl.fit(one, out=tmp_path / "one").predict(texts)["spam.spam"] for one in (still, mean)]
    np.testing.assert_allclose(*both, atol=1e-5)


def test_the_climb_ends_where_nothing_is_won(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, table, tune={"kind": "auto"}, train={"validation": 0.3, "lr": 1e-9})
    run = nlptl.fit(made, out=tmp_path)
    climbed = run.results["chosen"][0]["climbed"]
    assert [(rung["rung"], rung["won"]) for rung in climbed] == [("frozen", True), ("lora", False)]
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"solved"}


@pytest.mark.parametrize(
    ("changes", "head", "shipped"),
    [
        ({"adapt": [{"kind": "coral"}]}, {"kind": "linear"}, "solved"),
        ({"augment": [{"kind": "cutoff"}]}, {"kind": "mlp", "hidden": [4]}, "mlp"),
    ],
    ids=["coral", "cutoff"],
)
def test_the_frozen_rung_goes_without_what_only_a_body_that_learns_can_take(
    tiny_encoder: Path, table: Path, tmp_path: Path, changes: dict[str, Any], head: dict[str, Any], shipped: str
) -> None:
    made = recipe(
        tiny_encoder, table, data={"domain": "user"}, tune={"kind": "auto"},
        transfer={"source": ["ann"], "target": ["bob"], "target_labels": 0, "hold_out": 0.5},
        train={"validation": 0.3, "lr": 1e-9, "max_steps": 2},
    ).model_dump()  # fmt: skip
    run = nlptl.fit(nlptl.Recipe(**made | changes | {"heads": {"spam": head | {"column": "label"}}}), out=tmp_path)
    assert [rung["rung"] for rung in run.results["chosen"][0]["climbed"]] == ["frozen", "lora"]
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {shipped}


def test_a_rung_that_wins_is_shipped(tiny_encoder: Path, tmp_path: Path) -> None:
    """Spam where both or neither of two words stand in a mail: no linear head over this body tells that well."""
    rows = mail(120, ("ann",))
    words = rows.text.str.split()
    rows["label"] = np.where([("water" in each) == ("time" in each) for each in words], "spam", "ham")
    rows.to_parquet(tmp_path / "mail.parquet")
    settings = {"validation": 0.3, "epochs": 30, "max_steps": 150, "batch_tokens": 1024, "lr": 2e-2}
    tune = {"kind": "auto", "rungs": ["lora"]}
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", tune=tune, train=settings), out=tmp_path / "run")
    frozen, lora = run.results["chosen"][0]["climbed"]
    assert lora["won"] and lora["validation loss"] < frozen["validation loss"]
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"lora"}


def test_choosing_without_rows_to_choose_by_is_refused(tiny_encoder: Path, table: Path) -> None:
    with pytest.raises(nlptl.RecipeError, match=r"tune.kind: auto chooses on teaching rows held back"):
        recipe(tiny_encoder, table, tune={"kind": "auto"})


def test_copies_of_one_text_are_one_piece_of_evidence() -> None:
    losses = once_a_text(np.array([1.0, 3.0, 5.0, 7.0]), np.array([4, 9, 4, 9]))
    assert losses.tolist() == [3.0, 5.0]
    template = np.repeat([0, 1, 2], [30, 1, 1])
    dear, cheap = np.repeat([0.5, 1.2, 0.9], [30, 1, 1]), np.ones(32)
    assert wins(dear, cheap) and not wins(once_a_text(dear, template), once_a_text(cheap, template))


@pytest.mark.parametrize(
    ("sections", "module", "texts"),
    [
        ({"tune": {"kind": "auto", "rungs": ["lora"]}, "train": {"validation": 0.3, "max_steps": 1}}, climb, 12),
        ({"augment": [{"kind": "eda"}]}, augment, 40),
    ],
    ids=["rungs", "augmentation"],
)
def test_distinct_texts_choose(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any], module: Any,
    texts: int,
) -> None:  # fmt: skip
    """Each of forty mails is there twice, but for its case; of eighty rows 24 are held back."""
    asked: list[int] = []
    monkeypatch.setattr(module, "wins", lambda dear, cheap: bool(asked.append(len(dear))))
    rows = mail(people=("ann",)).assign(split="train")
    scored = mail(people=("ann",), seed=1).assign(split="test")
    pd.concat([rows, rows.assign(text=rows.text.str.upper()), scored]).to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", data={"split": "split"}, **sections)
    nlptl.fit(made, out=tmp_path / "run")
    assert asked == [texts]
