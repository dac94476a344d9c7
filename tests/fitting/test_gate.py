"""Each target gets the rung that its evidence supports: on made vectors with a known truth, and through a whole run."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.contracts import Task
from nlptl.evaluate.gate import Evidence, choose
from nlptl.fitting.evidence import _Cast
from nlptl.fitting.gate_trained import rehearse
from nlptl.fitting.rungs import RUNGS, Situation, Table, right, solve_rungs
from nlptl.heads import Linear
from nlptl.heads._solved import solve_head

TASK = Task("spam", Linear(), ("ham", "spam"))
ROWS = 160


def world(kind: str, domains: int = 6, seed: int = 0) -> tuple[Table, Any, list[Situation]]:
    """Domains of Gaussian vectors that differ as ``kind`` says; each plays a target that shows 40 labels, lends 40."""
    rng = np.random.default_rng(seed)
    vectors, encoded = [], []
    direction = np.eye(6)[0]
    for domain in range(domains):
        share = (0.1, 0.9)[domain % 2] if kind == "label shift" else 0.5
        labels = (rng.random(ROWS) < share).astype(np.int64)
        x = rng.normal(size=(ROWS, 6)) + np.where(labels, 0.9, -0.9)[:, None] * direction
        if kind == "concepts of their own":
            own = 2.5 * np.eye(6)[1 + domain % 5] * (1, -1)[domain // 5]
            labels = (x @ (direction + own) > 0).astype(np.int64)
        vectors.append(x)
        encoded.append(labels)
    x, y = np.concatenate(vectors), np.concatenate(encoded)
    rows = np.arange(domains * ROWS).reshape(domains, ROWS)
    folds = [(np.delete(np.arange(len(y)), held), held) for held in rows]
    like = solve_head(TASK, {"last": x}, y, folds)
    table = Table(TASK, x, None, y, np.arange(len(y)), temperature=1.0)
    situations = [
        Situation(np.delete(rows, place, axis=0).ravel(), own[:40], own[40:80], own[80:])
        for place, own in enumerate(rows)
    ]
    return table, like, situations


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [
        ("nothing", {"solved"}),
        ("label shift", {"label_shift"}),
        ("concepts of their own", {"per_domain", "target_only"}),
    ],
)
def test_the_rung_that_corrects_the_made_shift_is_chosen(kind: str, fitting: set[str]) -> None:
    table, like, situations = world(kind)
    climbed = solve_rungs(table, like, situations, seed=0)
    assert all(set(rungs) == set(RUNGS) for rungs in climbed)
    answered = {
        name: np.concatenate([right(table, rungs[name], each) for rungs, each in zip(climbed, situations, strict=True)])
        for name in RUNGS
    }
    rows = np.concatenate([each.scored for each in situations])
    evidence = Evidence(answered, (rows // ROWS).astype(object), rows)
    assert choose(RUNGS, {"target": evidence})["target"].shipped in fitting


def test_labels_that_must_not_be_seen_change_nothing() -> None:
    table, like, situations = world("label shift")
    [before] = solve_rungs(table, like, situations[:1], seed=0)
    hidden = table.encoded.copy()
    hidden[np.r_[situations[0].unlabelled, situations[0].scored]] = -1
    [after] = solve_rungs(dataclasses.replace(table, encoded=hidden), like, situations[:1], seed=0)
    for name in RUNGS:
        np.testing.assert_array_equal(before[name].weights, after[name].weights)


def recipe(model: Path, path: Path, **transfer: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        name="gate",
        data={"kind": "parquet", "path": str(path), "domain": "user"},
        transfer={"choose": "auto", "hold_out": 0.5, **transfer},
        encoder={"model": str(model), "max_length": 24, "lexical": "tfidf"},
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        evaluate={"bootstrap": 100},
    )


def test_no_copy_of_a_label_that_scores_teaches_its_own_trial() -> None:
    """Each of the target's ten labelled rows is there in the source too, and is to be predicted without it."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 20)
    table = Table(TASK, rng.normal(size=(40, 3)), None, labels, np.r_[np.arange(10), np.arange(30)], temperature=1.0)
    domains = np.repeat(["ann", "bob"], [30, 10]).astype(object)[::-1]  # bob's first
    turn: Any = SimpleNamespace(targets=("bob",))
    every = np.ones(40, dtype=bool)
    ids = np.arange(40).astype(object)
    cast = _Cast(table, np.arange(40), ids, domains, every, domains == "bob", ~every, turn, every)
    trials = cast.by_own_labels("bob", seed=0)
    assert sorted(np.concatenate([trial.scored for trial in trials])) == list(range(10))
    for trial in trials:
        seen = np.r_[trial.teach, trial.shown, trial.unlabelled]
        assert not np.isin(table.groups[seen], table.groups[trial.scored]).any()
        assert len(trial.teach) == 30 - len(trial.scored)


