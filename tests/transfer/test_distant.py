"""Distant targets: the chain by hand-sized numbers, and a made chain of domains that direct transfer cannot cross."""

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.transfer.distant import along, chain, distances, surest


def test_distances_are_of_means_in_units_of_the_spread_within() -> None:
    found = distances([np.array([[0.0, 1], [0, -1]]), np.array([[3.0, 5], [3, 3]])])  # means (0, 0) and (3, 4); s = 1
    np.testing.assert_allclose(found, [[0, 5], [5, 0]])


def test_the_chain_has_the_shortest_longest_step() -> None:
    places = np.array([0.0, 10, 4, 7])  # on a line: 0 → 2 → 3 → 1
    assert chain(np.abs(places[:, None] - places), 0, 1) == (0, 2, 3, 1)
    triangle = np.array([[0.0, 2, 2], [2, 0, 2], [2, 2, 0]])
    assert chain(triangle, 0, 2) == (0, 2)  # no step is shorter for a detour


def test_the_surest_of_each_label_are_kept() -> None:
    scores = np.array([[3.0, 0], [1, 0], [0, 1], [0, 2], [0, 5]])
    rows, answers = surest(scores, 0.5)
    assert (rows.tolist(), answers.tolist()) == ([0, 3, 4], [0, 1, 1])


def turning(domains: int = 10, rows: int = 200, degrees: float = 150.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two classes that turn about the middle from domain to domain, which also moves along an axis of its own."""
    rng = np.random.default_rng(0)
    made = []
    for step in range(domains):
        angle = np.deg2rad(degrees) * step / (domains - 1)
        classes = np.arange(rows) % 2
        middle = 3 * (2 * classes - 1)[:, None] * [np.cos(angle), np.sin(angle)]
        vectors = np.column_stack(
            [middle + rng.normal(size=(rows, 2)), np.full(rows, 2.0 * step) + rng.normal(size=rows)]
        )
        made.append((vectors, classes))
    return made


def teach(vectors: Floats, labels: Ints):
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression().fit(vectors, labels)

    def scores(of: Floats) -> Floats:
        return np.log(head.predict_proba(of).clip(1e-12))

    return scores


def test_the_chain_reaches_what_direct_transfer_does_not() -> None:
    made = turning()
    order = np.random.default_rng(1).permutation(np.arange(1, 9))
    shuffled = [made[0], made[9], *(made[place] for place in order)]
    way = chain(distances([vectors for vectors, _ in shuffled]), 0, 1)
    assert [0, *(int(order[place - 2]) for place in way[1:-1]), 9] == list(range(10))
    target, truth = made[9]
    direct = (teach(*made[0])(target).argmax(1) == truth).mean()
    vectors, labels = along(made[0], [shuffled[place][0] for place in way[1:]], teach)
    reached = (teach(vectors, labels)(target).argmax(1) == truth).mean()
    assert direct < 0.6
    assert reached > 0.85


def test_a_label_that_is_lost_on_the_way_stops_it() -> None:
    source = np.array([[-1.0, 0], [1, 0]] * 5), np.array([0, 1] * 5)

    def always_first(vectors: Floats, labels: Ints):
        return lambda of: np.tile([1.0, 0.0], (len(of), 1))

    vectors, labels = along(source, [np.ones((4, 2))], always_first)
    assert vectors is source[0] and labels is source[1]
