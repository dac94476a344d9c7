"""What is said of mistakes: all at once, each with its place, the nearest real name and the choices."""

from pathlib import Path

import pytest

from nlptl import data, heads
from nlptl.errors import RecipeError
from nlptl.recipe import Evaluate, Recipe

DATA = "data: {kind: csv, path: mail.csv}\n"
HEADS = "heads: {spam: {kind: linear, column: label}}\n"


def problems(folder: Path, text: str, *overrides: str) -> tuple[str, ...]:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        Recipe.load(path, *overrides)
    assert all("\n" not in line for line in caught.value.problems)
    return tuple(line.replace(f"{path}:", "") for line in caught.value.problems)


def test_five_mistakes_are_five_lines_in_one_message(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "data: {kind: csv, path: mail.csv, domian: user}\n"
        "transfer: {target_labels: -1}\n"
        "tune: {kind: lroa}\n" + HEADS + "train:\n  epochs: many\n",
        "encoder.pool=lats",
    )
    assert len(found) == 5
    assert found[0].startswith("1: data.domian: unknown key; did you mean 'domain'? Choices: ")
    assert found[1] == "2: transfer.target_labels: -1 is not 'all' or at least 0."
    assert found[2].startswith("3: tune.kind: no tune kind 'lroa'; did you mean 'lora'? Choices: ")
    assert found[3] == "6: train.epochs: 'many' is not a whole number."
    assert found[4].startswith("override 'encoder.pool=lats': encoder.pool: 'lats' is not one of last, cls, layers")
    assert found[4].endswith("did you mean 'last'?")


