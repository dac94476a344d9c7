"""The pretrained body with its tokenizer: tokens → named readings of its layers."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nlptl.contracts import Rate
from nlptl.encoder._dropout import put_in
from nlptl.encoder._inherited import Inherited
from nlptl.encoder._kernels import attention
from nlptl.encoder._loading import check_fit, described, load_body, positions_of, weights_hash
from nlptl.encoder._lower import frozen_modules, resumed
from nlptl.encoder._packed import packs, run_packed
from nlptl.encoder.locate import Located, locate
from nlptl.encoder.pool import first_pool, max_pool, mean_of_layers, mean_of_owners, mean_pool
from nlptl.encoder.sentence_settings import read_settings
from nlptl.encoder.tokens import TokenBatch, affixes, tokens_at_once
from nlptl.recipe import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Backbone(nn.Module):
    """A BERT-family encoder without heads. Readings are raw pooled vectors, not normalised.

    ``body`` is a transformers model, or a PEFT model around one.
    """

    def __init__(
        self, body: nn.Module, tokenizer: PreTrainedTokenizerBase, settings: Encoder, located: Located, pooling: str,
        prompt: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.body, self.tokenizer, self.settings, self.located = body, tokenizer, settings, located
        self.pooling, self.prompt = pooling, prompt
        self.rates: dict[str, Rate] = {}
        """The pretrained weights of ``body`` that learn, by name, and how."""
        self.inherited: Inherited | None = None
        config: Any = body.config
        self.width, self.depth = int(config.hidden_size), int(config.num_hidden_layers)
        self._affixes = affixes(tokenizer)
        self.positions = positions_of(body)
        self.base_identity = weights_hash(body, tokenizer.get_vocab())
        self._computes = described(body, tokenizer)

    @classmethod
    def load(cls, settings: Encoder, *, device: torch.device | str = "cpu") -> Backbone:
        """The encoder that ``settings`` names, in float32, ready to encode.

        Raises:
            ModelError: it is not there, cannot be read, or does not fit its tokenizer or ``max_length``.
        """
        located = locate(settings.model, settings.revision)
        body, tokenizer = load_body(located, settings.revision)
        put_in(body)
        check_fit(body, tokenizer, settings)
        pooling, prompt = read_settings(located, settings.revision, prompt=settings.prompt)
        backbone = cls(body, tokenizer, settings, located, pooling, prompt)
        return backbone.eval().to(device)

    def inherit(self, inherited: Inherited) -> Backbone:
        """The same backbone, with what earlier runs learned in the place of its own weights; before anything learns."""
        inherited.put_into(self.body)
        self.inherited, self.base_identity = inherited, weights_hash(self.body, self.tokenizer.get_vocab())
        return self

    @property
    def base_name(self) -> str:
        """What an adapter of this body belongs on; where that is no encoder by itself, no name that PEFT would take."""
        return self.located.name if self.inherited is None else f"{self.located.name} with inherited.safetensors"

    @property
    def dtype(self) -> torch.dtype:
        """Of the pretrained weights."""
        return next(parameter.dtype for name, parameter in self.body.named_parameters() if not _of_adapter(name))

    @property
    def tuned_size(self) -> int:
        """Parameters that learn or have learned: an adapter's, and pretrained ones with a rate."""
        named = self.body.named_parameters()
        return sum(parameter.numel() for name, parameter in named if _of_adapter(name) or name in self.rates)

    @property
    def batch_tokens(self) -> int:
        """Tokens that go through it at once where nothing learns, padding included."""
        return tokens_at_once(self.settings.batch_tokens, next(self.parameters()).device)

    @property
    def room(self) -> int:
        """Tokens of content that fit beside the special ones."""
        before, after = self._affixes
        return self.settings.max_length - len(before) - len(after)

    def wrap(self, content: list[int]) -> list[int]:
        """Content ids with the tokenizer's special tokens around them."""
        before, after = self._affixes
        return [*before, *content, *after]

    def freeze(self, precision: str) -> Backbone:
        """Cast the pretrained weights to ``precision``; an adapter's stay float32, and where pretrained weights learn,
        all do. Only what learns keeps gradients."""
        for name, parameter in self.body.named_parameters():
            if _of_adapter(name):
                continue
            parameter.requires_grad_(name in self.rates)
            parameter.data = parameter.data.to(torch.float32 if self.rates else getattr(torch, precision))
        return self

    def switch_off_dropout(self) -> Backbone:
        """Without dropout inside the encoder, in training too; an adapter's own stays."""
        for name, module in self.body.named_modules():
            if isinstance(module, nn.Dropout) and not _of_adapter(f".{name}"):
                module.p = 0.0
            elif isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = 0.0  # of families that keep a number
        return self

    def identity(self) -> str:
        """Hash of all that makes a text's vectors: weights (an adapter's, its scale, and those that learned, included),
        the configuration, tokenizer, prompt, pooling. It keys the store; saved models compare ``base_identity``, which
        no new version of a library changes.
        """
        adapter = hashlib.sha256()
        for name, parameter in sorted(self.body.named_parameters()):
            if _of_adapter(name) or name in self.rates:
                adapter.update(name.encode() + parameter.detach().float().cpu().numpy().tobytes())
        weights = [self.base_identity, adapter.hexdigest(), _adapter_state(self.body)]
        described = [*weights, self._computes, self.prompt, self.pooling]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

    def forward(self, batch: TokenBatch, readings: Sequence[str]) -> dict[str, Tensor]:
        """Named readings, each (rows, width) float32.

        ``last``: the last layer, pooled as the checkpoint says; ``cls``: its first token; ``layers``: the mean over
        the embeddings' output and all layers, pooled likewise; ``layer.N``: one of them (0: the embeddings' output).
        Of a text in several sequences, their mean weighted by tokens.
        """
        output = self._run(batch, output_hidden_states=any(reading.startswith("layer") for reading in readings))
        weights = batch.attention_mask.sum(1)

        def pooled(hidden: Tensor) -> Tensor:
            return self.pool(hidden, batch.attention_mask)

        def layer(place: int) -> Tensor:
            kept = None if batch.lower is None or place >= batch.lower.layers else batch.lower.pooled
            return pooled(output.hidden_states[place]) if kept is None else kept[place]

        found = {}
        for reading in readings:
            if reading == "last":
                vectors = pooled(output.last_hidden_state)
            elif reading == "cls":
                vectors = first_pool(output.last_hidden_state)
            elif reading == "layers":
                vectors = mean_of_layers([layer(place) for place in range(len(output.hidden_states))])
            else:
                vectors = layer(int(reading.removeprefix("layer.")))
            alone = len(batch.owners) == batch.rows
            found[reading] = vectors if alone else mean_of_owners(vectors, weights, batch.owners, batch.rows)
        return found

    def train(self, mode: bool = True) -> Backbone:
        """As every module, but that layers below the lowest one that learns stay without dropout: nothing there could
        gain by it, and what they say of a text is then the same in every epoch."""
        super().train(mode)
        for module in frozen_modules(self.body) if mode else ():
            module.eval()
        return self

    def token_vectors(self, batch: TokenBatch) -> Tensor:
        """(sequences, tokens, width): the last layer, padding's vectors included."""
        vectors: Tensor = self._run(batch, output_hidden_states=False).last_hidden_state
        return vectors

    def _run(self, batch: TokenBatch, *, output_hidden_states: bool) -> Any:
        with attention(self.training, batch.input_ids.device):
            if packs(self.body, batch):
                return run_packed(self.body, batch, output_hidden_states=output_hidden_states)
            with resumed(self.body, batch.lower):
                return self.body(**batch.given(), output_hidden_states=output_hidden_states)

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(sequences, tokens, width), (sequences, tokens) → (sequences, width) float32, as the checkpoint pools."""
        if self.pooling == "cls":
            return first_pool(hidden)
        return max_pool(hidden, mask) if self.pooling == "max" else mean_pool(hidden, mask)


def resolve_precision(asked: str, device: torch.device | str) -> str:
    """``auto`` → bfloat16 where ``device`` multiplies it faster than float32, else float32."""
    if asked != "auto":
        return asked
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    faster = torch.device(device).type == "cpu" and _fast_bfloat16()
    return "bfloat16" if faster else "float32"


def _fast_bfloat16() -> bool:
    """With AMX tiles, or with AVX-512 BF16 on AMD's processors. Intel's that have the latter and no AMX, which virtual
    machines may hide, multiply at about half the rate of float32 there (benchmarks/results/README.md)."""
    if torch.cpu._is_amx_tile_supported():
        return True
    about = Path("/proc/cpuinfo")
    maker = about.read_text(encoding="utf-8") if about.is_file() else platform.processor()
    return torch.cpu._is_avx512_bf16_supported() and "AuthenticAMD" in maker


def _of_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter that PEFT added."""
    return ".lora_" in name


def _adapter_state(body: nn.Module) -> list[Any]:
    """Which adapters are on and how much they weigh, by layer: their tensors do not say."""
    if not hasattr(body, "peft_config"):
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [
        [name, layer.active_adapters, layer.disable_adapters, layer.merged_adapters, getattr(layer, "scaling", None)]
        for name, layer in body.named_modules()
        if isinstance(layer, BaseTunerLayer)
    ]
