"""The table of results, for the terminal, for notebooks and for the page, with what it says in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlptl.evaluate.intervals import FEW
from nlptl.transfer.match import listed

if TYPE_CHECKING:
    from rich.console import Group

    from nlptl.report.results import Results

OVERALL = "mean of domains"


@dataclass(frozen=True)
class Row:
    """One domain's line, in words and digits. ``cells`` are (number, interval); ``tone`` is better, worse or level."""

    domain: str
    rows: str
    shipped: str
    cells: tuple[tuple[str, str], ...]
    baselines: tuple[str, ...]
    gain: tuple[str, str]
    tone: str


@dataclass(frozen=True)
class TaskTable:
    """One task's table. Baselines show the first metric; gains are in accuracy, over ``opponent``."""

    task: str
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    rows: tuple[Row, ...]
    verdict: str
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    opponent: str

    @property
    def shown(self) -> str:
        """The metric that baselines are shown in."""
        return next(iter(self.metrics), "none")


def task_table(name: str, task: Mapping[str, Any]) -> TaskTable:
    """The table of one task of ``results["tasks"]``."""
    rows = [
        _row(domain, str(facts["n"]), facts["shipped"], facts["metrics"], facts["ci95"],
             [table["domains"][domain]["metrics"] for table in task["baselines"].values()],
             task["gains"]["domains"][domain])
        for domain, facts in task["domains"].items()
    ]  # fmt: skip
    if len(rows) > 1:
        total = str(sum(facts["n"] for facts in task["domains"].values()))
        baselines = [table["overall"] for table in task["baselines"].values()]
        rows.append(
            _row(OVERALL, total, "", task["overall"], task["overall_ci95"], baselines, task["gains"]["overall"])
        )
    return TaskTable(
        name, tuple(task["overall"]), tuple(task["baselines"]), tuple(rows), verdict(name, task), tuple(_losses(task)),
        tuple(_notes(task)), opponent(task),
    )  # fmt: skip


def _row(
    domain: str,
    rows: str,
    shipped: str,
    metrics: Mapping[str, float | None],
    ci95: Mapping[str, Sequence[float | None]],
    baselines: Sequence[Mapping[str, float | None]],
    gains: Mapping[str, Any],
) -> Row:
    better = gains.get("better")
    return Row(
        domain,
        rows,
        shipped,
        tuple((number(value), interval(ci95[metric])) for metric, value in metrics.items()),
        tuple(number(next(iter(values.values()), None)) for values in baselines),
        (points(better["accuracy"]), interval(better["ci95"], in_points=True)) if better else ("–", ""),
        tone(better) if better else "level",
    )


def number(value: float | None) -> str:
    """``.958``, and a dash for what is undefined."""
    return "–" if value is None else f"{value:.3f}".removeprefix("0") if value >= 0 else f"{value:.3f}"


