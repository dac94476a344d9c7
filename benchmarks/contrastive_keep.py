"""Do held-out rows know whether the contrastive rung helps? Draws and scored rows that no other benchmark uses.

Eight labels a class teach, seeds 100 on; scored are 500 rows of the pool that `few_shot.py` draws from, never those
that it scores. For each draw: the accuracy of the solved head and of the contrastive rung kept always, and whether the
loss of held-out rows would have kept it.

    python benchmarks/contrastive_keep.py DATA_FOLDER [draws] [sets, such as subj,sst2_sentences]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from _sets import DESCRIPTIONS, load
from few_shot import PER_CLASS, SolvedRung, encoder, lesson, side_by_side

from nlptl.encoder.store import encode
from nlptl.fitting.contrast import learn
from nlptl.heads._reading import CHOICES, parts

FIRST, SCORED = 100, 500


def main(folder: str, draws: str = "5", sets: str = ",".join(DESCRIPTIONS)) -> None:
    """A line a draw, and the mean gain of each set."""
    for name in sets.split(","):
        data = load(name, Path(folder))
        gains = []
        for seed in range(FIRST, FIRST + int(draws)):
            teach = data.draw(seed, PER_CLASS)
            rows = np.setdiff1d(data.unlabelled[:SCORED], teach)
            texts, classes = list(data.texts[rows]), data.classes[rows]
            rung = SolvedRung.of(data, teach, seed, None)
            frozen = encode(encoder(), texts, readings=parts(CHOICES["auto"]), store=None)
            below = rung.head.logits(side_by_side(frozen, rung.head.reading))
            found = learn(lesson(data, teach, seed, rung, keep="always"))
            assert found.backbone is not None
            vectors = encode(found.backbone, texts, readings=("last",), store=None)["last"]
            above = found.heads["label"].logits(vectors)
            solved, contrastive = (
                float((rung.task.probabilities(logits).argmax(1) == classes).mean()) for logits in (below, above)
            )
            gains.append(100 * (contrastive - solved))
            said = {"set": name, "seed": seed, "solved": solved, "contrastive": contrastive}
            print(json.dumps(said | {"would be kept": found.tried[-1]["won"]}), flush=True)
        print(f"{name}: mean gain {np.mean(gains):+.1f} points over {len(gains)} draws", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
