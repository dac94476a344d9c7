import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from nlptl.report.card import CardFacts, is_card, write_card
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


def test_one_of_several_models_tells_what_it_answered(results: Results, tmp_path: Path) -> None:
    card = write_card(tmp_path, results, replace(FACTS, scored=("ann",)))
    text = card.read_text()
    assert {result.dataset_name for result in ModelCard.load(card).data.eval_results} == {"ann"}
    assert "script" not in text and "mean of domains" not in text and "- ann (spam): +" in text
    assert ": use " not in text  # where another model lost to a baseline
    card = write_card(tmp_path, results, replace(FACTS, scored=("zed",)))  # none of whose rows had a label
    assert "nothing could be scored" in card.read_text() and ModelCard.load(card).data.eval_results is None
    card = write_card(tmp_path, results, replace(FACTS, scored=()))
    assert "It was not scored: " in card.read_text() and ModelCard.load(card).data.eval_results is None
    assert "For whom" not in card.read_text() and "ann (spam)" not in card.read_text()


def test_a_card_of_ours_is_known(results: Results, tmp_path: Path) -> None:
    card = write_card(tmp_path, results, FACTS)
    assert is_card(card) and not is_card(tmp_path / "absent.md")
    for text in ("", "# nlptl\n---\n- nlptl\n", "---\ntags:\n- nlp\n---\n- nlptl\n", "---\n- nlptl\n"):
        card.write_text(text)
        assert not is_card(card)
