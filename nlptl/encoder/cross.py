"""A cross-encoder: text and hypothesis → logits of what the one says of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlptl.contracts import Floats
from nlptl.encoder._loading import positions_of, quiet, weights_hash
from nlptl.encoder.backbone import resolve_precision
from nlptl.encoder.locate import locate
from nlptl.encoder.tokens import Tokens, token_batches, tokens_at_once
from nlptl.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GROUP = 256
"""Texts that are tokenised, sorted by length and read together."""


class CrossEncoder:
    """A sequence classifier over pairs, frozen. ``outputs``: what its logits are called, in their order."""

    def __init__(self, body: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, name: str, max_length: int) -> None:
        config: Any = body.config
        self.body, self.tokenizer, self.name, self.max_length = body, tokenizer, name, max_length
        self.outputs = tuple(str(config.id2label[place]) for place in range(config.num_labels))
        positions = positions_of(body)
        if positions is not None and max_length > positions:
            raise ModelError(f"max_length is {max_length} and {name!r} has {positions} positions; lower it to that.")
        self.identity = weights_hash(body, [tokenizer.get_vocab(), self.outputs])

    @classmethod
    def load(cls, model: str, revision: str | None, *, max_length: int, precision: str, device: str) -> CrossEncoder:
        """The one that ``model`` names, a hub name or a folder; none of its code is run, no pickle read.

        Raises:
            ModelError: it is not there, cannot be read, or lacks weights.
        """
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        located = locate(model, revision)
        where: dict[str, Any] = {"revision": revision, "local_files_only": located.local, "trust_remote_code": False}
        try:
            with quiet():
                tokenizer = AutoTokenizer.from_pretrained(located.path, **where)
                body, info = AutoModelForSequenceClassification.from_pretrained(
                    located.path, dtype="float32", use_safetensors=True, output_loading_info=True, **where
                )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"the cross-encoder {model!r} could not be loaded ({str(error).splitlines()[0]}); check its name."
            ) from error
        if info["missing_keys"]:  # transformers would go on with random numbers in their place
            raise ModelError(
                f"{model!r} lacks weights of a sequence classifier, such as {sorted(info['missing_keys'])[0]!r}; name "
                "a model that was trained on natural language inference."
            )
        made = cls(body.eval().requires_grad_(False), tokenizer, located.name, max_length)
        body.to(device=device, dtype=getattr(torch, resolve_precision(precision, device)))
        return made

    @property
    def precision(self) -> str:
        """Of the weights."""
        return str(next(self.body.parameters()).dtype).removeprefix("torch.")

    def logits(self, texts: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        """(texts, hypotheses, outputs) float32; all hypotheses of a text are in one batch. Where a pair is too long it
        is the text that is cut, at its end.

        Raises:
            ModelError: a hypothesis leaves no room for a text.
        """
        found = np.empty((len(texts), len(hypotheses), len(self.outputs)), dtype=np.float32)
        device = next(self.body.parameters()).device
        for start in range(0, len(texts), GROUP):
            here = texts[start : start + GROUP]
            tokens = self._tokens(here, hypotheses)
            for rows in token_batches(tokens.row_lengths, tokens_at_once(None, device)):
                found[start + rows] = self._forward(tokens, rows).reshape(len(rows), len(hypotheses), -1)
        return found

    def _forward(self, tokens: Tokens, rows: np.ndarray[Any, Any]) -> Floats:
        batch = tokens.batch(rows, next(self.body.parameters()).device)
        types = {} if batch.token_type_ids is None else {"token_type_ids": batch.token_type_ids}
        with torch.no_grad():
            output = self.body(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **types)
        return np.asarray(output.logits.float().cpu().numpy())

    def _tokens(self, texts: Sequence[str], hypotheses: Sequence[str]) -> Tokens:
        """One row a text, with a sequence for each hypothesis."""
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True)
        for hypothesis in hypotheses:
            if len(self.tokenizer(hypothesis, add_special_tokens=False)["input_ids"]) >= room:
                raise ModelError(f"the hypothesis {hypothesis!r} leaves no room for a text; raise max_length.")
        typed = "token_type_ids" in self.tokenizer.model_input_names
        pairs = [(text, hypothesis) for text in texts for hypothesis in hypotheses]
        encoded = self.tokenizer(
            [text for text, _ in pairs], [hypothesis for _, hypothesis in pairs], truncation="only_first",
            max_length=self.max_length, return_attention_mask=False, return_token_type_ids=typed,
        )  # fmt: skip
        ids = encoded["input_ids"]
        return Tokens(
            ids=np.fromiter((i for each in ids for i in each), dtype=np.int32),
            types=np.fromiter((t for each in encoded["token_type_ids"] for t in each), dtype=np.int8)
            if typed
            else None,
            offsets=np.concatenate([[0], np.cumsum([len(each) for each in ids], dtype=np.int64)]),
            starts=np.arange(len(texts) + 1, dtype=np.int64) * len(hypotheses),
            truncated=0.0,
            unknown=0.0,
            pad=self.tokenizer.pad_token_id or 0,
            positions=positions_of(self.body),
        )
