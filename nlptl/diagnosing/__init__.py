"""Before training: which shifts there are between a recipe's sources and each target, and what to try against them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from textwrap import wrap

import numpy as np

from nlptl.diagnose.mmd import Mmd
from nlptl.diagnose.otdd import Otdd
from nlptl.diagnose.proxy_a import ProxyA
from nlptl.diagnose.shift import Shift
from nlptl.diagnosing.found import Found
from nlptl.diagnosing.look import Look, one_of_each, several
from nlptl.diagnosing.remedies import remedies
from nlptl.diagnosing.rows import diagnose_rows
from nlptl.diagnosing.senses import diagnose_senses
from nlptl.recipe import Recipe


class Findings(Found):
    """What was found for each target, by its name, and the ``remedies`` that its recipe accepts: YAML lines to
    ``paste``, and ``why``. Prints as a table. Plain values, ready for JSON."""

    columns = ("target", "covariate p", "label p", "concept p", "proxy A", "OTDD", "in words")

    def cells(self) -> Iterator[tuple[str, ...]]:
        """A row a target, with ``columns``."""
        for target, found in self._found.items():
            p = found["shift"]["p"]
            yield (
                target,
                *("cannot be known" if p[name] is None else f"{p[name]:.3f}" for name in p),
                f"{found['proxy_a']['score']:.2f}",
                f"{found['otdd']['score']:.2f}" if "score" in found["otdd"] else "–",
                found["shift"]["words"],
            )

    def notes(self) -> Iterator[str]:
        """What fits against each target's shifts, as lines of YAML with comments."""
        if any(remedy["paste"] for found in self._found.values() for remedy in found["remedies"]):
            yield "# What to try: one of these against a shift, its sections in the place of the recipe's own."
        for target, found in self._found.items():
            for remedy in found["remedies"]:
                said = f"{target}, against {remedy['against']} shift: {remedy['why']}."
                yield from wrap(said, 108, initial_indent="# ", subsequent_indent="#   ")
                yield from remedy["paste"].splitlines()

    def __repr__(self) -> str:
        return f"Findings({' '.join(found['shift']['words'] for found in self._found.values())})"


def diagnose(recipe: Recipe) -> Findings:
    """Measure the shifts between the sources and each target of ``recipe``, from vectors, without training anything.

    Labels of a target are read only where they would teach; scored rows never.

    Raises:
        RecipeError, DataError, ModelError: the recipe, its data or its encoder cannot be used.
    """
    look = Look.at(recipe)
    fair = recipe.transfer.target_labels == "all"
    found = {}
    for turn, target in look.targets():
        view = one_of_each(look.view(turn, target))
        [labels] = view.sides()[1].need("labels")
        several(len(labels), target)
        shown = len(set(labels[labels >= 0].tolist()))
        shift = Shift(seed=recipe.seed, fair_labels=fair).measure(view)
        [domain] = view.need("domain")
        sources = len(np.unique(domain[domain != target].astype(str)))
        found[target] = {
            "shift": shift,
            "remedies": [r.plain() for r in remedies(recipe, turn, target, shift["found"], sources=sources)],
            "proxy_a": ProxyA(seed=recipe.seed).measure(view),
            "mmd": Mmd(seed=recipe.seed).measure(view),
            "otdd": Otdd(seed=recipe.seed).measure(view)
            if shown > 1
            else {"skipped": "the target shows no two labels"},
        }
    return Findings(found)


LOOKS: Mapping[str, Callable[[Recipe], Found]] = {
    "shift": diagnose, "senses": diagnose_senses, "rows": diagnose_rows,
}  # fmt: skip
"""By what ``Recipe.diagnose`` is asked to look at."""
