# %% [markdown]
# # A trained model without nlptl
# The adapter is a plain PEFT folder. Plain `peft` on plain `transformers` gives the same hidden states; pooling and
# head are a few lines.

# %%
import json

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

import nlptl

recipe = nlptl.Recipe(
    name="plain-peft",
    data=nlptl.data.Mailboxes(mails=60),
    transfer={"target": ["ada"], "target_labels": 0},
    encoder={"pool": "last", "max_length": 32, "precision": "float32"},
    tune=nlptl.tune.Lora(rank=4),
    heads={"spam": nlptl.heads.Linear(column="label", labels=("ham", "spam"))},
    train={"max_steps": 4, "precision": "float32"},
)
run = nlptl.fit(recipe)
folder, texts = run.save("runs/plain-peft-model"), ["You have won a cruise", "Minutes of Monday's meeting"]

# %% Adapter, mean over tokens, head.
base = run.model().network.backbone.located.path
tokens = AutoTokenizer.from_pretrained(base)(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
body = PeftModel.from_pretrained(AutoModel.from_pretrained(base, dtype="float32"), folder / "adapter").eval()
head = load_file(folder / "heads.safetensors")
with torch.no_grad():
    hidden = body(**tokens).last_hidden_state
    mask = tokens["attention_mask"][:, :, None]
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    logits = pooled @ head["heads/spam.net.weight"].T + head["heads/spam.net.bias"]

# %% The same probabilities.
labels = json.loads((folder / "model.json").read_text())["tasks"]["spam"]["labels"]
plain = torch.sigmoid(logits[:, 0]).double()
ours = torch.tensor(nlptl.load(folder).predict(texts)[f"spam.{labels[1]}"].to_numpy())
assert torch.allclose(plain, ours, atol=1e-5), (plain, ours)
