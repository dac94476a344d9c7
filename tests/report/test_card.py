import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from nlptl.report.card import CardFacts, write_card
from nlptl.report.results import Results

FACTS = CardFacts("spam", "org/encoder", {"bob": 120, "c|d": 5}, {"ann": 30}, adapter=True, lexical=True)


def test_metadata_are_the_hubs(results: Results, tmp_path: Path) -> None:
    data = ModelCard.load(write_card(tmp_path, results, FACTS)).data
    assert (data.library_name, data.base_model) == ("peft", "org/encoder")
    assert data.pipeline_tag == "text-classification" and "nlptl" in data.tags
    given = {(r.task_name, r.dataset_name, r.metric_type): r.metric_value for r in data.eval_results}
    wanted = results["tasks"]["spam"]["domains"]["ann"]["metrics"]["accuracy"]
    assert given["spam", "ann", "accuracy"] == pytest.approx(wanted, abs=1e-4)
    assert ("spam", "ann", "recall_at_loss") not in given  # undefined there: no number is made up


def test_the_text_says_for_whom_it_is_good_and_for_whom_not(results: Results, tmp_path: Path) -> None:
    text = write_card(tmp_path, results, FACTS).read_text()
    good, poor = text.split("## For whom it is good")[1].split("## For whom it is not")
    assert "- ann (spam): +" in good and "script" not in good
    assert re.search(r"points of accuracy over tfidf \[.*\]: use tfidf there instead\.\n", poor)
    assert "script" in poor.split("## Limits")[0] and "<script>" not in text.split("\n---\n")[1]
    assert "| bob | 120 | 0 |" in text and "| ann | 0 | 30 |" in text and r"| c\|d | 5 | 0 |" in text
    assert "lexical.json" in text and "PeftModel" in text and "25.0 %" in text


def test_tables_are_whole(results: Results, tmp_path: Path) -> None:
    text = write_card(tmp_path, results, FACTS).read_text()
    lines = text.splitlines()
    tables = [i for i, line in enumerate(lines) if line.startswith("|---")]
    assert len(tables) == 1 + len(results["tasks"])
    for start in tables:
        columns = lines[start].count("|")
        row = start - 1
        while row < len(lines) and lines[row].startswith("|"):
            assert lines[row].replace(r"\|", "").count("|") == columns, lines[row]
            row += 1
        assert row > start + 1  # a table has rows


def test_what_is_not_there_is_not_told(results: Results, tmp_path: Path) -> None:
    card = write_card(tmp_path, results, CardFacts("spam", "org/encoder", {"bob": 1}))
    text = card.read_text()
    assert "lexical.json" not in text and "PeftModel" not in text
    data = ModelCard.load(card).data
    assert (data.library_name, data.license, data.language) == ("nlptl", None, None)  # what is not known is left open
