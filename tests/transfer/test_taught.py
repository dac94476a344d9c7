from pathlib import Path

import numpy as np
import pytest

from nlptl.errors import DataError, ModelError
from nlptl.transfer.taught import FILE, hashes, load_taught, save_taught, scored_again


def test_a_text_is_known_again_by_its_words(tmp_path: Path) -> None:
    save_taught(tmp_path, hashes(["Win a prize!", "the report", "gas"], None))
    scored = hashes(["win  a PRIZE", "another", "gas.", "the report now"], None)
    assert scored_again(scored, load_taught(tmp_path), model="runs/b", keep=True) == 2
    with pytest.raises(DataError, match=r"2 of 4 scored rows taught the run .*\(runs/b\)"):
        scored_again(scored, load_taught(tmp_path), model="runs/b", keep=False)


def test_a_pair_is_another_text_than_its_halves() -> None:
    assert len(np.unique(np.r_[hashes(["a b"], ["c"]), hashes(["a"], ["b c"]), hashes(["a b c"], None)])) == 3


def test_what_is_not_known_is_said_and_what_is_damaged_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_taught(tmp_path) is None
    assert scored_again(hashes(["gas"], None), None, model="runs/b", keep=False) == 0
    assert "runs/b does not say which texts taught it" in caplog.text and "cannot be known" in caplog.text
    (tmp_path / FILE).write_bytes(b"x")
    with pytest.raises(ModelError, match="is damaged"):
        load_taught(tmp_path)