@pytest.mark.parametrize(
    "transfer",
    [
        {"protocol": "leave_one_out", "target_labels": 2},
        {"target": ["cy", "dee"], "target_labels": 0},
        {"target": ["cy", "dee"], "target_labels": "all"},
        {"target_labels": "all"},
    ],
    ids=["each in turn", "no labels", "all labels", "no mere source"],
)
def test_a_run_says_what_each_target_got_and_why(tiny_encoder: Path, tmp_path: Path, transfer: dict[str, Any]) -> None:
    mail().to_parquet(tmp_path / "mail.parquet")
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", **transfer), out=tmp_path / "run")
    spam, gate = run.results["tasks"]["spam"], run.results["gate"]
    targets = transfer.get("target", ["ann", "bob", "cy", "dee"])
    assert [row["domain"] for row in gate] == targets
    for row in gate:
        assert spam["domains"][row["domain"]]["shipped"] == row["shipped"] in RUNGS
        assert [trial["candidate"] for trial in row["trials"]] == [name for name in RUNGS[1:] if name in spam["rungs"]]
        distinct = 50 if transfer == {"target_labels": "all"} else 60  # there a target's rows rehearse others' part too
        assert all(distinct <= trial["rows"] <= 120 for trial in row["trials"])
        shipped = spam["rungs"][row["shipped"]]["domains"][row["domain"]]["metrics"]
        assert spam["domains"][row["domain"]]["metrics"] == shipped
    has_labels = transfer["target_labels"] != 0
    assert set(spam["rungs"]) == ({*RUNGS} if has_labels else {"solved", "label_shift"})

    served = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    texts = pd.read_parquet(tmp_path / "mail.parquet")
    assert len(served) == 20 * len(targets)
    for target in targets:
        answers = run.predict(list(texts["text"][:4]), domain=target)
        np.testing.assert_allclose(answers["spam.ham"] + answers["spam.spam"], 1)


LORA = {"tune": {"kind": "lora"}, "train": {"epochs": 2, "lr": 0.03, "batch_rows": 16}}
APART = {**LORA, "tune": {"kind": "lora", "per": "domain"}}
FULL = {"tune": {"kind": "full", "lr": 1e-3}, "train": {"epochs": 1, "batch_rows": 16}}
CONTRASTIVE = {"tune": {"kind": "contrastive", "body": "lora", "steps": 2}}
WORDS = {"encoder": {"lexical": "tfidf"}}


def sections(made: nlptl.Recipe, changed: dict[str, Any]) -> nlptl.Recipe:
    """``made`` over vectors alone, with other sections."""
    encoder = {**made.encoder.model_dump(), "lexical": None, **changed.get("encoder", {})}
    return nlptl.Recipe(**{**made.model_dump(), **changed, "encoder": encoder})


