"""The labels of the nearest teaching rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nlptl.contracts import Floats, Head, Ints

if TYPE_CHECKING:
    import torch

    from nlptl.heads._evidence import ClosedForm, Evidence

SIZES = (1, 2, 3, 5, 8, 12, 20, 30)
"""Neighbourhoods that are tried where ``k`` is auto."""


class Knn(Head):
    """The k nearest teaching rows by cosine, which the model keeps; k is chosen on folds."""

    kind: Literal["knn"] = "knn"
    k: Literal["auto"] | Annotated[int, Field(gt=0)] = Field(
        "auto", description="Neighbours that answer; auto: chosen on folds."
    )

    @property
    def closed_form(self) -> bool:
        """Always."""
        return True

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A network that keeps no row yet."""
        import torch

        from nlptl.heads._nets import Neighbours

        nothing = torch.zeros(0, dtype=torch.int64)
        return Neighbours(torch.zeros(0, width), nothing, labels=max(2, outputs), k=1)

    def solve(self, evidence: Evidence) -> ClosedForm:
        """The reading and k with the lowest log loss of held-out rows, over all rows."""
        import torch

        from nlptl.heads._evidence import ClosedForm, log_loss, out_of_fold
        from nlptl.heads._nets import Neighbours

        classes, labels = evidence.encoded, len(evidence.task.labels)
        fewest = min(len(teach) for teach, _ in evidence.folds)
        sizes = [size for size in SIZES if size <= fewest] if self.k == "auto" else [min(self.k, fewest)]

        def net(vectors: Floats, of: Ints, k: int) -> Neighbours:
            return Neighbours(torch.as_tensor(vectors).float(), torch.as_tensor(of), labels, k)

        tried = []
        for reading, vectors in evidence.readings.items():
            for k in sizes:

                def scores_of(taught: Floats, of: Ints, held: Floats, k: int = k) -> Floats:
                    return net(taught, of, k)(torch.as_tensor(held).float()).double().numpy()  # type: ignore[no-any-return]

                logits, held = out_of_fold(evidence.folds, vectors, classes, scores_of)
                tried.append((log_loss(evidence.task.probabilities(logits), held), reading, k))
        loss, reading, k = min(tried)
        k = k if self.k == "auto" else min(self.k, len(classes))
        return ClosedForm(reading, net(evidence.readings[reading], classes, k), {"k": k, "loss": loss})
