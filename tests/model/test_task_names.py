"""Tasks are called what their owner calls them, also where torch has an attribute of that name."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_mail import mail
from safetensors.torch import load_file

import nlptl

TEXTS = ["win a cash prize", "the meeting is on monday"]


@pytest.mark.parametrize(
    "sections",
    [{}, {"tune": {"kind": "lora", "rank": 2}, "adapt": [{"kind": "dann"}], "train": {"max_steps": 2}}],
    ids=["frozen", "lora and dann"],
)
def test_tasks_may_be_called_what_torch_has_of_its_own(
    sections: dict[str, Any], tiny_encoder: Path, tmp_path: Path
) -> None:
    mail().rename(columns={"label": "type", "topic": "keys"}).to_parquet(tmp_path / "mail.parquet")
    recipe = nlptl.Recipe(
        data={"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user"},
        transfer={"target": "dee", "target_labels": 0, "hold_out": 0.5},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"type": {"kind": "linear"}, "keys": {"kind": "linear"}},
        evaluate={"bootstrap": 100},
        **sections,
    )
    run = nlptl.fit(recipe, out=tmp_path / "run")
    answers = run.predict(TEXTS)
    assert {"type", "type.spam", "keys", "keys.shop"} <= set(answers)
    pd.testing.assert_frame_equal(nlptl.load(tmp_path / "run").predict(TEXTS), answers, atol=1e-6)
    weights = load_file(tmp_path / "run" / "model" / "heads.safetensors")
    assert {name for name in weights if name.endswith(".weight")} == {"heads/type.net.weight", "heads/keys.net.weight"}
