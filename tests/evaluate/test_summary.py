import json
from dataclasses import replace

import numpy as np
import pytest
from made_predictions import SPAM, TAGS, TOPIC, predictions, scored
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score

from nlptl.evaluate.compare import holm, mcnemar
from nlptl.evaluate.predictions import Scored
from nlptl.evaluate.summary import summarise
from nlptl.recipe import Evaluate

SETTINGS = Evaluate(metrics=("accuracy", "f1", "auc"), bootstrap=200)
WEAK = {"model": 0.5, "majority": 0.0, "tfidf": 0.95, "probe": 0.6}


def spam_summary(*parts, settings: Evaluate = SETTINGS):
    return summarise(predictions(*parts), [SPAM], settings, seed=0)["spam"]


def test_numbers_are_those_of_scikit_learn_and_overall_is_the_mean_over_domains() -> None:
    part = scored()
    summary = spam_summary(part)
    for name in ("ann", "bob"):
        rows = part.domains == name
        truth, p = part.labels[rows], part.probabilities["model"][rows]
        assert summary["domains"][name]["n"] == summary["domains"][name]["distinct"] == rows.sum()
        assert summary["domains"][name]["shipped"] == "lora"
        assert summary["domains"][name]["metrics"] == pytest.approx(
            {
                "accuracy": accuracy_score(truth, p.argmax(axis=1)),
                "f1": f1_score(truth, p.argmax(axis=1)),
                "auc": roc_auc_score(truth, p[:, 1]),
            }
        )
        assert summary["confusion"][name] == confusion_matrix(truth, p.argmax(axis=1)).tolist()
    of_domains = [summary["domains"][name]["metrics"]["accuracy"] for name in ("ann", "bob")]
    assert summary["overall"]["accuracy"] == pytest.approx(np.mean(of_domains))
    assert summary["pooled"]["accuracy"] == pytest.approx((part.probabilities["model"].argmax(1) == part.labels).mean())
    assert summary["overall"]["accuracy"] != summary["pooled"]["accuracy"]
    json.dumps(summary, allow_nan=False)


def test_every_number_lies_in_its_interval_and_baselines_stand_beside() -> None:
    summary = spam_summary(scored())
    assert list(summary["baselines"]) == ["majority", "tfidf", "probe"] and summary["rungs"] == {}
    for table in (summary, *summary["baselines"].values()):
        for metric in SETTINGS.metrics:
            low, high = table["overall_ci95"][metric]
            assert low <= table["overall"][metric] <= high
            for of_domain in table["domains"].values():
                low, high = of_domain["ci95"][metric]
                assert low <= of_domain["metrics"][metric] <= high and low < high


def test_gains_are_paired_tested_and_corrected_over_domains() -> None:
    part = scored(domains={"ann": 300, "bob": 300})
    summary = spam_summary(part)
    gains = summary["gains"]
    right = {system: values.argmax(axis=1) == part.labels for system, values in part.probabilities.items()}
    p_values = []
    for name in ("ann", "bob"):
        gain, rows = gains["domains"][name]["tfidf"], part.domains == name
        test = mcnemar(right["model"][rows], right["tfidf"][rows])
        assert (gain["p"], gain["only_model"], gain["only_baseline"]) == (test.p, test.only_a, test.only_b)
        assert gain["accuracy"] == pytest.approx(right["model"][rows].mean() - right["tfidf"][rows].mean())
        assert gain["ci95"][0] < gain["accuracy"] < gain["ci95"][1]
        p_values.append(gain["p"])
    assert [gains["domains"][name]["tfidf"]["p_holm"] for name in ("ann", "bob")] == holm(p_values)
    # Paired on the same rows, a gain is surer than the two accuracies that it is the difference of.
    own = summary["overall_ci95"]["accuracy"][1] - summary["overall_ci95"]["accuracy"][0]
    theirs = np.diff(summary["baselines"]["tfidf"]["overall_ci95"]["accuracy"])[0]
    low, high = gains["overall"]["tfidf"]["ci95"]
    assert 0 < low < high and high - low < own + theirs


def test_a_system_against_itself_gains_nothing() -> None:
    part = scored()
    part.probabilities["tfidf"] = part.probabilities["model"]
    gain = spam_summary(part)["gains"]["overall"]["tfidf"]
    low, high = gain.pop("ci95")
    assert gain == {"accuracy": 0, "p": 1, "only_model": 0, "only_baseline": 0}
    assert -0.05 < low < 0 < high < 0.05  # that no row tells them apart does not say that none would


