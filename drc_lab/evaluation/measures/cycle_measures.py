"""How often episodes run in cycles, and whether thinking breaks them."""

from typing import Any

import pandas as pd

from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.kinds.in_cycles import CYCLE_NOOPS, CYCLE_PASSES, waits_of
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.play.records import SETTING, baseline_of, decisions
from drc_lab.evaluation.stats.intervals import mean_interval, rate_interval
from drc_lab.evaluation.watchers.cycles import NONE


def cycles(records: pd.DataFrame, confidence: float = 0.95) -> Finding:
    """How often episodes run in cycles, by setting; see `drc_lab.evaluation.watchers.cycles.Cycles`."""
    rows = []
    for (kind, amount), played in records.groupby(SETTING, sort=False):
        count, steps = played["cycles"].to_numpy(float), played["cycle_steps"].to_numpy(float)
        share, mean = rate_interval(count > 0, confidence), mean_interval(count, confidence)
        of_all = steps.sum() / decisions(played).sum()
        rows.append([kind, amount, (count > 0).mean(), *share, count.mean(), *mean, steps.mean(), of_all])
    columns = ["episodes", "low", "high", "cycles", "cycles_low", "cycles_high", "steps", "of_all_steps"]
    table = pd.DataFrame(rows, columns=[*SETTING, *columns])

    def draw(axes: Any) -> None:
        line = table[table["kind"] == FIRST_PASSES]
        axes.plot(line["amount"], line["episodes"], marker="o")
        axes.fill_between(line["amount"], line["low"], line["high"], alpha=0.2)
        axes.set(xlabel="extra first passes", ylabel="share of episodes with a cycle", ylim=(0, 1.02))

    return Finding(
        "cycles",
        "How often does it run in cycles?",
        "A cycle: steps that come back to a state of the same episode, a step in which nothing moves included, but "
        "for those in which it was told to wait or chose to think. episodes: share with a cycle "
        f"({confidence:.0%} interval); cycles and steps: mean number of them an episode, and of steps spent in them; "
        "of_all_steps: the share of all steps.",
        table,
        draw,
        in_terminal=False,
    )


def vanished_cycles(records: pd.DataFrame, confidence: float = 0.95) -> Finding | None:
    """The share of first cycles that vanish when the policy thinks in their place.

    None if no setting thinks there, or no level has a cycle about which this can be told.
    """
    plain = baseline_of(records)
    start, length = (plain[f"cycle_{name}"].to_numpy() for name in ("start", "length"))
    rows = []
    with_thinking = records[records["kind"].isin([CYCLE_PASSES, CYCLE_NOOPS])]
    for (kind, amount), played in with_thinking.groupby(SETTING, sort=False):
        assert (played["level"].to_numpy() == plain["level"].to_numpy()).all(), "settings on different levels"
        waits = waits_of(float(amount), length) if kind == CYCLE_NOOPS else 0
        until = start + waits + length  # a cycle that closes later than this does not count
        closes = (played["cycle_start"] + played["cycle_length"]).to_numpy()
        again = (played["cycle_start"].to_numpy() != NONE) & (closes <= until)
        solved, steps = played["solved"].to_numpy(), decisions(played).to_numpy()
        known = (start != NONE) & (again | solved | (steps >= until))
        if not known.any():
            continue
        gone = ~again[known]
        before = plain["solved"].to_numpy()[known].mean()
        rows.append([kind, amount, int(known.sum()), gone.mean(), *rate_interval(gone, confidence), before,
                     solved[known].mean()])  # fmt: skip
    if not rows:
        return None
    columns = ["levels", "vanished", "low", "high", "solved_before", "solved"]
    return Finding(
        "vanished_cycles",
        "Do cycles vanish when it thinks in their place?",
        "At the start of each level's first cycle the baseline policy thinks instead, `amount` times as long as the "
        "cycle: extra passes, or steps in which it waits. vanished: share of levels in which no cycle closes within as "
        f"many steps after that as the first one had ({confidence:.0%} interval); not counted are levels "
        "without a cycle, and episodes that the step limit ended before. solved_before, solved: solve rates of these "
        "levels without and with that thinking. Bush et al. (2025) report about 75% for a Sokoban agent.",
        pd.DataFrame(rows, columns=[*SETTING, *columns]),
    )