def test_the_message_counts_them_and_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(DATA + "trian: {}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"^2 problems in .*x\.yaml:\n  .*\n  .*$"):
        Recipe.load(tmp_path / "x.yaml")


@pytest.mark.parametrize("word", ["no", "yes", "on", "Off", "true", "null", "1", "2.5"])
def test_a_label_that_yaml_reads_as_something_else_is_to_be_quoted(tmp_path: Path, word: str) -> None:
    found = problems(tmp_path, DATA + f"heads: {{x: {{kind: linear, labels: [{word}, spam]}}}}\n")
    assert len(found) == 1
    assert found[0].startswith(f"2: heads.x.labels.0: {word} is not text")
    assert found[0].endswith(f'write it in quotes: "{word}".')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADS, "1: data: is missing; write it such as {kind: csv, path: mail.csv}."),
        (DATA, "1: heads: is missing; write it such as {spam: {kind: linear, column: label}}."),
        (DATA + "heads: {}\n", "2: heads: holds nothing; it needs at least 1."),
        (
            DATA + "heads: {spam: {column: x}}\n",
            "2: heads.spam.kind: is missing. Choices: entail, knn, label_names, ",
        ),
        (DATA + "heads: {spam: linear}\n", "2: heads.spam: 'linear' is not a mapping; write {kind: linear}."),
        ("data: {path: x.csv}\n" + HEADS, "1: data.kind: is missing. Choices: csv, "),
        ("data: mail.csv\n" + HEADS, "1: data: 'mail.csv' is not a mapping."),
        ("data: {a: {kind: csv}}\n" + HEADS, "1: data.a.path: is missing; write it"),
        (DATA + HEADS + "lr: 3\n", "3: lr: unknown key; did you mean 'train.lr'? Choices: name, seed, before, data"),
        (
            DATA + HEADS + "encoder: {hold_out: 1}\n",
            "3: encoder.hold_out: unknown key; did you mean 'transfer.hold_out'?",
        ),
        (
            DATA + HEADS + "adapt: [{kind: coral, weigth: 2}]\n",
            "3: adapt.0.weigth: unknown key; did you mean 'weight'? Choices: kind, weight",
        ),
        (
            DATA + HEADS + "augment: [{kind: eda}, {kind: cutoff, shrae: 2}]\n",
            "3: augment.1.shrae: unknown key; did you mean 'share'? Choices: kind, ",
        ),
        (
            DATA + "heads: {x: {kind: linear, calibrate: {max_los: 0.1}}}\n",
            "2: heads.x.calibrate.max_los: unknown key; did you mean 'max_loss'? Choices: temperature, ",
        ),
        (
            DATA + "heads: {x: {kind: linear, anomaly: {shar: 0.1}}}\n",
            "2: heads.x.anomaly.shar: unknown key; did you mean 'share'? Choices: score, share.",
        ),
        (
            DATA + HEADS + "evaluate: {cold_start: {shtos: [1]}}\n",
            "3: evaluate.cold_start.shtos: unknown key; did you mean 'shots'? Choices: shots, seeds.",
        ),
        (
            DATA + HEADS + "evaluate: {anomalies: {k: 3}}\n",
            "3: evaluate.anomalies.label: is missing; write it (Of the ",
        ),
        (
            DATA + HEADS + "evaluate: {anomalies: {label: x, n: 3}}\n",
            "3: evaluate.anomalies.n: unknown key. Choices: label, k.",
        ),
        (
            "data: {a: {kind: csv, path: x, txt: y}}\n" + HEADS,
            "1: data.a.txt: unknown key; did you mean 'text'? Choices: ",
        ),
        (DATA + HEADS + "train:\n", "3: train: nothing (null) is not a mapping; leave the section out"),
        (DATA + HEADS + "evaluate: {metrics: f1}\n", "3: evaluate.metrics: 'f1' is not a list; write [f1]."),
        (DATA + HEADS + "transfer: {source: [1]}\n", '3: transfer.source.0: 1 is not text; write it in quotes: "1".'),
        (DATA + HEADS + "transfer: {hold_out: 2}\n", "3: transfer.hold_out: 2 is not at most 1."),
        (DATA + HEADS + "train: {lr: '1e-3'}\n", "3: train.lr: '1e-3' is not a number (it is text)."),
        (DATA + HEADS + "train: {lr: .inf}\n", "3: train.lr: .inf is not a finite number."),
        (DATA + HEADS + "train: {epochs: 1.5}\n", "3: train.epochs: 1.5 is not a whole number."),
        (DATA + HEADS + "encoder: {cache: 1}\n", "3: encoder.cache: 1 is not true or false."),
        (DATA + HEADS + "seed: 1\nseed: 2\n", "4: seed: is written twice, first at 3; keep one."),
        (DATA + HEADS + "name: !!python/name:os.system x\n", "3: name: tag 'tag:yaml.org,2002:python/name:os.system'"),
        (DATA + HEADS + "train: {<<: {lr: 1}}\n", "3: train.<<: merge keys are not read"),
        (DATA + HEADS + "extends: [a, b]\n", "3: extends: ['a', 'b'] is not one file"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr", "override 'train.lr': is not KEY=VALUE, such as train.lr=1e-4."),
        ("train.=3", "override 'train.=3': train.: names no setting."),
        ("extends=b.yaml", "override 'extends=b.yaml': extends: extends is for files"),
        ("train.lr=[1", "override 'train.lr=[1': this is not YAML"),
        ("name=a\x00", "override 'name=a\\x00': this is not YAML: it holds the control character U+0000"),
        ("train.epoch=1", "override 'train.epoch=1': train.epoch: unknown key; did you mean 'epochs'?"),
        (
            "heads.spam.labels.5=x",
            "override 'heads.spam.labels.5=x': heads.spam.labels.5: heads.spam.labels is a list; its",
        ),
        ("name.x=1", "override 'name.x=1': name.x: name is 'mine', with nothing inside."),
        (
            "heads.spam.positive=no",
            "override 'heads.spam.positive=no': heads.spam.positive: no is not text (no is read as",
        ),
    ],
)
def test_one_mistaken_override(tmp_path: Path, override: str, expected: str) -> None:
    text = DATA + "heads: {spam: {kind: linear, labels: [a, b]}}\nname: mine\n"
    found = problems(tmp_path, text, override)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]\n", "is no mapping"),
        ("", "is empty"),
        ("# nothing yet\n", "is empty"),
        ("data: {kind: csv\n", r"recipe\.yaml:2: this is not YAML"),
        ("data:\n\tkind: csv\n", "Indent with spaces"),
        ("a: &x [*x]\n", "aliases"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("data: {kind: csv,\n  path: a\x07.csv}\n", r"recipe\.yaml:2: this is not YAML: .* control character U\+0007"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        Recipe.load(tmp_path / "recipe.yaml")


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "recipe.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RecipeError, match="aliases"):
        Recipe.load(tmp_path / "recipe.yaml")


def test_an_absent_file_names_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "spam.yaml").write_text(DATA, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"no recipe .*spma\.yaml.*there are: spam\.yaml"):
        Recipe.load(tmp_path / "spma.yaml")


def test_a_mistake_in_a_base_is_placed_in_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(DATA + HEADS + "train: {lr: fast}\n", encoding="utf-8")
    found = problems(tmp_path, "extends: base.yaml\ntrain: {epochs: 1}\n")
    assert found == (f"{tmp_path / 'base.yaml'}:3: train.lr: 'fast' is not a number.",)


def test_a_notebook_gets_the_same_lines_without_places() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(data=data.Csv(path="x.csv"), heads={"text": heads.Linear()}, evaluate=Evaluate(metrics=["f2"]), sede=1)
    assert [line.partition(":")[0] for line in caught.value.problems] == ["sede", "heads.text", "evaluate.metrics.0"]


def test_labels_are_not_read_from_the_text_by_default_either() -> None:
    films = {"a": data.Csv(path="x.csv", text="title"), "b": data.Csv(path="y.csv")}
    with pytest.raises(RecipeError, match=r"heads\.title\.column: 'title' is the column of the text"):
        Recipe(data=films, heads={"title": heads.Linear()})
    assert Recipe(data=films, heads={"title": heads.Linear(source="b")}).heads["title"].source == "b"


def test_sources_that_sample_unlike_numbers_are_refused() -> None:
    sources = {"small": data.Csv(path="x.csv", sample=10), "big": data.Csv(path="y.csv")}
    with pytest.raises(
        RecipeError, match=r"data\.big\.sample: None rows a domain are asked for, and 10 by data\.small"
    ):
        Recipe(data=sources, heads={"spam": heads.Linear()})


# --- rules between sections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transfer: {target_labels: 0}\n", "3: transfer.target_labels: 0 hides the labels of every target"),
        ("transfer: {target_labels: 0, source: [a], target: [b, a]}\n", "3: transfer.target_labels: 0 hides"),
        ("transfer: {hold_out: 1}\n", "3: transfer.hold_out: 1 scores every row of every target"),
        ("transfer: {hold_out: 1, target: [a], target_labels: 4}\n", "3: transfer.target_labels: 4 labels a class"),
        ("transfer: {order: time}\n", "1: data.time: is missing, and transfer.order: time needs it"),
        ("evaluate: {metrics: [acuracy]}\n", "3: evaluate.metrics.0: no metric 'acuracy'; did you mean 'accuracy'?"),
        ("evaluate: {metrics: [f1, f1]}\n", "3: evaluate.metrics.1: 'f1' is there twice"),
        ("evaluate: {metrics: [recall_at_loss]}\n", "3: evaluate.metrics: recall_at_loss needs to know"),
        ("train: {patience: 2}\n", "3: train.patience: needs teaching rows held back"),
    ],
)
def test_a_rule_between_sections(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, DATA + HEADS + text)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]