@pytest.mark.parametrize(
    ("changed", "labels", "candidate"),
    [
        (LORA, 0, "lora"),
        ({**LORA, **WORDS}, 4, "lora"),
        (APART, 4, "domain_lora"),
        (FULL, 0, "full"),
        (CONTRASTIVE, 4, "contrastive"),
    ],
    ids=["lora, no labels", "lora, words", "apart", "full", "contrastive"],
)
def test_what_is_trained_is_rehearsed_beside_the_solved_rungs(
    tiny_encoder: Path, tmp_path: Path, changed: dict[str, Any], labels: int, candidate: str
) -> None:
    """Each of three sources plays the target, and no fold of the target's own labels is trained for."""
    mail().to_parquet(tmp_path / "mail.parquet")
    made = sections(recipe(tiny_encoder, tmp_path / "mail.parquet", target=["dee"], target_labels=labels), changed)
    run = nlptl.fit(made, out=tmp_path / "run")
    [row] = run.results["gate"]
    tried = {trial["candidate"]: trial for trial in row["trials"]}
    solved = ("label_shift", "target_only", "per_domain") if labels else ("label_shift",)
    assert tuple(tried) == (*solved, candidate)
    assert tried[candidate]["rows"] == 3 * (40 - 2 * labels) == tried["label_shift"]["rows"] - 2 * labels
    assert tried[candidate]["own_candidate"] == tried[candidate]["own_incumbent"] == 0
    again = nlptl.fit(made, out=tmp_path / "run", resume=True)
    assert again.results["gate"] == run.results["gate"]


def test_nothing_is_trained_in_earnest_that_serves_nobody(tiny_encoder: Path, tmp_path: Path) -> None:
    mail().to_parquet(tmp_path / "mail.parquet")
    still = {"tune": {"kind": "lora"}, "train": {"epochs": 1, "lr": 1e-9, "batch_rows": 16}}
    run = nlptl.fit(
        sections(recipe(tiny_encoder, tmp_path / "mail.parquet", target=["dee"], target_labels=0), still),
        out=tmp_path / "run",
    )
    assert run.results["domains"]["dee"]["shipped"] in RUNGS
    trained = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert len(trained) == 3 and all("rehearsed" in name for name in trained)


