"""Per-domain heads from recipe to saved model: who is served by what, what is kept, and one user more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from sections import laid

import nlptl
from nlptl.cli import domains, main
from nlptl.cli.domains import add_domains
from nlptl.contracts import Task
from nlptl.fitting.domains import fit_domain_heads
from nlptl.heads import Linear
from nlptl.heads._domains import Deviations, Spread
from nlptl.heads._scaling import Scaling
from nlptl.heads._solved import solve_head
from nlptl.predict import predict_file
from nlptl.saved.domains import METADATA, DomainHeads, fit_domains

ODD = ("ann.b@x.org", "bö/b", "c d")
"""Names with dots, slashes, letters beyond ASCII and spaces."""


FILES = {"README.md", "heads.safetensors", "model.json", "taught.safetensors"}


def mail(turned: tuple[str, ...] = ("c d",), rows: int = 40) -> pd.DataFrame:
    """Three users' mail, where those ``turned`` call spam what others call ham, and a fourth without labels."""
    rng = np.random.default_rng(0)
    made = []
    for user in (*ODD, "new"):
        for place in range(rows):
            spam = place % 2 == 1
            words = ["free", "cash", "prize", "win"] if spam else ["report", "gas", "meeting", "contract"]
            text = " ".join([*rng.choice(words, 3), *rng.choice(["the", "a", "of", "to", "we", "they", "it"], 6)])
            label = None if user == "new" else ("spam" if spam != (user in turned) else "ham")
            made.append({"text": text, "label": label, "user": user})
    return pd.DataFrame(made)


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "transfer": {"hold_out": 0.5, "target": list(ODD), "target_labels": "all"},
        "encoder": {"model": str(model), "max_length": 24, "pool": "last"},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "per": "domain"}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**laid(settings, sections))


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """One run of users of whom one means the opposite; its model is not changed by tests."""
    folder = tmp_path_factory.mktemp("per_domain")
    mail().to_parquet(folder / "mail.parquet")
    return nlptl.fit(recipe(tiny_encoder, folder / "mail.parquet"), out=folder / "run")


TEXTS = ["win a free cash prize", "the gas report for the meeting"]


def test_a_user_who_means_the_opposite_is_served_by_his_own_head(run: nlptl.Run) -> None:
    spam = run.results["tasks"]["spam"]
    assert set(spam["domains"]) == set(ODD)
    assert {facts["shipped"] for facts in spam["domains"].values()} == {"per_domain"}
    assert spam["domains"]["c d"]["metrics"]["accuracy"] > 0.9
    assert spam["rungs"]["solved"]["domains"]["c d"]["metrics"]["accuracy"] < 0.5
    [chosen] = run.results["chosen"]
    assert chosen["tau"] > 0.5 and chosen["evidence over pooling"] > 5
    assert list(run.predict(TEXTS, domain="bö/b")["spam"]) == ["spam", "ham"]
    assert list(run.predict(TEXTS, domain="c d")["spam"]) == ["ham", "spam"]
    assert "tau" in (run.folder / "report.html").read_text()


def test_a_domain_without_labels_or_unknown_has_the_shared_head(run: nlptl.Run) -> None:
    model = run.model()
    assert model.domains == tuple(sorted(ODD))
    shared = model.predict(TEXTS)
    for domain in ("new", "nobody"):
        pd.testing.assert_frame_equal(model.predict(TEXTS, domain=domain), shared)
    mixed = model.predict(TEXTS * 2, domain=["c d", None, "bö/b", "nobody"])
    alone = [
        model.predict([text], domain=domain)
        for text, domain in zip(TEXTS * 2, ["c d", None, "bö/b", None], strict=True)
    ]
    pd.testing.assert_frame_equal(mixed, pd.concat(alone, ignore_index=True), atol=1e-5)
    with pytest.raises(nlptl.DataError, match="2 texts and 3 domains"):
        model.predict(TEXTS, domain=["a", "b", "c"])