def test_copies_of_one_text_are_one_text_worth_of_evidence() -> None:
    """Four hundred rows are eighty texts, each met five times, or as many texts: the scores are the same, and the
    intervals are about √5 times as wide, those of eighty rows."""
    part = scored(domains={"ann": 400}, skills={"model": 0.75, "majority": 0.1, "tfidf": 0.5, "probe": 0.4})
    first = np.arange(400) // 5 * 5
    part = replace(part, labels=part.labels[first], probabilities={n: p[first] for n, p in part.probabilities.items()})
    apart, copies = spam_summary(part), spam_summary(replace(part, copies=part.ids[first]))
    assert apart["overall"] == copies["overall"]
    assert (copies["domains"]["ann"]["n"], copies["domains"]["ann"]["distinct"]) == (400, 80)
    for metric in ("accuracy", "auc"):
        [narrow], [wide] = (np.diff(found["overall_ci95"][metric]) for found in (apart, copies))
        assert 1.7 < wide / narrow < 2.8
    gain = copies["gains"]["overall"]["tfidf"]
    assert gain["only_model"] * 5 == apart["gains"]["overall"]["tfidf"]["only_model"]
    assert gain["p"] > apart["gains"]["overall"]["tfidf"]["p"]


def test_few_rows_of_several_domains_are_few_rows_together() -> None:
    domains = {"ann": 4, "bob": 4}
    found = spam_summary(scored(domains=domains, skills={"model": 1.0, "majority": 0.0, "tfidf": 0.0, "probe": 0.0}))
    low, high = found["overall_ci95"]["accuracy"]
    assert (found["overall"]["accuracy"], high) == (1, 1) and 0.6 < low < 0.85  # Jeffreys on 8 of 8: .74
    assert found["overall_ci95"]["auc"] == [None, None] and found["overall"]["auc"] is not None


@pytest.mark.parametrize("repeated", [1, 40])
def test_a_label_of_few_texts_leaves_its_metrics_without_an_interval(repeated: int) -> None:
    """All rows are answered rightly: each draw that holds the one spam says that all is caught."""

    def caught(name: str) -> Scored:
        part = scored(domains={name: 200 + repeated})
        spam = np.arange(len(part.labels)) < repeated
        answers = np.where(spam[:, None], [0.1, 0.9], [0.9, 0.1])
        return replace(part, labels=spam.astype(np.int64), copies=np.where(spam, part.ids[0], part.ids),
                       probabilities=part.probabilities | {"model": answers})  # fmt: skip

    settings = Evaluate(metrics=("accuracy", "f1", "auc", "ece"), bootstrap=100)
    found = spam_summary(caught("ann"), settings=settings)
    for ends in (found["overall_ci95"], found["domains"]["ann"]["ci95"]):
        assert ends["f1"] == ends["auc"] == [None, None] and None not in (*ends["accuracy"], *ends["ece"])
    assert found["overall"]["f1"] == found["overall"]["auc"] == 1
    users = spam_summary(*map(caught, "abcdefghijklmnopqrst"), settings=settings)
    assert None not in users["overall_ci95"]["auc"]  # twenty users, of one spam each


def test_without_a_positive_label_the_most_even_one_counts() -> None:
    part = scored(TOPIC, domains={"ann": 100})
    for labels, told in (([0] * 70 + [1] * 25 + [2] * 5, True), ([0] * 90 + [1] * 5 + [2] * 5, False)):
        made = predictions(replace(part, labels=np.array(labels)), tasks=(TOPIC,))
        ends = summarise(made, [TOPIC], SETTINGS, seed=0)["topic"]["overall_ci95"]
        assert (None not in ends["f1"]) is told and None not in ends["accuracy"]