def test_many_sources_are_held_out_a_third_at_a_time(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven sources in two lanes of three: no domain of a lane teaches it, and rows of the third group are evidence of
    the solved rungs alone."""
    people = ("ann", "bob", "cy", "dee", "eve", "fay", "gus", "hal")
    mail(people=people).to_parquet(tmp_path / "mail.parquet")
    seen: dict[str, Any] = {}

    def wrong(setting: Any, turn: Any, groups: Any, task: str, seed: int, lanes: Any) -> Any:
        seen.update(lanes=lanes, domains=setting.corpus.domains)
        return {name: np.eye(2)[1 - setting.corpus.encoded[task][lane.scored]] for name, lane in lanes.items()}

    monkeypatch.setattr("nlptl.fitting.gate_trained.rehearse", wrong)
    transfer = {"target": ["dee"], "target_labels": 0, "rehearsals": 2}
    run = nlptl.fit(sections(recipe(tiny_encoder, tmp_path / "mail.parquet", **transfer), LORA), out=tmp_path / "run")
    held = [set(seen["domains"][lane.scored]) for lane in seen["lanes"].values()]
    assert sorted(map(len, held)) == [2, 3] and not held[0] & held[1]
    for lane, out in zip(seen["lanes"].values(), held, strict=True):
        assert set(seen["domains"][lane.teach]) == set(people) - {"dee"} - out
    trial = run.results["gate"][0]["trials"][-1]
    assert trial["rows"] == 5 * 40 and trial["only_candidate"] < trial["only_incumbent"] <= 5 * 40


def test_who_rehearses_is_taught_by_the_others_alone(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source in turn is answered by an adapter that none of its rows taught, and well: it is easy."""
    mail().to_parquet(tmp_path / "mail.parquet")
    seen: dict[str, Any] = {}

    def watched(setting: Any, turn: Any, groups: Any, task: str, seed: int, lanes: Any) -> Any:
        seen.update(lanes=lanes, answers=rehearse(setting, turn, groups, task, seed, lanes), corpus=setting.corpus)
        return seen["answers"]

    monkeypatch.setattr("nlptl.fitting.gate_trained.rehearse", watched)
    made = sections(recipe(tiny_encoder, tmp_path / "mail.parquet", target=["dee"], target_labels=0), LORA)
    nlptl.fit(made, out=tmp_path / "run")
    assert set(seen["lanes"]) == {"ann", "bob", "cy"}
    for name, lane in seen["lanes"].items():
        domains = seen["corpus"].domains
        assert set(domains[lane.teach]) == {"ann", "bob", "cy"} - {name} and not len(lane.shown)
        assert set(domains[lane.scored]) == {name} and len(lane.scored) == 40
        right = seen["answers"][name].argmax(1) == seen["corpus"].encoded["spam"][lane.scored]
        assert right.mean() > 0.7


def test_a_trained_winner_is_shipped_as_it_was_trained(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rehearsals that are all right, and solved ones that are not, LoRA is trained and serves the target, as it
    does where nothing is chosen."""
    rows = mail()
    rows["text"] = rows["text"].sample(frac=1, random_state=0).to_numpy()  # texts tell nothing: solved heads err
    rows.to_parquet(tmp_path / "mail.parquet")

    def perfect(setting: Any, turn: Any, groups: Any, task: str, seed: int, lanes: Any) -> Any:
        return {name: np.eye(2)[setting.corpus.encoded[task][lane.scored]] for name, lane in lanes.items()}

    monkeypatch.setattr("nlptl.fitting.gate_trained.rehearse", perfect)
    made = sections(recipe(tiny_encoder, tmp_path / "mail.parquet", target=["dee"], target_labels=0), LORA)
    run = nlptl.fit(made, out=tmp_path / "run")
    assert run.results["domains"]["dee"]["shipped"] == "lora"
    assert (tmp_path / "run" / "model" / "dee" / "adapter").is_dir()
    served = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    model, lora, solved = (np.stack(list(served[name])) for name in ("model", "lora", "solved"))
    np.testing.assert_array_equal(model, lora)
    assert np.abs(model - solved).max() > 1e-6
    alone = made.model_copy(update={"transfer": made.transfer.model_copy(update={"choose": None})})
    nlptl.fit(alone, out=tmp_path / "alone")
    unchosen = np.stack(list(pd.read_parquet(tmp_path / "alone" / "predictions.parquet")["model"]))
    np.testing.assert_allclose(model, unchosen, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tune": {"kind": "auto"}, "train": {"validation": 0.2}}, "with one kind of training, and tune.kind is auto"),
        ({**LORA, "adapt": [{"kind": "mcc"}]}, "solved or trained without adapt: mcc"),
        ({**LORA, "encoder": {"pool": "mix"}}, "auto compares solved heads, and pool: mix has none"),
        ({**APART, "encoder": {"lexical": "tfidf"}}, "auto rehearses domains' own LoRA over vectors alone"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(
    tiny_encoder: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(nlptl.RecipeError) as caught:
        sections(recipe(tiny_encoder, tmp_path / "mail.parquet", target=["dee"], target_labels=0), changed)
    assert said in str(caught.value)


@pytest.mark.parametrize("changed", [{}, LORA], ids=["solved", "lora"])
def test_the_labels_of_scored_rows_choose_nothing(tiny_encoder: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    table = mail(people=("ann", "bob", "cy"))
    table["id"] = [f"row {place}" for place in range(len(table))]
    settings = {"target": ["cy"], "target_labels": 0}
    runs = []
    for name in ("true", "turned"):
        table.to_parquet(tmp_path / f"{name}.parquet")
        made = recipe(tiny_encoder, tmp_path / f"{name}.parquet", **settings)
        made = sections(made, changed) if changed else made
        made = made.model_copy(update={"data": made.data.model_copy(update={"id": "id"})})
        runs.append(nlptl.fit(made, out=tmp_path / name))
        table.loc[table["user"] == "cy", "label"] = "spam"
    assert runs[0].results["gate"] == runs[1].results["gate"]
    true, turned = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("true", "turned"))
    pd.testing.assert_frame_equal(true.drop(columns="labels"), turned.drop(columns="labels"))
    assert runs[0].results["overall"] != runs[1].results["overall"]
