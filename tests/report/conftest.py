import json
from pathlib import Path

import pytest
from made_predictions import EVIL, SPAM, TAGS, TOPIC, predictions, scored

from nlptl.evaluate.summary import summarise
from nlptl.recipe import Evaluate
from nlptl.report.results import Results, assemble


@pytest.fixture(scope="session")
def results() -> Results:
    """Three tasks; on spam the model wins for ann and loses for the domain with the evil name."""
    good = scored(SPAM, domains={"ann": 200}, skills={"model": 0.97, "majority": 0.1, "tfidf": 0.5, "probe": 0.6})
    poor = scored(
        SPAM, domains={EVIL: 200}, draw=1, skills={"model": 0.5, "majority": 0.1, "tfidf": 0.97, "probe": 0.5}
    )
    tags = scored(TAGS, domains={"ann": 40})
    made = predictions(good, poor, scored(TOPIC, domains={"ann": 60}), tags, tasks=(SPAM, TOPIC, TAGS))
    settings = Evaluate(metrics=("accuracy", "auc", "recall_at_loss"), bootstrap=100)
    return assemble(
        recipe={"name": "made", "seed": 0}, seed=0, tasks=summarise(made, [SPAM, TOPIC, TAGS], settings, seed=0),
        seconds={"data": 0.1, "total": 3.25}, params={"trainable": 1234, "total": 22_000_000}, peak_rss_mb=812.4,
        leaks={"exact": 3, "near": 2, "dropped": 5}, rejected=1,
        encoder={"truncated": 0.25, "unknown": float("nan")},
        chosen=[{"seed": 0, "turn": "all", "task": "spam", "reading": "layers", "loss": 0.123456}],
        multitask={
            "solo": {"spam": {"accuracy": -0.02, "ci95": [-0.03, -0.01], "p_holm": 0.012, "worse": True, "solo": 0.91}},
            "conflicts": {"tasks": ["spam", EVIL], "measured": 5, "cosines": [[1.0, -0.25], [-0.25, 1.0]]},
        },
        gate=[
            {"seed": 0, "task": "spam", "domain": EVIL, "shipped": "label_shift", "trials": [
                {"candidate": "label_shift", "incumbent": "solved", "rows": 613, "only_candidate": 14,
                 "only_incumbent": 1, "own_candidate": 2, "own_incumbent": 0, "ahead": 3, "behind": 1,
                 "p": 0.001, "p_holm": 0.0039, "promoted": True},
            ]},
            {"seed": 0, "task": "spam", "domain": "ann", "shipped": "solved", "trials": []},
        ],
        matrix={"ann": {"bob": 0.9, EVIL: None}, "bob": {"ann": 0.7}},
    )  # fmt: skip


@pytest.fixture
def run_folder(results: Results, tmp_path: Path) -> Path:
    """A run folder with every file that the page reads."""
    folder = tmp_path / "run"
    folder.mkdir()
    results.save(folder / "results.json")
    steps = [{"step": s, "epoch": 0, "loss": 1 / s, "lr": 1e-3, "seed": 0, "turn": EVIL} for s in range(1, 1200)]
    steps[-1]["validation_loss"] = 0.4
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    rejection = {"file": "mail.csv", "line": 7, "reason": "no text", "excerpt": EVIL}
    (folder / "rejected.jsonl").write_text(json.dumps(rejection) + "\n")
    (folder / "lock.json").write_text(
        json.dumps({"versions": {"torch": "2.13.0"}, "seed": 0, "command": ["nlptl", EVIL]})
    )
    (folder / "recipe.yaml").write_text(f"name: made\n# {EVIL}\n")
    return folder
