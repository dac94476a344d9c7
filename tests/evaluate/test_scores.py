import numpy as np
import pytest
from made_predictions import SPAM, TAGS, TOPIC, noisy
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from nlptl.evaluate import _scores
from nlptl.evaluate.scorers import scorers


@pytest.fixture(params=[0, 1, 2], ids=lambda seed: f"seed{seed}")
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


def resamples(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Every row once, then three draws with replacement."""
    drawn = [np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(3)]
    return np.stack([np.ones(rows), *drawn]).astype(float)


def rows_of(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts.astype(int))


@pytest.mark.parametrize("positive", [1, 0, None])
def test_binary_scores_are_those_of_scikit_learn_on_every_resample_with_ties(rng, positive) -> None:
    labels = rng.integers(2, size=60)
    spam = np.round(rng.random(60) * 0.6 + labels * 0.3, 1)  # one decimal: many ties
    probabilities, weights = np.stack([1 - spam, spam], axis=1), resamples(60, rng)
    ours = {
        "accuracy": _scores.accuracy(probabilities, labels, weights),
        "f1": _scores.f1(probabilities, labels, weights, positive=positive),
        "auc": _scores.auc(probabilities, labels, weights, positive=positive),
    }
    for place, counts in enumerate(weights):
        truth, scores = labels[rows_of(counts)], probabilities[rows_of(counts)]
        answers = scores.argmax(axis=1)
        one = 1 if positive is None else positive
        f1 = f1_score(truth, answers, average="macro") if positive is None else f1_score(truth, answers, pos_label=one)
        assert ours["accuracy"][place] == pytest.approx(accuracy_score(truth, answers))
        assert ours["f1"][place] == pytest.approx(f1)
        assert ours["auc"][place] == pytest.approx(roc_auc_score(truth == one, scores[:, one]))


def test_multiclass_scores_are_those_of_scikit_learn(rng) -> None:
    labels = np.concatenate([[0, 1, 2], rng.integers(3, size=57)])
    probabilities, every_row = noisy(labels, TOPIC, 0.6, rng), np.ones((1, 60))
    answers = probabilities.argmax(axis=1)
    assert _scores.accuracy(probabilities, labels, every_row) == pytest.approx(accuracy_score(labels, answers))
    macro = f1_score(labels, answers, average="macro")
    assert _scores.f1(probabilities, labels, every_row, positive=None) == pytest.approx(macro)
    one_vs_rest = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert _scores.auc(probabilities, labels, every_row, positive=None) == pytest.approx(one_vs_rest)


def test_multilabel_scores_are_those_of_scikit_learn(rng) -> None:
    labels = rng.integers(2, size=(50, 3)).astype(np.float32)
    probabilities, every_row = noisy(labels, TAGS, 0.8, rng), np.ones((1, 50))
    answers = (probabilities >= 0.5).astype(int)
    assert _scores.accuracy(probabilities, labels, every_row) == pytest.approx(accuracy_score(labels, answers))
    assert _scores.f1(probabilities, labels, every_row, positive=None) == pytest.approx(
        f1_score(labels, answers, average="macro")
    )
    assert _scores.auc(probabilities, labels, every_row, positive=None) == pytest.approx(
        roc_auc_score(labels, probabilities, average="macro")
    )


def test_macro_f1_passes_over_labels_that_are_neither_given_nor_predicted() -> None:
    labels, answers = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    ours = _scores.f1(np.eye(4)[answers], labels, np.ones((1, 4)), positive=None)
    assert ours == pytest.approx(f1_score(labels, answers, average="macro"))


def test_recall_at_loss_by_hand() -> None:
    # Ten ham at .0 … .9 and four spam: of ten ham one may be lost, the one at .9, so spam above .8 is caught.
    spam = np.array([*np.arange(10) / 10, 0.95, 0.85, 0.8, 0.1])
    labels = np.array([0] * 10 + [1] * 4)
    probabilities, every_row = np.stack([1 - spam, spam], axis=1), np.ones((1, 14))
    at = {
        loss: _scores.recall_at_loss(probabilities, labels, every_row, positive=1, max_loss=loss)[0]
        for loss in (0, 0.1, 0.2, 1)
    }
    assert at == {0: 0.25, 0.1: 0.5, 0.2: 0.75, 1: 1.0}  # at .8 ham and spam tie: both or none


def test_recall_at_loss_counts_weights_and_is_nan_without_either_side() -> None:
    spam = np.array([0.1, 0.9, 0.8, 0.95])
    labels, probabilities = np.array([0, 0, 1, 1]), np.stack([1 - spam, spam], axis=1)
    weights = np.array([[1.0, 1, 3, 1], [2, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0]])
    values = _scores.recall_at_loss(probabilities, labels, weights, positive=1, max_loss=0.01)
    np.testing.assert_allclose(values, [0.25, 1.0, np.nan, np.nan])


@pytest.mark.parametrize(("ham", "refused"), [(299, True), (300, False)])
def test_a_loss_that_too_few_rows_can_show_is_refused_with_the_number_needed(ham: int, refused: bool) -> None:
    labels = np.array([0] * ham + [1] * 50)
    (scorer,) = scorers(["recall_at_loss"], SPAM, max_loss=0.01)
    reason = scorer.why_not(labels)
    assert (reason is not None) == refused
    if refused:
        assert "at least 300 rows" in reason and "here are 299" in reason
    value = scorer(np.eye(2)[labels], labels, np.ones((2, len(labels))))
    np.testing.assert_array_equal(value, [np.nan] * 2 if refused else [1.0] * 2)


@pytest.mark.parametrize(
    ("metric", "labels", "reason"),
    [
        ("f1", [0, 0, 0], "no row is 'spam'"),
        ("auc", [0, 0, 0], "no row is 'spam'"),
        ("auc", [1, 1, 1], "every row is 'spam'"),
        ("recall_at_loss", [1, 1, 1], "every row is 'spam'"),
        ("accuracy", [0, 0, 0], None),
        ("f1", [1, 1, 1], None),
    ],
)
def test_what_one_class_alone_cannot_show_is_nan_with_a_reason(metric, labels, reason) -> None:
    (scorer,) = scorers([metric], SPAM, max_loss=0.01)
    labels = np.array(labels)
    assert scorer.why_not(labels) == reason
    value = scorer(np.eye(2)[[0, 1, 0]], labels, np.ones((1, 3)))
    assert np.isnan(value[0]) == (reason is not None)


def test_without_a_positive_label_recall_at_loss_says_where_to_name_one() -> None:
    (scorer,) = scorers(["recall_at_loss"], TOPIC, max_loss=0.5)
    assert scorer.why_not(np.array([0, 1, 2])) == "heads.topic.positive names no label to be caught"
    (auc,) = scorers(["auc"], TOPIC, max_loss=0.5)
    assert auc.why_not(np.array([2, 2])) == "all rows have the same labels"
    (of_tags,) = scorers(["auc"], TAGS, max_loss=0.5)
    assert of_tags.why_not(np.array([[1.0, 0, 1], [1, 0, 1]])) == "all rows have the same labels"
    assert of_tags.why_not(np.array([[1.0, 0, 1], [1, 0, 0]])) is None
