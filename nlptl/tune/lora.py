"""Low-rank adaptation: a frozen body with a small learned difference beside chosen matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nlptl.contracts import Tune
from nlptl.errors import ModelError

if TYPE_CHECKING:
    from peft import LoraConfig

    from nlptl.encoder.backbone import Backbone
    from nlptl.tune._bank import Bank
    from nlptl.tune._task_bank import TaskBank

Layer = Annotated[int, Field(ge=0)]


class Lora(Tune):
    """LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3): ``h = W₀x + (α / r) · B A x``, where only A and B learn.

    A is (rank, inputs), drawn from torch's global generator; B is (outputs, rank) and starts at zero, so that training
    starts from the pretrained body. With ``rslora`` the factor is α / √r (Kalajdzievski 2023, arXiv 2312.03732); with
    ``dora`` the sum is normed by rows and given learned magnitudes (Liu et al. 2024, arXiv 2402.09353, eq. 5).
    """

    kind: Literal["lora"] = "lora"
    rank: int = Field(8, gt=0, description="Rank r of the difference.")
    alpha: float | None = Field(
        None,
        gt=0,
        description="Scale α; none: 2 × rank, so that another rank needs no other lr (16 with rslora, its paper's).",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="On the input of A.")
    rslora: bool = Field(False, description="Divide α by √rank instead of rank: for high ranks.")
    dora: bool = Field(False, description="Learn the magnitude of each row apart: better at low ranks, slower.")
    targets: Literal["attention", "mlp", "all"] = Field(
        "attention", description="attention: query, key, value and output projections; mlp: the feed-forward matrices."
    )
    layers: Literal["all", "auto"] | Annotated[int, Field(gt=0)] | Annotated[tuple[Layer, ...], Field(min_length=1)] = (
        Field(
            "all", description="all, the number of top layers, a list of layers counted from 0 at the bottom, or auto."
        )
    )

    per: Literal["domain", "task"] | None = Field(
        None,
        description="domain: an adapter (and heads) for each target of its own, trained side by side; task: one for "
        "each task beside one that all share.",
    )
    together: int = Field(
        64, gt=0, description="With per: domain, so many adapters share memory and batches at a time."
    )

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone with its body wrapped by PEFT; the adapter is float32 whatever the body's precision.

        Raises:
            ModelError: the body's matrices are not laid out as in any family known here, it has no such layer, or it
                already has an adapter.
        """
        from nlptl.tune._adapter import add_adapter

        backbone.body = add_adapter(backbone.body, self._config(backbone))
        return backbone

    def stack(self, backbone: Backbone) -> Bank:
        """Room for ``together`` adapters in the body of ``backbone``, each row going through its own.

        Raises:
            ModelError: as ``apply`` does.
        """
        from nlptl.tune._bank import Bank

        return Bank(backbone.body, self._config(backbone), self.together + 1)

    def stack_tasks(self, backbone: Backbone, tasks: Sequence[str]) -> TaskBank:
        """An adapter that all ``tasks`` share in the body of ``backbone``, and one for each beside it.

        Raises:
            ModelError: as ``apply`` does.
        """
        from nlptl.tune._task_bank import TaskBank

        return TaskBank(backbone.body, self._config(backbone), tasks)

    def _config(self, backbone: Backbone) -> LoraConfig:
        from peft import LoraConfig, TaskType

        from nlptl.tune._targets import target_pattern

        assert self.layers != "auto", "resolved before it is applied"
        if hasattr(backbone.body, "peft_config"):  # PEFT would put the second adapter on top of the first
            raise ModelError("this encoder already has an adapter; load the encoder again to give it another.")
        return LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=self.rank,
            lora_alpha=self._alpha(),  # type: ignore[arg-type]  # annotated int, used as a factor
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            use_dora=self.dora,
            target_modules=target_pattern(backbone.body, self.targets, self.layers),
        )

    def _alpha(self) -> float:
        if self.alpha is not None:
            return self.alpha
        return 16 if self.rslora else 2 * self.rank