@pytest.mark.parametrize(
    ("heads_", "expected"),
    [
        ("{domain: {kind: linear, column: x}}", "2: heads.domain: 'domain' is the name of a column of its own"),
        ("{problem: {kind: linear}}", "2: heads.problem: 'problem' is the name of a column of its own"),
        ("{a.b: {kind: linear}}", "2: heads.a.b: 'a.b' must be a name without a dot"),
        ("{x: {kind: linear, column: text}}", "2: heads.x.column: 'text' is the column of the text"),
        ("{x: {kind: linear, source: sms}}", "2: heads.x.source: no source of data is named 'sms'. data is one source"),
        ("{x: {kind: linear, labels: [a, a, b]}}", "2: heads.x.labels: 'a' is there twice"),
        (
            "{x: {kind: linear, labels: [ham, spam], positive: spma}}",
            "2: heads.x.positive: 'spma' is no label; did you",
        ),
        (
            "{x: {kind: linear, multilabel: true, labels: ['a,b', c]}}",
            "2: heads.x.separator: ',' is within label 'a,b'",
        ),
    ],
)
def test_a_rule_about_a_task(tmp_path: Path, heads_: str, expected: str) -> None:
    found = problems(tmp_path, DATA + f"heads: {heads_}\n")
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("per: domain", "3: heads.x.per: domain: stands on fixed vectors, and pool: mix is trained"),
        ("calibrate: {}", "3: heads.x.calibrate: of what is trained is fitted on rows that are held back from it"),
    ],
)
def test_a_mix_of_layers_is_trained_and_not_solved(tmp_path: Path, head: str, expected: str) -> None:
    found = problems(tmp_path, DATA + f"encoder: {{pool: mix}}\nheads: {{x: {{kind: linear, {head}}}}}\n")
    assert len(found) == 1 and found[0].startswith(expected), found


