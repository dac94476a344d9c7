"""The network that transformers' Trainer trains in these benchmarks: an encoder with a PEFT adapter, mean pooling and a
linear head, as ours has. It imports nothing of ours, so that its start-up is its own."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

TARGETS = r".*attention\.(self\.(query|key|value)|output\.dense)"


class Classifier(torch.nn.Module):
    """LoRA of rank 8 on the attention's matrices, of scale 16."""

    def __init__(self, body: Any, labels: int = 2) -> None:
        super().__init__()
        self.body = get_peft_model(body, LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS))
        self.head = torch.nn.Linear(body.config.hidden_size, labels)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> dict[str, Any]:
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        mask = attention_mask[:, :, None]
        logits = self.head((hidden * mask).sum(1) / mask.sum(1))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def rows_of(tokenizer: Any, texts: list[str], labels: Any, length: int = 128) -> list[dict[str, Any]]:
    """What Trainer reads: token ids of at most ``length``, and labels."""
    tokens = tokenizer(texts, truncation=True, max_length=length, return_token_type_ids=False)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
        for ids, mask, label in zip(tokens["input_ids"], tokens["attention_mask"], labels, strict=True)
    ]


def trainer(model: Classifier, tokenizer: Any, rows: list[dict[str, Any]], folder: str, **settings: Any) -> Trainer:
    """A Trainer at its defaults, but for ``settings``, on the card where there is one."""
    arguments = TrainingArguments(
        folder, learning_rate=1e-3, save_strategy="no", disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
        **settings,
    )  # fmt: skip
    return Trainer(model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer))
