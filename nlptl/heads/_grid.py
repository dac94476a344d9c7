"""What a solved head chooses from: prior precisions, scales of a prior mean, and where the search begins."""

from __future__ import annotations

import numpy as np

Point = tuple[int, int]
"""Places in ``PRECISIONS`` of the vectors' prior and the words'."""

PRECISIONS = tuple(float(precision) for precision in np.logspace(-4, 1, 11))
"""Prior precisions 1/τ² that are tried: on vectors of unit root-mean-square length, and on words' rows of norm 1."""

START: Point = (4, 2)
"""Where the search begins: 0.01 for vectors, 0.001 for words."""

INTERCEPT_PRECISION = 1e-6
"""Of the intercept's prior: flat for practical purposes, yet finite where a fold shows one class only."""

KNOWN_INTERCEPT_PRECISION = 10.0
"""The same where the prior mean knows an intercept: a handful of labels, as many of each, would place it at random."""

KNOWN_START: Point = (8, 2)
"""Where the search begins there: 1 for vectors."""

FEW = 100
"""Below so many rows, beside a prior mean that knows an intercept, only strong priors are tried: a few held-out rows
are separable by chance, and would ask for no prior at all."""

FEW_LEAST = 6
"""The least place in ``PRECISIONS`` that is tried there: 0.1."""

FEW_SCALES = (1.0, 2.0)
"""Of ``PRIOR_SCALES``, those that are tried there."""

PRIOR_SCALES = (0.0, 1.0, 2.0, 4.0)
"""Of a prior mean, where there is one: standard deviations in nats of the logits that it gives the rows that teach."""

SEARCH_TOLERANCE = 1e-6
"""In nats a row, of the solves that only rank precisions; the chosen one is solved to ``solve``'s own."""


def beside(point: Point, *, words: bool) -> list[Point]:
    """The points of the grid one step from ``point``: with words, one step in the strength of both priors together, or
    in that of the words' alone. Good pairs lie along a diagonal ridge, which steps in each alone would not climb."""
    vectors, word = point
    steps = [(-1, -1), (1, 1), (0, -1), (0, 1)] if words else [(-1, 0), (1, 0)]
    near = [(vectors + up, word + across) for up, across in steps]
    return [each for each in near if all(0 <= place < len(PRECISIONS) for place in each)]