def test_the_better_of_tfidf_and_probe_is_chosen_domain_by_domain_and_losses_show() -> None:
    ann = scored(domains={"ann": 200}, skills=WEAK)
    bob = scored(domains={"bob": 200}, skills={"model": 0.95, "majority": 0.0, "tfidf": 0.2, "probe": 0.8}, draw=1)
    gains = spam_summary(ann, bob)["gains"]
    assert {name: of_domain["better"]["baseline"] for name, of_domain in gains["domains"].items()} == {
        "ann": "tfidf",
        "bob": "probe",
    }
    assert gains["domains"]["ann"]["better"]["ci95"][1] < 0 < gains["domains"]["bob"]["better"]["ci95"][0]
    mean = np.mean([gains["domains"][name]["better"]["accuracy"] for name in ("ann", "bob")])
    assert gains["overall"]["better"]["accuracy"] == pytest.approx(mean)


def test_what_a_domain_cannot_show_is_none_with_the_reason_and_the_mean_passes_over_it() -> None:
    part = scored(domains={"ann": 50, "bob": 60})
    part.labels[part.domains == "ann"] = 0
    settings = Evaluate(metrics=("auc", "f1", "recall_at_loss"), bootstrap=100)
    summary = spam_summary(part, settings=settings)
    ann, bob = summary["domains"]["ann"], summary["domains"]["bob"]
    assert ann["metrics"] == {"auc": None, "f1": None, "recall_at_loss": None}
    assert ann["ci95"]["auc"] == [None, None]
    assert ann["undefined"] == {name: "no row is 'spam'" for name in settings.metrics}
    assert bob["metrics"]["recall_at_loss"] is None and "at least 300 rows" in bob["undefined"]["recall_at_loss"]
    assert summary["overall"]["auc"] == bob["metrics"]["auc"] is not None
    assert summary["overall"]["recall_at_loss"] is None
    json.dumps(summary, allow_nan=False)


def test_several_seeds_give_means_seed_numbers_and_one_vote_a_row() -> None:
    parts = [scored(seed=seed, domains={"ann": 100, "bob": 80}) for seed in (3, 4, 5)]
    parts.append(scored(seed=4, domains={"cat": 60}, draw=1))  # a domain that only one seed drew
    summary = spam_summary(*parts)
    assert [block["seed"] for block in summary["seeds"]] == [3, 4, 5]
    for name, of_domain in summary["domains"].items():
        values = [block["domains"][name]["metrics"]["auc"] for block in summary["seeds"] if name in block["domains"]]
        assert of_domain["metrics"]["auc"] == pytest.approx(np.mean(values))
    assert summary["domains"]["ann"]["n"] == 300 and summary["domains"]["ann"]["distinct"] == 100
    assert "cat" in summary["domains"] and "cat" not in summary["seeds"][0]["domains"]
    gain = summary["gains"]["domains"]["ann"]["tfidf"]
    assert gain["only_model"] + gain["only_baseline"] <= 100
    assert set(summary["seeds"][1]["baselines"]) == {"majority", "tfidf", "probe"}


def test_the_bootstrap_follows_its_seed() -> None:
    made = predictions(scored())
    first, again, other = (summarise(made, [SPAM], SETTINGS, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first["spam"]["overall"] == other["spam"]["overall"]


def test_lower_rungs_are_told_from_baselines_and_multiclass_and_multilabel_tasks_stand_side_by_side() -> None:
    skills = {"linear": 0.7, "probe": 0.5, "model": 0.9}
    made = predictions(
        scored(TOPIC, skills=skills, domains={"ann": 60}), scored(TAGS, domains={"ann": 40}), tasks=(TOPIC, TAGS)
    )
    summary = summarise(made, [TOPIC, TAGS], SETTINGS, seed=0)
    assert list(summary["topic"]["rungs"]) == ["linear"] and list(summary["topic"]["baselines"]) == ["probe"]
    assert set(summary["topic"]["gains"]["overall"]) == {"probe", "linear", "better"}
    assert np.sum(summary["topic"]["confusion"]["ann"]) == 60
    assert {label: np.sum(table) for label, table in summary["tags"]["confusion"]["ann"].items()} == {
        "x": 40,
        "y": 40,
        "z": 40,
    }
    assert summary["tags"]["positive"] is None and summary["topic"]["labels"] == ["a", "b", "c"]


def test_accuracy_is_measured_for_the_gains_even_where_it_is_not_asked() -> None:
    summary = spam_summary(scored(), settings=Evaluate(metrics=("auc",), bootstrap=100))
    assert list(summary["overall"]) == ["auc"] and summary["gains"]["overall"]["tfidf"]["accuracy"] > 0
