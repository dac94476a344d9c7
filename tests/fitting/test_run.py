"""From recipe to run, on a tiny encoder and made mail: what a run leaves, what it never does, and that it resumes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from accelerate.utils import DistributedType
from made_mail import mail
from sections import laid

import nlptl
from nlptl.contracts import Quarantine
from nlptl.fitting import _plan
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.folder import RunFolder, differing
from nlptl.fitting.launch import asked_processes, launched
from nlptl.fitting.train import split_off
from nlptl.transfer.plan import Turn
from nlptl.transfer.rows import read_apart

RUN_FOLDER = {
    "recipe.yaml", "lock.json", "results.json", "report.html", "rejected.jsonl", "predictions.parquet", "model",
}  # fmt: skip


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    """Four people's mail, the last of them unseen."""
    settings: dict[str, Any] = {
        "name": "test",
        "data": {"kind": "parquet", "path": str(path), "domain": "user", "time": "date"},
        "transfer": {"target": "dee", "target_labels": 0, "hold_out": 0.5},
        "encoder": {"model": str(model), "max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**laid(settings, sections))


def test_every_process_looks_before_the_first_one_clears_the_folder(tmp_path: Path) -> None:
    """What an earlier run left is cleared while the others wait, who would else find files and no run."""
    made = nlptl.Recipe(data={"kind": "csv", "path": "x.csv"}, heads={"spam": {"kind": "linear"}})
    first, other = (RunFolder(tmp_path / "run", main=main) for main in (True, False))
    first.begin(made, resume=False, wait=lambda: None)
    (tmp_path / "run" / "results.json").write_text("{}")
    seen: list[list[str]] = []

    def waits() -> None:
        seen.append(sorted(path.name for path in (tmp_path / "run").iterdir()))
        other.look(made, resume=False)

    first.look(made, resume=False)
    first.begin(made, resume=False, wait=waits)
    assert seen == [["recipe.yaml", "results.json"]]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    "wrong",
    [{"data": {"path": "absent.parquet"}}, {"encoder": {"model": "./absent"}}, {"transfer": {"target": ["nobody"]}}],
)
def test_a_run_that_cannot_begin_leaves_the_earlier_one_as_it_is(
    tiny_encoder: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    mail(20, ("ann", "bob", "dee")).to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", tune={"kind": "frozen"})
    nlptl.fit(made, out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert any(path.name == "heads.safetensors" for path in before)
    with pytest.raises(nlptl.NlptlError):
        nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", **{"tune": {"kind": "frozen"}} | wrong),
                  out=tmp_path / "run")  # fmt: skip
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("tune", "taught", "counted"), [("lora", 79, 1), ("frozen", 80, 0)])
def test_copies_of_official_validation_rows_teach_only_where_nothing_is_chosen(
    tmp_path: Path, tune: str, taught: int, counted: int
) -> None:
    rows = mail(40, ("ann", "bob", "dee"))
    rows["split"] = "train"
    chooses = rows.iloc[[0]].assign(split="validation", text=rows.text[0].upper())
    pd.concat([rows, chooses]).to_parquet(tmp_path / "mail.parquet")
    made = recipe(Path("none"), tmp_path / "mail.parquet", data={"split": "split"}, tune={"kind": tune})
    corpus = Corpus.of(read_apart(made, Quarantine())[0], made.heads)
    [(_, turn, _)], leaks, _ = _plan(made, corpus)
    assert (len(turn.teach), len(turn.validate)) == (taught, 1)
    assert (leaks["validation"], leaks["exact"], leaks["dropped"]) == (counted, 0, counted)


def test_official_rows_that_are_to_say_when_to_stop_are_there(tmp_path: Path) -> None:
    rows = mail(20, ("ann", "bob", "dee"))
    rows["split"] = "train"
    made = recipe(
        Path("none"), tmp_path / "mail.parquet", data={"split": "split"}, tune={"kind": "lora"}, train={"patience": 1}
    )
    for validation in (1, 0):
        rows.loc[rows.index[:2], "split"] = "validation" if validation else "train"
        rows.to_parquet(tmp_path / "mail.parquet")
        corpus = Corpus.of(read_apart(made, Quarantine())[0], made.heads)
        if validation:
            [(_, turn, _)] = _plan(made, corpus)[0]
            assert len(turn.validate) == 2
        else:
            with pytest.raises(nlptl.RecipeError, match=r"train\.patience: turn 'all' has no official validation row"):
                _plan(made, corpus)


def test_rows_that_choose_have_no_copy_among_those_that_teach() -> None:
    """Every row is there twice, and a quarter is held back: of five rows the four that are two pairs."""
    rows = pd.DataFrame({"text": [f"text {place}" for place in range(120)], "spam": ["ham", "spam", "spam"] * 40})
    made = nlptl.Recipe(
        data={"kind": "frame", "table": rows}, heads={"spam": {"kind": "linear"}}, tune={"kind": "lora"},
        train={"validation": 0.25},
    )  # fmt: skip
    corpus = Corpus.of(read_apart(made, Quarantine())[0], made.heads)
    taught = np.arange(100, 120)
    turn = Turn("all", ("a",), ("a",), taught, taught[:0], taught[:0], taught[:0], 0, 0)
    own, held = split_off(made, corpus, turn, np.arange(20) // 2, seed=0)
    assert len(held) == 4 and sorted([*own.teach, *held]) == taught.tolist()
    assert not set((own.teach - 100) // 2) & set((held - 100) // 2)


def test_a_label_whose_rows_all_copy_scored_ones_is_missed_before_anything_is_encoded(tmp_path: Path) -> None:
    rows = mail(40, ("ann", "bob", "dee"))
    scored = rows[(rows.user == "dee") & (rows.label == "spam")]
    spam = (rows.user != "dee") & (rows.label == "spam")
    rows.loc[spam, "text"] = np.resize(scored.text.to_numpy(), int(spam.sum()))
    rows.to_parquet(tmp_path / "mail.parquet")
    made = recipe(Path("none"), tmp_path / "mail.parquet", transfer={"hold_out": 1.0})
    corpus = Corpus.of(read_apart(made, Quarantine())[0], made.heads)
    with pytest.raises(nlptl.DataError, match="once copies of scored or validation rows are left out, do not differ"):
        _plan(made, corpus)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail().to_parquet(path)
    return path


LORA = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 6, "batch_tokens": 256, "checkpoint_steps": 2}}
REFIT = {**LORA, "train": {"epochs": 3, "batch_rows": 16, "validation": 0.3, "refit": True}}
CONTRASTIVE = {"tune": {"kind": "contrastive", "keep": "always", "steps": 2}, "transfer": {"target_labels": 8}}


def numbers(folder: Path) -> dict[str, Any]:
    """What must not differ between a run and its repetition."""
    results = json.loads((folder / "results.json").read_text())
    return {key: results[key] for key in ("tasks", "matrix", "leaks", "rejected", "encoder", "chosen", "params")}


@pytest.mark.parametrize("tuned", [{}, LORA], ids=["frozen", "lora"])
def test_a_run_leaves_its_folder_and_answers_again(
    tiny_encoder: Path, table: Path, tmp_path: Path, tuned: dict[str, Any]
) -> None:
    made = recipe(tiny_encoder, table, encoder={"lexical": "tfidf"}, **tuned)
    run = nlptl.fit(made, out=tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= RUN_FOLDER | ({"metrics.jsonl"} if tuned else set())
    assert nlptl.Recipe.load(tmp_path / "run" / "recipe.yaml") == made

    spam = run.results["tasks"]["spam"]
    assert spam["domains"]["dee"]["n"] == 20
    assert spam["domains"]["dee"]["shipped"] == ("lora" if tuned else "solved")
    assert spam["overall"]["accuracy"] > 0.9
    assert run.results["overall"] == spam["overall"]
    assert set(spam["rungs"]) == ({"solved"} if tuned else set())

    texts = ["you can win a free cash prize", "the report for monday", "x"]
    again = nlptl.load(tmp_path / "run").predict(texts)
    pd.testing.assert_frame_equal(again, run.predict(texts, domain="dee"), atol=1e-6)
    assert list(again["spam"][:2]) == ["spam", "ham"]
    np.testing.assert_allclose(again["spam.ham"] + again["spam.spam"], 1)


def test_predictions_of_the_saved_model_are_the_scored_ones(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    """What is reported is what is served."""
    nlptl.fit(recipe(tiny_encoder, table, **LORA, encoder={"lexical": "tfidf"}), out=tmp_path)
    scored = pd.read_parquet(tmp_path / "predictions.parquet").set_index("id")
    rows = nlptl.data.Parquet(path=str(table)).frame(nlptl.contracts.Quarantine())
    texts = rows[rows.user == "dee"].text.tolist()
    answers = nlptl.load(tmp_path).predict(texts)["spam.spam"].to_numpy()
    served = np.sort(answers)
    reported = np.sort([shares[1] for shares in scored["model"]])
    assert len(reported) == 20
    assert np.abs(served[:, None] - reported[None]).min(axis=0).max() < 1e-6


def test_the_targets_labels_are_never_read_while_they_are_hidden(tiny_encoder: Path, tmp_path: Path) -> None:
    """Turn every label of the target round: nothing but its scores changes."""
    models = []
    for name, turned in (("a", False), ("b", True)):
        rows = mail()
        here = rows.user == "dee"
        if turned:
            rows.loc[here, "label"] = np.where(rows.label[here] == "spam", "ham", "spam")
        rows.to_parquet(tmp_path / f"{name}.parquet")
        made = recipe(tiny_encoder, tmp_path / f"{name}.parquet", encoder={"lexical": "tfidf"}, **LORA)
        run = nlptl.fit(made, out=tmp_path / name)
        models.append(run.predict(["win a prize on monday"]))
        answers = pd.read_parquet(tmp_path / name / "predictions.parquet").set_index("id")
        models.append(pd.DataFrame(answers[["model", "tfidf", "probe", "majority"]].map(list)).sort_index())
    pd.testing.assert_frame_equal(models[0], models[2])
    pd.testing.assert_frame_equal(models[1], models[3])


def test_every_domain_in_turn(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, table, transfer={"protocol": "leave_one_out", "target": "*", "hold_out": 1},
                  evaluate={"matrix": True, "seeds": 2})  # fmt: skip
    run = nlptl.fit(made, out=tmp_path)
    people = {"ann", "bob", "cy", "dee"}
    assert set(run.results["domains"]) == people == set(run.models) == set(run.results["matrix"])
    assert run.results["matrix"]["ann"]["ann"] is None and run.results["matrix"]["ann"]["bob"] > 0.5
    assert [seed["seed"] for seed in run.results["tasks"]["spam"]["seeds"]] == [0, 1]
    assert nlptl.load(tmp_path / "model" / "bob").predict(["win"]).shape == (1, 3)
    with pytest.raises(nlptl.DataError, match="did you mean 'bob'"):
        run.predict(["win"], domain="bobb")


def test_a_source_that_cannot_teach_alone_is_left_out_of_the_matrix(tiny_encoder: Path, tmp_path: Path) -> None:
    """Copies of one mail only, or one label only: no folds can be made of them."""
    rows = mail()
    rows.loc[rows.user == "bob", "text"] = "win a cash prize now"
    rows.loc[rows.user == "cy", "label"] = "ham"
    rows.to_parquet(tmp_path / "mail.parquet")
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", evaluate={"matrix": True}), out=tmp_path / "run")
    assert set(run.results["matrix"]) == {"ann"}


def test_two_tasks_and_rows_that_lack_one(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = mail()
    rows.loc[rows.index % 4 == 0, "topic"] = None
    rows.to_parquet(tmp_path / "two.parquet")
    settings = {**LORA, "heads": {"topic": {"kind": "linear"}}, "evaluate": {"solo": True}}
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "two.parquet", **settings), out=tmp_path / "run")
    assert set(run.results["tasks"]) == {"spam", "topic"}
    assert run.results["tasks"]["topic"]["labels"] == ["home", "shop", "work"]
    assert run.results["tasks"]["topic"]["domains"]["dee"]["n"] < run.results["tasks"]["spam"]["domains"]["dee"]["n"]
    together = run.results["multitask"]
    assert set(together["solo"]) == {"spam", "topic"} and together["solo"]["topic"]["p_holm"] <= 1
    assert together["conflicts"]["cosines"][0][0] == pytest.approx(1, abs=1e-5)
    assert abs(together["conflicts"]["cosines"][0][1]) < 1
    assert "Tasks together and alone" in (tmp_path / "run" / "report.html").read_text()
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {line["turn"] for line in logged} == {"all", "all solo spam", "all solo topic"}


@pytest.mark.parametrize(
    ("sections", "alone"),
    [
        ({"tune": {"kind": "lora"}, "adapt": [{"kind": "importance"}]}, {"spam", "topic"}),
        ({"heads": {"spam": {"kind": "mlp", "hidden": [8], "column": "label"}, "topic": {"kind": "knn"}}}, {"spam"}),
        ({"heads": {"spam": {"kind": "mlp", "hidden": [8], "column": "label"}, "topic": {"kind": "linear"}}}, {"spam"}),
    ],
    ids=["weighed rows", "neighbours beside", "a solved head beside"],
)
def test_each_task_is_trained_alone_where_it_is_trained(
    tiny_encoder: Path, table: Path, tmp_path: Path, sections: dict[str, Any], alone: set[str]
) -> None:
    """Rows of one task keep their weights; what is solved is its task's alone already."""
    two = {"spam": {"kind": "linear", "column": "label"}, "topic": {"kind": "linear"}}
    made = recipe(tiny_encoder, table, train={"max_steps": 2}, evaluate={"solo": True}).model_dump()
    run = nlptl.fit(nlptl.Recipe(**made | {"heads": two} | sections), out=tmp_path / "run")
    assert set(run.results["multitask"]["solo"]) == {"spam", "topic"}
    logged = [json.loads(line)["turn"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {turn for turn in logged if "solo" in turn} == {f"all solo {task}" for task in alone}
    answers = pd.read_parquet(tmp_path / "run" / "predictions.parquet").query("task == 'topic'")
    same = np.array_equal(np.stack(answers["solo"]), np.stack(answers["model"]))
    assert same is ("topic" not in alone)


@pytest.mark.parametrize("kind", ["full", "top_layers", "gradual"])
def test_a_body_that_learned_is_saved_and_answers_again(
    tiny_encoder: Path, table: Path, tmp_path: Path, kind: str
) -> None:
    tune = {"kind": kind, "lr": 1e-2} | ({"layers": 1} if kind == "top_layers" else {})
    run = nlptl.fit(recipe(tiny_encoder, table, tune=tune, train=LORA["train"]), out=tmp_path)
    texts = ["you can win a free cash prize", "the report for monday", "x"]
    again = nlptl.load(tmp_path).predict(texts)
    pd.testing.assert_frame_equal(again, run.predict(texts), atol=1e-6)
    frozen = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path / "frozen")
    assert not np.allclose(again["spam.spam"], frozen.predict(texts)["spam.spam"], atol=1e-3)
    saved = (tmp_path / "model" / "body.safetensors").stat().st_size
    assert run.results["params"]["trainable"] * 4 - 200 < saved < run.results["params"]["trainable"] * 4 + 8000


@pytest.mark.parametrize(
    "against",
    [{"l2_sp": 1.0}, {"label_smoothing": 0.2}, {"class_weights": "balanced"}, {"focal_gamma": 2.0}, {"r_drop": 1.0}],
    ids=lambda each: next(iter(each)),
)
def test_each_guard_against_overfitting_changes_what_is_learned(
    tiny_encoder: Path, table: Path, tmp_path: Path, against: dict[str, Any]
) -> None:
    shares = []
    for name, extra in (("plain", {}), ("guarded", against)):
        made = recipe(
            tiny_encoder, table, heads={"spam": {"kind": "linear", "column": "topic"}},
            tune={"kind": "full", "lr": 1e-2}, train={**LORA["train"], "dropout": True, **extra},
        )  # fmt: skip
        shares.append(nlptl.fit(made, out=tmp_path / name).predict(["free cash", "the report"])["spam.home"].to_numpy())
    assert np.isfinite(shares[1]).all() and np.abs(shares[0] - shares[1]).max() > 1e-5


def test_what_cannot_be_read_is_counted_and_named(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = mail()
    rows.loc[3, "text"] = None
    rows.loc[5, "label"] = "scam"
    rows.loc[7, "date"] = "someday"
    rows.to_parquet(tmp_path / "some.parquet")
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "some.parquet"), out=tmp_path / "run")
    rejected = [json.loads(line) for line in (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()]
    assert run.results["rejected"] == 3
    reasons = {row["line"]: row["reason"] for row in rejected}
    assert reasons == {
        4: "no text",
        6: "label not among ham, spam: 'scam'; did you mean 'spam'?",
        8: "unparsable date: 'someday'",
    }
    with pytest.raises(nlptl.DataError, match=r"3 of 160 rows.*some.parquet:4"):
        nlptl.fit(recipe(tiny_encoder, tmp_path / "some.parquet", data={"max_rejected": 0.01}), out=tmp_path / "run")


def test_copies_among_scored_rows_are_one_text_in_the_results(tiny_encoder: Path, tmp_path: Path) -> None:
    """Dee has three mails ten times over; numbers are of all rows, and what is sure of them is so of texts."""
    rows = mail(20, ("ann", "bob", "dee"))
    dee = rows[rows["user"] == "dee"]
    again = [dee.iloc[:3].assign(text=dee["text"].iloc[:3] + "!" * (1 + n)) for n in range(10)]
    pd.concat([rows, *again]).to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", tune={"kind": "frozen"}, transfer={"hold_out": 1})
    run = nlptl.fit(made, out=tmp_path / "run")
    facts = run.results["tasks"]["spam"]["domains"]["dee"]
    assert facts["n"] == len(dee) + 30 and facts["distinct"] == dee["text"].nunique()
    answers = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert answers["copy"].nunique() == facts["distinct"] and set(answers["copy"]) <= set(answers["id"])


def test_a_folder_with_other_files_is_left_alone(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(nlptl.RunError, match="holds files but no run"):
        nlptl.fit(recipe(tiny_encoder, table), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_resuming_with_another_recipe_is_refused(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    nlptl.fit(recipe(tiny_encoder, table), out=tmp_path)
    with pytest.raises(nlptl.RecipeError, match=r"another recipe: transfer\.hold_out differ"):
        nlptl.fit(recipe(tiny_encoder, table, transfer={"hold_out": 0.4}), out=tmp_path, resume=True)


@pytest.mark.parametrize("target", ["007", "2024-01-01", "12:30", "0x1F", "1_000", "yes", "1e3", "~"])
def test_a_recipe_is_known_again_whatever_its_names_look_like(tmp_path: Path, target: str) -> None:
    made = nlptl.Recipe(
        data={"kind": "csv", "path": "x.csv"}, transfer={"target": [target]},
        heads={"spam": {"kind": "linear", "labels": [target, "1.0"]}},
    )  # fmt: skip
    RunFolder(tmp_path / "run", main=True).begin(made, resume=False, wait=lambda: None)
    RunFolder(tmp_path / "run", main=True).look(made, resume=True)
    assert differing(tmp_path / "run" / "recipe.yaml", made) == []


def test_a_folder_with_a_recipe_of_the_users_own_is_no_run(tmp_path: Path) -> None:
    made = nlptl.Recipe(data={"kind": "csv", "path": "x.csv"}, heads={"spam": {"kind": "linear"}})
    made.save(tmp_path / "recipe.yaml")
    (tmp_path / "model").mkdir()
    with pytest.raises(nlptl.RunError, match="holds files but no run"):
        RunFolder(tmp_path, main=True).look(made, resume=False)
    for name in (".", "..", ".hidden"):
        with pytest.raises(nlptl.RecipeError, match="name"):
            nlptl.Recipe(name=name, data={"kind": "csv", "path": "x.csv"}, heads={"spam": {"kind": "linear"}})


@pytest.mark.parametrize("kill_at", ["features", "step-00000002", "step-00000006"])
def test_killed_and_resumed_is_as_if_nothing_had_happened(
    tiny_encoder: Path, table: Path, tmp_path: Path, kill_at: str
) -> None:
    """SIGKILL as soon as a file appears, then the same command with --resume: the same numbers."""
    made = recipe(tiny_encoder, table, encoder={"lexical": "tfidf"}, **LORA)
    made.save(tmp_path / "recipe.yaml")
    environment = os.environ | {"NLPTL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "nlptl", "run", str(tmp_path / "recipe.yaml"), "--out"]
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    broken = subprocess.Popen([*command, str(tmp_path / "b")], **quiet)
    deadline = time.monotonic() + 120
    while broken.poll() is None and time.monotonic() < deadline:
        if any(tmp_path.glob(f"*/{kill_at}")) or any(tmp_path.glob(f"b/checkpoints/*/{kill_at}")):
            broken.send_signal(signal.SIGKILL)
        time.sleep(0.005)
    assert broken.wait() == -signal.SIGKILL
    subprocess.run([*command, str(tmp_path / "b"), "--resume"], env=environment, check=True, capture_output=True)
    fresh = environment | {"NLPTL_CACHE": str(tmp_path / "cache2")}
    subprocess.run([*command, str(tmp_path / "a")], env=fresh, check=True, capture_output=True)
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    assert (tmp_path / "a" / "metrics.jsonl").read_text() == (tmp_path / "b" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("way", "precision", "said"),
    [
        ("FSDP", "no", "asks for FSDP, and here each process has the whole model"),
        ("DEEPSPEED", "bf16", "asks for DEEPSPEED"),
        ("MULTI_GPU", "fp8", "asks for mixed precision fp8"),
        ("NO", "fp16", "asks for mixed precision fp16"),
        ("MULTI_GPU", "bf16", None),
        ("NO", "no", None),
    ],
)
def test_a_launcher_that_divides_the_model_is_refused(
    monkeypatch: pytest.MonkeyPatch, way: str, precision: str, said: str | None
) -> None:
    asked = SimpleNamespace(distributed_type=DistributedType(way), mixed_precision=precision, num_processes=2)
    monkeypatch.setattr("accelerate.Accelerator", lambda **settings: asked)
    if said is None:
        assert launched() is asked
        return
    with pytest.raises(nlptl.RecipeError, match=said):
        launched()


def test_what_a_launcher_was_asked_for_is_read_off_its_command(tmp_path: Path) -> None:
    launch = ["python", "/venv/bin/accelerate", "launch", "--cpu", "--num_processes", "2", "-m", "nlptl"]
    assert asked_processes([["bash"], launch]) == 2
    assert asked_processes([["/venv/bin/accelerate", "launch", "--num_processes=4", "-m", "nlptl"]]) == 4
    assert asked_processes([["accelerate", "launch", "-m", "nlptl"]]) == 1
    assert asked_processes([["make", "launch", "--num_processes", "2"]]) == 1
    config = tmp_path / "config.yaml"
    config.write_text("num_processes: 3\n")
    assert asked_processes([["accelerate", "launch", "--config-file", str(config), "-m", "nlptl"]]) == 3
    assert asked_processes([["accelerate", "launch", f"--config_file={config}", "--num_processes", "2"]]) == 2
    assert asked_processes([["accelerate", "launch", "--config_file", str(tmp_path / "absent.yaml")]]) == 1


def test_rows_held_back_for_validation_teach_nothing_of_ours(tiny_encoder: Path, tmp_path: Path) -> None:
    """Turn the labels of the last fifth round: the baselines, taught by all rows, change; ours starts the same."""
    people = ("ann",)
    answers = []
    for name, turned in (("a", False), ("b", True)):
        rows = pd.concat([mail(50, ("dee",), seed=1), mail(50, people)], ignore_index=True)
        if turned:
            last = rows.index >= 90
            rows.loc[last, "label"] = np.where(rows.label[last] == "spam", "ham", "spam")
        rows.to_parquet(tmp_path / f"{name}.parquet")
        settings = {"validation": 0.2, "validation_rows": "last", "max_steps": 4, "batch_tokens": 256}
        made = recipe(tiny_encoder, tmp_path / f"{name}.parquet", tune={"kind": "lora"}, train=settings)
        run = nlptl.fit(made, out=tmp_path / name)
        answers.append(pd.read_parquet(tmp_path / name / "predictions.parquet").set_index("id").sort_index())
        assert any("validation_loss" in line for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        assert run.results["params"]["trainable"] < run.results["params"]["total"]
    assert list(map(list, answers[0]["solved"])) == list(map(list, answers[1]["solved"]))
    assert list(map(list, answers[0]["tfidf"])) != list(map(list, answers[1]["tfidf"]))


@pytest.mark.parametrize(
    "sections",
    [LORA, REFIT, {**LORA, "transfer": {"choose": "auto", "target": ["cy"], "target_labels": 4}}, CONTRASTIVE],
    ids=["lora", "refit", "the gate's rehearsals", "contrastive"],
)
def test_two_processes_leave_one_run(tiny_encoder: Path, table: Path, tmp_path: Path, sections: dict[str, Any]) -> None:
    """The same answers as one process, one run folder, and the table printed once."""
    recipe(tiny_encoder, table, **sections).save(tmp_path / "recipe.yaml")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    answers = []
    for processes in (1, 2):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        run = ["-m", "nlptl", "run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / f"{processes}")]
        done = subprocess.run(launch + run, env=environment, check=True, capture_output=True, text=True)
        assert done.stdout.count("Report: ") == 1
        assert json.loads((tmp_path / f"{processes}" / "lock.json").read_text())["processes"] == processes
        answers.append(pd.read_parquet(tmp_path / f"{processes}" / "predictions.parquet").set_index("id")["model"])
    one, two = (np.stack(list(each.sort_index())) for each in answers)
    # From a solved head hardly any loss is left, and Adam's division magnifies rounding; the loop's own test is exact.
    np.testing.assert_allclose(one, two, atol=5e-3)
    gates = [json.loads((tmp_path / name / "results.json").read_text())["gate"] for name in ("1", "2")]
    assert gates[0] == gates[1] and bool(gates[0]) == ("choose" in sections.get("transfer", {}))