def test_rows_without_a_domain_are_served_as_they_were_scored(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of no user mean the opposite of what others mean."""
    rows = mail()
    rows.assign(user=rows.user.where(rows.user != "c d", None)).to_parquet(tmp_path / "mail.parquet")
    transfer = {"target": ["ann.b@x.org", "bö/b", "(none)"]}
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", transfer=transfer), out=tmp_path / "run")
    assert run.results["domains"]["(none)"]["shipped"] == "per_domain"
    for domain in (None, [None, float("nan")], [" ", ""], "(none)"):
        assert list(run.predict(TEXTS, domain=domain)["spam"]) == ["ham", "spam"]  # type: ignore[arg-type]
    pd.DataFrame({"text": TEXTS, "user": [None, ""]}).to_csv(tmp_path / "in.csv", index=False)
    answers = pd.read_csv(predict_file(run.folder, tmp_path / "in.csv", tmp_path / "out.csv"))
    assert list(answers["spam"]) == ["ham", "spam"] and answers["domain"].isna().all()
    assert "by what all domains share" not in caplog.text


def test_saved_and_loaded_it_answers_the_same(run: nlptl.Run) -> None:
    model = nlptl.load(run.folder)
    assert model.domains == run.model().domains
    for domain in (*ODD, None):
        pd.testing.assert_frame_equal(model.predict(TEXTS, domain=domain), run.model().predict(TEXTS, domain=domain))
    with safe_open(run.folder / "model" / "heads.safetensors", "pt") as file:
        assert "bö/b" in file.metadata()[METADATA]


def test_users_who_agree_are_pooled(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(turned=()).to_parquet(tmp_path / "mail.parquet")
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet"), out=tmp_path / "run")
    spam = run.results["tasks"]["spam"]
    assert spam["overall"]["accuracy"] >= spam["rungs"]["solved"]["overall"]["accuracy"] - 0.02
    [chosen] = run.results["chosen"]
    assert chosen["tau"] <= 0.4
    if chosen["tau"] == chosen["tau of intercept"] == 0:
        assert {facts["shipped"] for facts in spam["domains"].values()} == {"solved"}


def test_domains_may_have_a_distance_of_their_own(tiny_encoder: Path, tmp_path: Path) -> None:
    mail().to_parquet(tmp_path / "mail.parquet")
    own = recipe(tiny_encoder, tmp_path / "mail.parquet")
    own = own.model_copy(update={"heads": {"spam": own.heads["spam"].model_copy(update={"spread": "own"})}})
    run = nlptl.fit(own, out=tmp_path / "run")
    assert run.results["tasks"]["spam"]["domains"]["c d"]["metrics"]["accuracy"] > 0.9
    assert run.results["chosen"][0]["own tau, median"] >= 0


def test_sources_have_heads_too_where_the_target_shows_no_label(tiny_encoder: Path, tmp_path: Path) -> None:
    mail().to_parquet(tmp_path / "mail.parquet")
    transfer = {"target": "ann.b@x.org", "target_labels": 0}
    run = nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", transfer=transfer), out=tmp_path / "run")
    assert run.model().domains == ("bö/b", "c d")
    assert run.results["domains"]["ann.b@x.org"]["shipped"] == "solved"
    assert list(run.predict(TEXTS, domain="c d")["spam"]) == ["ham", "spam"]


def test_an_added_domain_is_what_the_joint_solve_would_have_made_of_it(run: nlptl.Run) -> None:
    """Given the same shared head and spread, and a domain whose rows taught the shared head nothing."""
    model = nlptl.load(run.folder)
    before = {domain: model.predict(TEXTS, domain=domain) for domain in (*ODD, None)}
    rows = mail(turned=("c d",)).query("user == 'c d'")
    texts, labels = list(rows.text), list(rows.label)
    model.add_domain("later", texts, labels)
    heads = model.domain_heads["spam"]
    vectors, shared = model.shared_logits(texts)
    from nlptl.heads._domains import GroupedRows, deviate

    targets = np.array([[float(label == "spam")] for label in labels])
    expected = deviate(GroupedRows(heads.scaling(vectors["spam"]), targets, np.asarray(shared["spam"]),
                                   [np.arange(len(rows))], "sigmoid"), heads.spread)  # fmt: skip
    np.testing.assert_allclose(heads.deviations.weights[heads.names.index("later")], expected.weights[0], atol=1e-9)
    assert list(model.predict(TEXTS, domain="later")["spam"]) == ["ham", "spam"]
    for domain, answers in before.items():
        pd.testing.assert_frame_equal(model.predict(TEXTS, domain=domain), answers)


def test_a_domain_that_is_there_is_replaced_only_when_asked(run: nlptl.Run) -> None:
    model = nlptl.load(run.folder)
    turned = [["spam", "ham"], ["ham", "spam"]]
    with pytest.raises(nlptl.ModelError, match="'c d' has a head already"):
        model.add_domain("c d", TEXTS * 6, turned[0] * 6)
    model.add_domain("c d", TEXTS * 6, turned[0] * 6, replace=True)
    assert len(model.domains) == 3
    assert list(model.predict(TEXTS, domain="c d")["spam"]) == ["spam", "ham"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["ham"], "1 labels of task 'spam' for 2 texts"),
        (["ham", "junk"], "'junk' is not one of task 'spam'"),
        ([None, None], "'x' has no labelled row"),
        ({"tone": ["ham", "spam"]}, "task 'tone' has no per-domain head; those with one: spam"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_changes(run: nlptl.Run, labels: Any, message: str) -> None:
    model = nlptl.load(run.folder)
    with pytest.raises(nlptl.DataError, match=message):
        model.add_domain("x", TEXTS, labels)
    assert model.domains == tuple(sorted(ODD))


def test_a_model_without_per_domain_heads_says_how_to_get_them(
    run: nlptl.Run, tiny_encoder: Path, tmp_path: Path
) -> None:
    mail().to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", heads={"spam": {"kind": "linear", "column": "label"}})
    model = nlptl.fit(made, out=tmp_path / "run").model()
    assert model.domains == ()
    with pytest.raises(nlptl.ModelError, match=r"per-domain heads.*heads\.<task>\.per: domain\.$"):
        model.add_domain("x", TEXTS, ["spam", "ham"])


def test_predict_on_a_file_uses_its_domain_column(run: nlptl.Run, tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": TEXTS * 2, "user": ["c d", "c d", "bö/b", None]})
    for ending, write in ((".parquet", rows.to_parquet), (".csv", rows.to_csv)):
        write(tmp_path / f"in{ending}")
        predict_file(run.folder, tmp_path / f"in{ending}", tmp_path / "out.parquet")
        answers = pd.read_parquet(tmp_path / "out.parquet")
        assert list(answers["spam"][:3]) == ["ham", "spam", "spam"]
        assert list(answers["domain"][:3]) == ["c d", "c d", "bö/b"]
    rows.drop(columns="user").to_parquet(tmp_path / "in.parquet")  # no domains: the shared head
    predict_file(run.folder, tmp_path / "in.parquet", tmp_path / "out.parquet")
    shared = run.model().predict(TEXTS * 2)
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "out.parquet")["spam.spam"], shared["spam.spam"], atol=1e-5)


def test_add_domain_on_the_command_line(
    run: nlptl.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = run.save(tmp_path / "model")
    rows = mail().query("user == 'c d'")[["text", "label"]]
    beside = pd.DataFrame({"text": ["gas", "win gas", "cash"], "label": [None, None, "spma"]})
    pd.concat([rows, beside]).to_csv(tmp_path / "labels.csv", index=False)
    command = ["add-domain", str(folder), str(tmp_path / "labels.csv")]

    def status(*more: str) -> int:
        with pytest.raises(SystemExit) as end:
            main([*command, *more])
        return int(end.value.code or 0)

    assert status() == 2 and "no column 'user'" in capsys.readouterr().err
    assert status("--name", "z.z") == 0
    assert capsys.readouterr().out == "z.z: a head of its own, from 40 labelled rows of 42.\n"
    assert "labels.csv, line 44 is left out: label not among ham, spam: 'spma'" in caplog.text
    assert list(nlptl.load(folder).predict(TEXTS, domain="z.z")["spam"]) == ["ham", "spam"]
    assert status("--name", "z.z") == 2 and "--replace" in capsys.readouterr().err
    assert status("--name", "z.z", "--replace") == 0
    rows.assign(who=["p/1", "p/2"] * 20).to_csv(tmp_path / "labels.csv", index=False)
    assert status("--domain", "who") == 0
    rows.rename(columns={"label": "Art"}).to_csv(tmp_path / "labels.csv", index=False)
    assert status("--name", "z.z", "--replace") == 2 and "no column 'label'" in capsys.readouterr().err
    assert status("--name", "z.z", "--replace", "--label", "Art") == 0
    assert nlptl.load(folder).domains == tuple(sorted([*ODD, "z.z", "p/1", "p/2"]))
    assert {path.name for path in folder.iterdir()} == FILES


def test_add_domain_reads_what_recipes_read(
    run: nlptl.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A table with semicolons in Windows' encoding, one row of it broken, and mailboxes whose path says the rest."""
    folder = run.save(tmp_path / "model")
    rows = mail().query("user == 'c d'")[["text", "label"]]
    rows.assign(text=rows.text + " é").to_csv(tmp_path / "a.csv", sep=";", index=False, encoding="cp1252")
    with (tmp_path / "a.csv").open("a") as file:
        file.write("too;many;cells\n")
    for label, texts in rows.groupby("label").text:
        (tmp_path / "box" / "p.1").mkdir(parents=True, exist_ok=True)
        mails = "".join(f"From x Mon Jan  1 00:00:00 2024\nTo: me\n\n{text}\n\n" for text in texts)
        (tmp_path / "box" / "p.1" / f"{label}.mbox").write_text(mails)

    def add(*more: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(["add-domain", str(folder), *more])
        return int(end.value.code or 0)

    assert add(str(tmp_path / "a.csv"), "--name", "z") == 0
    assert capsys.readouterr().out == "z: a head of its own, from 40 labelled rows of 40.\n"
    assert "a.csv, line 42 is left out: wrong column count: 3" in caplog.text
    assert add(str(tmp_path / "box" / "{user}" / "{label}.mbox")) == 0
    assert capsys.readouterr().out == "p.1: a head of its own, from 40 labelled rows of 40.\n"
    for name in ("z", "p.1"):
        assert list(nlptl.load(folder).predict(TEXTS, domain=name)["spam"]) == ["ham", "spam"]
    (tmp_path / "a.docx").touch()
    assert add(str(tmp_path / "a.docx"), "--name", "y") == 2 and "known endings: .csv, .eml" in capsys.readouterr().err


def test_a_table_for_add_domain_is_no_source_of_the_recipe(run: nlptl.Run, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "model")
    described = json.loads((folder / "model.json").read_text())
    described["tasks"]["spam"]["head"]["source"] = "mails"  # of several sources, the one with the labels
    (folder / "model.json").write_text(json.dumps(described))
    mail().query("user == 'c d'").to_csv(tmp_path / "labels.csv", index=False)
    assert add_domains(folder, tmp_path / "labels.csv", name=" z.z ") == {"z.z": (40, 40)}
    assert list(nlptl.load(folder).predict(TEXTS, domain="z.z")["spam"]) == ["ham", "spam"]
    for nobody in ("", "  "):
        with pytest.raises(nlptl.DataError, match="names no domain; give its name"):
            add_domains(folder, tmp_path / "labels.csv", name=nobody)
    model = nlptl.load(folder)
    model.add_domain(" y ", TEXTS * 6, ["spam", "ham"] * 6)
    assert "y" in model.domains


def test_heads_that_another_command_changed_meanwhile_are_not_lost(
    run: nlptl.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run.save(tmp_path / "model")
    mail().query("user == 'c d'").to_csv(tmp_path / "labels.csv", index=False)

    def meanwhile(*given: Any, **settings: Any) -> Any:
        monkeypatch.setattr(domains, "fit_domains", fit_domains)
        add_domains(folder, tmp_path / "labels.csv", name="first")
        return fit_domains(*given, **settings)

    monkeypatch.setattr(domains, "fit_domains", meanwhile)
    with pytest.raises(nlptl.ModelError, match=r"were changed meanwhile.*run it again"):
        add_domains(folder, tmp_path / "labels.csv", name="second")
    assert set(nlptl.load(folder).domains) == {*ODD, "first"}
    assert {path.name for path in folder.iterdir()} == FILES


def test_a_body_that_learns_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(nlptl.RecipeError, match=r"heads.spam.per.*tune.kind is lora"):
        recipe(tiny_encoder, tmp_path / "mail.parquet", tune={"kind": "lora"})
    with pytest.raises(nlptl.RecipeError, match=r"heads.spam.per.*by itself"):
        recipe(tiny_encoder, tmp_path / "mail.parquet", transfer={"choose": "auto"})
    alone = {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "spread": "own"}}
    with pytest.raises(nlptl.RecipeError, match=r"heads.spam.spread.*per: domain"):
        nlptl.Recipe(data={"kind": "csv", "path": "x.csv"}, heads=alone)


def test_what_a_domain_adds_by_hand() -> None:
    """x = 5 scaled by centre 1 and scale 2 is 2; domain b adds 2 · 3 + 1."""
    heads = DomainHeads(Spread(1, 1), Scaling(np.ones(1), 2.0), ("a", "b"),
                        Deviations(np.array([[[0.0]], [[3.0]]]), np.array([[0.5], [1.0]])))  # fmt: skip
    np.testing.assert_allclose(heads.logits(np.full((4, 1), 5.0), ["b", "a", None, "z"])[:, 0], [7, 0.5, 0, 0])


def test_rows_that_do_not_teach_the_shared_head_do_not_move_what_deviations_depart_from() -> None:
    """Where sources are weighed, a fold's head that all rows taught alike would be another one than the shared head."""
    rng = np.random.default_rng(0)
    task, domains = Task("spam", Linear(per="domain"), ("ham", "spam")), ["ann"] * 40 + ["bob"] * 40
    vectors, labels = rng.normal(size=(80, 3)), rng.integers(2, size=80)
    folds = [(np.setdiff1d(np.arange(80), held), held) for held in np.arange(80).reshape(4, 20)]
    solved = solve_head(task, {"last": vectors}, labels, folds)
    weights = np.repeat([1.0, 0.0], 40)

    def offsets(encoded: np.ndarray) -> np.ndarray:
        return fit_domain_heads(task, solved, vectors, None, encoded, domains, folds, weights=weights)[2].offsets

    turned = np.r_[labels[:40], 1 - labels[40:]]
    np.testing.assert_array_equal(offsets(labels), offsets(turned))
