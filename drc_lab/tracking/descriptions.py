"""The descriptions of studies and runs on MLflow's pages: what each is, and what to look at first."""

import html
import re

from drc_lab.errors import printable

LEARNING = (
    "`valid/solve_rate` over env frames (held-out levels, which choose the best checkpoint), or `valid/return` where "
    "the env says no success; `best/...` is what the best checkpoint came to"
)
CURVES = (
    "the curves `thinking/..._solve_rate` (or `..._return`) over the amount of thinking, and at `gain` of the nested "
    "runs, from `gain_low` to `gain_high`: what an amount adds on the same levels. `report.html` among the artifacts "
    "has all of it"
)
STUDY = (
    "The runs of one study: trainings, and evaluations of what they learned. Look first at `best/solve_rate` of each "
    "on held-out levels, or `best/return` where the env says no success; the columns of the table are chosen under "
    "*Columns*."
)
RUNS = {
    "train": f"A training. Look first at {LEARNING}.",
    "thinking_sweep": f"A training, then its best checkpoint at several amounts of thinking. Look first at {CURVES}."
    f" How it learned: {LEARNING}.",
    "thinking": f"What was learned, at several amounts of thinking. Look first at {CURVES}.",
    "probe": "What can be read from what a checkpoint computes. Look first at `report.html` and `plan.gif` among the "
    "artifacts, and at the metrics `probe/...`: the score of each label where it is highest.",
    "steer": "Whether a checkpoint acts on what can be read from it. Look first at `steer/every_tick` beside "
    "`steer/every_tick_random`, and at `report.html` among the artifacts.",
    "saliency": "Which cells a checkpoint's decisions read: `report.html` among the artifacts.",
    "evaluate": "A checkpoint on held-out levels. Look first at `solve_rate`, or at `return` where there is none.",
}
SWEEP = (
    "The jobs of one command, nested under it. Look first at `best/solve_rate` of each, or `best/return` where the env "
    "says no success; here it is that of the best one. `sweep.csv` among the artifacts has a line for each job."
)


def in_markdown(name: str) -> str:
    """A name for MLflow's Markdown, in which nothing in it becomes a link, a picture or HTML."""
    return re.sub(r"([\\`*\[\](){}!#|~]|:(?=//))", r"\\\1", html.escape(printable(name), quote=False))


def as_code(name: str) -> str:
    """A name as code in Markdown, which it cannot end."""
    return f"`{printable(name).replace('`', chr(39))}`"


def of_setting(kind: str, amount: float | None, measure: str) -> str:
    """The description of a nested run, which plays at one setting.

    Args:
        kind: kind of thinking.
        amount: amount of thinking; None if the kind has no amounts.
        measure: the metric on held-out levels to look at first.
    """
    what = as_code(kind) if amount is None else f"{as_code(kind)}, {amount:g} of it,"
    return (
        f"How well {what} plays the held-out levels. Look first at `{measure}`, and at `gain` from `gain_low` to "
        "`gain_high`: what it adds to the baseline policy."
    )
