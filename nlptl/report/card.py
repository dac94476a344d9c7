"""The model card: README.md of a model folder, with the Hub's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlptl.report.page import render
from nlptl.report.table import interval, task_table, tone

CARD = "README.md"
TAG = "nlptl"
"""Among the tags of every card that is written here."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells beyond the results.

    ``taught_by`` is how many labelled rows of each domain taught; ``adapter`` says whether the folder holds a PEFT
    adapter, ``lexical`` whether it holds words of the training texts; ``parents`` are the runs it goes on from;
    ``strange`` is what it flagged of the scored rows, as the results have it; ``scored`` are the domains whose scored
    rows it answered, None where it answered all.
    """

    name: str
    base_model: str
    taught_by: Mapping[str, int]
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    adapter: bool = False
    lexical: bool = False
    parents: Sequence[Mapping[str, Any]] = ()
    strange: Sequence[Mapping[str, Any]] = ()
    scored: Sequence[str] | None = None


def write_card(folder: Path, results: Mapping[str, Any], facts: CardFacts) -> Path:
    """Write ``README.md`` into a model folder: what it was trained on, for whom it is good, for whom not."""
    from huggingface_hub import ModelCardData

    tasks = {name: _answered(task, facts.scored) for name, task in results["tasks"].items()}
    data = ModelCardData(
        model_name=facts.name,
        base_model=facts.base_model,
        library_name="peft" if facts.adapter else "nlptl",
        pipeline_tag="text-classification",
        tags=[TAG, "text-classification", "transfer-learning", "domain-adaptation"],
        eval_results=list(_eval_results(tasks)) or None,
        ignore_metadata_errors=False,
    )
    path = folder / CARD
    text = render(
        "card.md.jinja",
        metadata=data.to_yaml(),
        facts=facts,
        tables=[task_table(name, task) for name, task in tasks.items()],
        good=[said for said, _ in _standing(tasks, "better")],
        poor=list(_standing(tasks, "worse")),
        level=[said for said, _ in _standing(tasks, "level")],
        results=results,
        line=_line,
    )
    path.write_text(text, encoding="utf-8")
    return path


def is_card(file: Path) -> bool:
    """Whether ``file`` is a card that ``write_card`` wrote: its metadata have our tag."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    before, _, rest = text.partition("---\n")
    metadata, closed, _ = rest.partition("\n---\n")
    return not before and bool(closed) and f"- {TAG}" in map(str.strip, metadata.splitlines())


def _answered(task: Mapping[str, Any], scored: Sequence[str] | None) -> Mapping[str, Any]:
    """``task`` of the results as if the domains ``scored`` were all: of several models each answers at most one of
    those, so that its numbers are the means."""
    if scored is None:
        return task
    domains = {name: facts for name, facts in task["domains"].items() if name in scored}
    gains = {name: task["gains"]["domains"][name] for name in domains}
    means: Mapping[str, Any] = next(iter(domains.values()), {"metrics": {}, "ci95": {}})
    return {
        **task, "domains": domains, "gains": {"overall": next(iter(gains.values()), {}), "domains": gains},
        "overall": means["metrics"], "overall_ci95": means["ci95"], "unmeasured": [], "answers": None,
    }  # fmt: skip


def _eval_results(tasks: Mapping[str, Any]) -> Iterator[Any]:
    """Each defined metric of each domain, for the card's ``model-index``."""
    from huggingface_hub import EvalResult

    for name, task in tasks.items():
        for domain, facts in task["domains"].items():
            for metric, value in facts["metrics"].items():
                if value is not None:
                    ends = interval(facts["ci95"][metric])
                    yield EvalResult(
                        task_type="text-classification", task_name=name, dataset_type="private", dataset_name=domain,
                        dataset_config=f"{name}/{domain}",  # the Hub tells results apart by this, not by names
                        metric_type=metric, metric_value=round(value, 4), metric_name=f"{metric} {ends}".strip(),
                    )  # fmt: skip


def _standing(tasks: Mapping[str, Any], wanted: str) -> Iterator[tuple[str, str]]:
    """Domains where the model stands so against the better of tfidf and probe, in words, and which that is."""
    for name, task in tasks.items():
        for domain, gains in task["gains"]["domains"].items():
            gain = gains.get("better")
            if gain and tone(gain) == wanted:
                size, ends = f"{100 * gain['accuracy']:+.1f}", interval(gain["ci95"], in_points=True)
                said = f"{_line(domain)} ({_line(name)}): {size} points of accuracy over {gain['baseline']} {ends}"
                yield said, gain["baseline"]


def _line(text: object) -> str:
    """Text from data in one line of Markdown, with nothing in it that Markdown or HTML would act on."""
    joined = " ".join(str(text).split())
    for mark in "\\`*_[]<>|#&":
        joined = joined.replace(mark, f"\\{mark}")
    return joined
