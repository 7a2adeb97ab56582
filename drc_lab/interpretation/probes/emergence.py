"""When a plan appears in training: probe scores for each checkpoint of a run, beside its gain from extra passes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.stats.intervals import paired_difference
from drc_lab.interpretation.probes.bench import Bench, scaled
from drc_lab.interpretation.probes.probing import OBSERVATION
from drc_lab.interpretation.probes.targets import Split, Target
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTHING = "none"  # label in the row of a checkpoint without probes


def at_checkpoint(
    frames: int,
    recording: Recording,
    thought: Recording | None,
    to_predict: Sequence[Target],
    spec: ProbeSpec,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Returns a checkpoint's rows of the table of `emergence`: for each cell label the 1x1 probe of the recorded place
    where it scores best, beside the same probe of the observation.

    Args:
        frames: that the checkpoint was trained for.
        recording: of its episodes.
        thought: recording of the same levels with extra passes before the first step; None if there is none.
        to_predict, spec, confidence: see `drc_lab.interpretation.probes.probing.probe_all`.
    """
    split = Split.of(recording, spec.train_share, spec.seed)
    solved = _solved(recording)
    more = {"solve_rate": solved.mean()}
    if thought is not None:
        with_passes = _solved(thought)
        low, high = paired_difference(with_passes, solved, confidence)
        more |= {"gain": with_passes.mean() - solved.mean(), "gain_low": low, "gain_high": high}
    rows: list[dict[str, Any]] = []
    for target in to_predict:
        bench = Bench(recording, target, split, spec)
        if not target.label.cells or not bench.possible:
            continue
        readable = [name for name in recording.names if bench.reads(recording.tensors[name])]
        fitted = {name: bench.fit(recording.tensor(name), 1) for name in readable}
        if not fitted:
            continue
        best = max(fitted, key=lambda name: fitted[name].score.value)
        score, obs = fitted[best].score, bench.fit(scaled(recording.tensors["obs"]), 1).score
        low, high = score.interval(confidence)
        rows.append({"frames": frames, "label": target.label.name, "reads": best, "score": score.value, "low": low,
                     "high": high, OBSERVATION: obs.value, **more})  # fmt: skip
    return rows or [{"frames": frames, "label": NOTHING, **more}]  # too few solved episodes to fit probes


def _solved(recording: Recording) -> np.ndarray:
    return np.array([episode.solved for episode in recording.episodes])


def emergence(rows: Sequence[dict[str, Any]], passes: int, confidence: float = 0.95) -> Finding:
    """Makes a finding of the rows of all checkpoints of a run, see `at_checkpoint`."""
    table = pd.DataFrame(rows)
    text = (
        "Each checkpoint of the run on the same levels: macro-F1 of 1x1 probes at the place where it is highest, on "
        f"levels that they were not fitted to, beside the same probe on the observation; {confidence:.0%} intervals by "
        "a bootstrap over levels. What is true is what that checkpoint does then, so that labels differ between "
        f"checkpoints. solve_rate: of all these levels; gain: what {passes} extra first passes add, paired."
    )
    return Finding("emergence", "When does the plan appear?", text, table, lambda axis: _draw(axis, table))


def _draw(axis: "Axes", table: pd.DataFrame) -> None:
    for label, line in table[table["label"] != NOTHING].groupby("label", sort=False):
        axis.plot(line["frames"], line["score"], marker="o", label=str(label))
        axis.fill_between(line["frames"], line["low"], line["high"], alpha=0.15)
    checkpoints = table.drop_duplicates("frames")
    axis.plot(checkpoints["frames"], checkpoints["solve_rate"], color="black", linestyle="--", label="solve rate")
    axis.set(xlabel="env frames", ylabel="macro-F1; solve rate", ylim=(0, 1.02))
    axis.legend(fontsize="x-small")