@pytest.mark.parametrize("head", ["kind: prototype", "kind: knn", "kind: label_names", "kind: entail, model: nli"])
def test_a_mix_of_layers_is_not_learned_for_a_head_over_fixed_vectors(tmp_path: Path, head: str) -> None:
    found = problems(tmp_path, DATA + f"encoder: {{pool: mix}}\nheads: {{x: {{{head}}}}}\n")
    said = f"2: encoder.pool: mix is learned, and heads.x of {head.partition(',')[0].replace(':', '')} answers from"
    assert len(found) == 1 and found[0].startswith(said), found


@pytest.mark.parametrize("per", ["domain", "task"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("train: {average: ema}", "train.average: is not taken with tune.per: {}; set it to null."),
        ("augment: [{kind: eda}]", "augment: eda is not made with tune.per: {}; leave augment empty."),
        ("adapt: [{kind: tapt}]", "adapt.0: tapt adapts one body to "),
    ],
)
def test_adapters_of_their_own_are_named_as_they_were_asked_for(
    tmp_path: Path, per: str, written: str, expected: str
) -> None:
    """One line for one mistake, whichever ``tune.per`` is."""
    text = (
        "data: {kind: csv, path: mail.csv, split: part}\nheads: {x: {kind: linear}, y: {kind: linear}}\n"
        f"tune: {{kind: lora, per: {per}}}\n{written}\n"
    )
    [found] = problems(tmp_path, text)
    assert found.startswith(f"4: {expected.format(per)}") and f"tune.per: {per}" in found


def test_words_need_a_solved_head(tmp_path: Path) -> None:
    found = problems(tmp_path, DATA + "heads: {x: {kind: mlp}}\nencoder: {lexical: tfidf}\n")
    assert len(found) == 1 and found[0].startswith("3: encoder.lexical: tfidf is read by solved heads")


@pytest.mark.parametrize(
    "text",
    [
        "transfer: {target_labels: 0, target: [a]}\n",
        "transfer: {target_labels: 0, protocol: leave_one_out}\n",
        "transfer: {hold_out: 1, target: [a], target_labels: 0}\n",
        "train: {patience: 2, validation: 0.1}\n",
        "train: {patience: 2, select: snd}\n",
        "encoder: {lexical: tfidf}\n",
    ],
)
def test_what_is_sound_is_let_through(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(DATA + HEADS + text, encoding="utf-8")
    assert Recipe.load(path).name == "run"


def test_official_validation_rows_say_when_to_stop(tmp_path: Path) -> None:
    """Not for adapters of each domain's own, which are trained by themselves."""
    path = tmp_path / "recipe.yaml"
    split = DATA.replace("path: ", "split: split, path: ") + HEADS + "train: {patience: 2}\n"
    path.write_text(split, encoding="utf-8")
    assert Recipe.load(path).train.patience == 2
    found = problems(tmp_path, split + "tune: {kind: lora, per: domain}\n")
    assert [line.split(": ")[1] for line in found] == ["train.patience"]


def test_rules_are_told_beside_mistakes_of_other_sections(tmp_path: Path) -> None:
    found = problems(tmp_path, DATA + HEADS + "transfer: {target_labels: 0}\ntrain: {lr: fast}\n")
    assert [line.split(": ")[1] for line in found] == ["transfer.target_labels", "train.lr"]