def points(value: float) -> str:
    """A difference of shares in points, signed: ``+1.2``."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"  # no -0.0


def interval(ends: Sequence[float | None], *, in_points: bool = False) -> str:
    """``.944–.971``, or of differences in points ``[-1.2, +0.3]``; empty where undefined."""
    known = [end for end in ends if end is not None]
    if len(known) < 2:
        return ""
    return f"[{points(known[0])}, {points(known[1])}]" if in_points else f"{number(known[0])}–{number(known[1])}"


def tone(gain: Mapping[str, Any]) -> str:
    """``better`` or ``worse`` where the difference is sure: its interval leaves 0 out, and the exact test, corrected
    over domains where there are several, agrees, since resampling a handful of rows tells nothing; else ``level``.
    Of a mean over domains the test is of all their rows together, of which a large domain has the most: it may be sure
    of the other direction."""
    (low, high), p = gain["ci95"], gain.get("p_holm", gain["p"])
    votes = gain["only_model"] - gain["only_baseline"]
    if p <= 0.05 and low > 0 and votes > 0:
        return "better"
    return "worse" if p <= 0.05 and high < 0 and votes < 0 else "level"


def verdict(name: str, task: Mapping[str, Any]) -> str:
    """One sentence: is the model worth it, against the better of the simple baselines?"""
    count, gain = len(task["domains"]), task["gains"]["overall"].get("better")
    if not count:
        return f"{name}: no text served has a label, so that nothing could be scored{_answered(task.get('answers'))}."
    where = next(iter(task["domains"])) if count == 1 else f"the mean of {count} domains"
    first = next((f"{metric} {number(value)}" for metric, value in task["overall"].items()), "no metric")
    known = f"{name}: {first} on {where}"
    if gain is None:
        return f"{known}; no baseline to set it against."
    other = opponent(task)
    ends = interval(gain["ci95"], in_points=True)
    size = f"{abs(100 * gain['accuracy']):.1f} points of accuracy {ends}"
    said = {
        "better": f"better than {other} by {size}",
        "worse": f"worse than {other} by {size}",
        "level": f"no sure difference from {other} ({points(gain['accuracy'])} points {ends})",
    }
    return f"{known}; {said[tone(gain)]}."


def _answered(answers: Mapping[str, Any] | None) -> str:
    """What was answered where nothing could be scored: ``; of 10 texts: ham 6, spam 4``."""
    if answers is None:
        return ""
    counts = answers["counts"] | ({"none": n} if (n := answers.get("abstained")) else {})
    return f"; answers to {answers['n']} texts: " + ", ".join(f"{label} {n}" for label, n in counts.items())


def opponent(task: Mapping[str, Any]) -> str:
    """What gains are over: the better of the baselines that labels teach, or where none do, the plain zero-shot one."""
    alone = "cosine" in task["baselines"] and "probe" not in task["baselines"]
    return "cosine" if alone else "the better of tfidf and probe"


def _losses(task: Mapping[str, Any]) -> Iterator[str]:
    """A line for each baseline or lower rung that is ahead of the model on a domain: where rows are few, if surely."""
    for domain, gains in task["gains"]["domains"].items():
        for system in (*task["baselines"], *task["rungs"]):
            gain = gains[system]
            if gain["accuracy"] < 0 and (tone(gain) == "worse" or not _few(task, domain)):
                ends = "[{:.1f}, {:.1f}]".format(*(round(-100 * end, 1) + 0.0 for end in reversed(gain["ci95"])))
                sure = "" if tone(gain) == "worse" else ", not a sure difference"
                yield f"{system} is better on {domain} by {-100 * gain['accuracy']:.1f} points {ends}{sure}"


def _few(task: Mapping[str, Any], domain: str) -> bool:
    return bool(task["domains"][domain]["distinct"] < FEW)


def _notes(task: Mapping[str, Any]) -> Iterator[str]:
    """A line for each metric that the rows of some domains cannot show, and why; and who could not be measured."""
    if few := [domain for domain in task["domains"] if _few(task, domain)]:
        yield (
            f"{len(few)} scored on fewer than {FEW} rows, which tell little (a larger transfer.hold_out scores more): "
            f"only accuracy has an interval there, and a baseline ahead is named only if surely: {listed(few)}"
        )
    if alone := task.get("unmeasured"):
        yield f"{len(alone)} served without a labelled row to be scored by, so how well is not known: {listed(alone)}"
    without: dict[tuple[str, str], list[str]] = {}
    for domain, facts in task["domains"].items():
        for metric, reason in facts["undefined"].items():
            without.setdefault((metric, reason), []).append(domain)
    for (metric, reason), domains in without.items():
        yield f"{metric} of {listed(domains)}: {reason}"


def terminal(results: Results) -> Group:
    """Tables and words for a terminal, as a rich renderable. Names from data are shown as they are, never as markup."""
    from rich import box
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    style = {"better": "green", "worse": "bold red", "level": ""}
    parts: list[RenderableType] = []
    for name, task in results["tasks"].items():
        made = task_table(name, task)
        table = Table(
            title=Text(name), caption=Text(_caption(made)), title_justify="left", caption_justify="left",
            box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True,
        )  # fmt: skip
        table.add_column("domain", overflow="fold", min_width=8)
        unlike = len({row.shipped for row in made.rows if row.domain != OVERALL}) > 1
        if unlike:
            table.add_column("served by", overflow="fold")
        for heading in ("n", *made.metrics, *made.baselines):
            table.add_column(Text(heading.replace("_", "\n")), justify="right", no_wrap=True)
        table.add_column("gain", justify="right")  # where the terminal is narrow, this one breaks at its space
        for row in made.rows:
            if row.domain == OVERALL:
                table.add_section()
            table.add_row(
                Text(row.domain), *([Text(row.shipped)] if unlike else []), row.rows,
                *(Text("\n".join(cell).rstrip()) for cell in row.cells), *row.baselines,
                Text(row.gain[0] + (" ▼" if row.tone == "worse" else "") + "\n" + row.gain[1], style[row.tone]),
            )  # fmt: skip
        parts += [table, Text(made.verdict, "bold")]
        parts += [Text(f"▼ {line}", "red") for line in made.losses]
        parts += [Text(f"– {line}", "dim") for line in made.notes]
    return Group(*parts)


def _caption(made: TaskTable) -> str:
    return f"Below: 95 % intervals. Baselines: {made.shown}. Gain: accuracy over {made.opponent}."


def html(results: Results) -> str:
    """The same for notebooks, as HTML with everything from data escaped."""
    from nlptl.report.page import render

    return render("table.html.jinja", tables=[task_table(name, task) for name, task in results["tasks"].items()])
