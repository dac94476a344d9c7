"""The part of a checkpoint that guesses masked tokens, apart from its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from nlptl.encoder._loading import quiet
from nlptl.encoder.backbone import Backbone
from nlptl.errors import ModelError

if TYPE_CHECKING:
    from transformers.modeling_outputs import BaseModelOutput


class MaskedHead(nn.Module):
    """Vectors of tokens → logits over the vocabulary, by the checkpoint's own masked-LM head where it has one.

    ``fresh`` says that it has none (sentence encoders are published without), so that the head starts from random
    numbers; the matrix over the vocabulary is the embeddings' where the family ties them.
    """

    def __init__(self, model: nn.Module, *, fresh: bool) -> None:
        super().__init__()
        self.model, self.fresh = model, fresh

    def forward(self, vectors: Tensor) -> Tensor:
        """(tokens, width) → (tokens, vocabulary)."""
        logits: Tensor = self.model(inputs_embeds=vectors.float()[None]).logits[0]
        return logits


def masked_head(backbone: Backbone) -> MaskedHead:
    """The masked-LM head of the checkpoint that ``backbone`` was loaded from; what of it is fresh is drawn from torch's
    global generator.

    Raises:
        ModelError: the encoder's family has no such head, or its tokenizer no token for the mask.
    """
    from transformers import AutoModelForMaskedLM

    if backbone.tokenizer.mask_token_id is None:
        raise ModelError(f"the tokenizer of {backbone.located.name!r} has no mask token; drop adapt: tapt.")
    where: dict[str, Any] = {"revision": backbone.settings.revision, "local_files_only": backbone.located.local}
    try:
        with quiet():
            model, info = AutoModelForMaskedLM.from_pretrained(
                backbone.located.path, dtype="float32", use_safetensors=True, output_loading_info=True, **where
            )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{backbone.located.name!r} has no masked-LM head that transformers knows ({str(error).splitlines()[0]}); "
            "drop adapt: tapt."
        ) from error
    prefix = model.base_model_prefix
    setattr(model, prefix, _Passes(getattr(model, prefix)))
    head = MaskedHead(model, fresh=any(not name.startswith(prefix + ".") for name in info["missing_keys"]))
    if getattr(model.config, "tie_word_embeddings", True):
        body: Any = backbone.body
        model.set_output_embeddings(_Tied(body.get_input_embeddings(), model.get_output_embeddings().bias))
    return head.to(next(backbone.parameters()).device)


class _Tied(nn.Module):
    """Logits by the body's own embeddings; they stay the body's, and are not counted among the head's weights."""

    def __init__(self, embeddings: nn.Module, bias: nn.Parameter | None) -> None:
        super().__init__()
        self._embeddings, self.bias = [embeddings], bias

    def forward(self, vectors: Tensor) -> Tensor:
        weight: Any = self._embeddings[0].weight
        return nn.functional.linear(vectors, weight.float(), self.bias)


class _Passes(nn.Module):
    """Stands in a masked-LM model for its body: the vectors were made elsewhere."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        embeddings = getattr(body, "embeddings", None)  # which a newer DeBERTa's head looks at
        self.embeddings = embeddings.requires_grad_(False) if isinstance(embeddings, nn.Module) else None

    def forward(self, *_: Any, inputs_embeds: Any, **__: Any) -> BaseModelOutput:
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=inputs_embeds)
