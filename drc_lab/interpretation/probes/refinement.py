"""How a plan changes while a policy thinks about one observation: probe scores tick by tick and pass by pass."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.stats.resampling import OverLevels, draws_of
from drc_lab.interpretation.probes.linear import Probe, cell_features, confusions, macro_f1
from drc_lab.interpretation.probes.probing import Probed
from drc_lab.interpretation.probes.targets import Target
from drc_lab.interpretation.recording import DECIDES, Recording
from drc_lab.interpretation.spec import ProbeSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def refinement(
    probed: Probed,
    thought: Recording,
    to_predict: Sequence[Target],
    test_levels: np.ndarray,
    spec: ProbeSpec,
    confidence: float = 0.95,
) -> Finding | None:
    """Scores each cell label on the first observation, after each tick of each extra pass.

    For each label and layer, the probe that was fitted to the cell state after a step's last tick reads the cell state
    after every tick. Its prediction is compared with what the policy does after all of these passes. Returns None if
    there is nothing to score.

    Args:
        probed: probes fitted to whole episodes without extra passes.
        thought: recording of the same policy with extra passes before the first step.
        to_predict: targets of ``thought``; the truth of a first step's deciding row is used for its extra passes too.
        test_levels: levels that no probe was fitted to.
        spec: of the probes.
        confidence: of the intervals.
    """
    index = thought.index
    first = (index["step"] == 0).to_numpy() & index["level"].isin(test_levels).to_numpy()
    passes = index["thought"].where(index["thought"] != DECIDES, index["thought"].max() + 1).to_numpy()
    rows: list[list[object]] = []
    for target in (target for target in to_predict if target.label.cells):
        truth = _spread(target.truth, index, first)
        for (label, name, kernel), probe in probed.probes.items():
            if label != target.label.name or kernel != 1 or not _is_last_cell_state(name, thought.names):
                continue
            layer, last, _ = name.split(".")
            ticks = int(last) + 1
            recorded = [tick for tick in range(ticks) if f"{layer}.{tick}.c" in thought.names]
            for number, tick in product(np.unique(passes[first]), recorded):
                here = first & (passes == number)
                if not (truth[here] >= 0).any():
                    continue
                score = _score(probe, thought.tensor(f"{layer}.{tick}.c")[here], truth[here], target.classes, spec.seed)
                at = int(number) * ticks + tick + 1
                rows.append([label, int(layer), at, int(number), tick, score.value, *score.interval(confidence)])
    if not rows:
        return None
    table = pd.DataFrame(rows, columns=["label", "layer", "ticks", "pass", "tick", "score", "low", "high"])
    text = (
        "Macro-F1 on the first observation of levels that no probe was fitted to, after so many ticks, the env "
        "standing still. For each layer the 1x1 probe of a step's last tick, fitted to steps of whole episodes "
        "without extra passes, reads the cell state after every tick; what is true is what the policy does after all "
        f"these passes. A score that rises is a plan that is being refined. {confidence:.0%} intervals by a bootstrap "
        "over levels."
    )
    title = "Is the plan refined while it thinks?"
    return Finding("plan_refinement", title, text, table, lambda axis: _draw(axis, table), in_terminal=False)


def _score(probe: Probe, maps: np.ndarray, truth: np.ndarray, classes: int, seed: int) -> OverLevels:
    """Scores a 1x1 probe on one map of each level, [L, C, H, W], against the truth [L, H, W]."""
    said = probe.predict(cell_features(maps, 1).reshape(-1, maps.shape[1])).reshape(truth.shape)
    level = np.broadcast_to(np.arange(len(truth))[:, None, None], truth.shape)
    known = truth >= 0
    sums = confusions(truth[known], said[known], level[known], classes)
    return OverLevels(sums, macro_f1, draws_of(len(sums), seed))


def _spread(truth: np.ndarray, index: pd.DataFrame, first: np.ndarray) -> np.ndarray:
    """Copies the truth of each first step's deciding row to all rows of that step; all other rows are -1."""
    spread = np.full_like(truth, -1)
    deciding = first & (index["thought"] == DECIDES).to_numpy()
    of_level = dict(zip(index["level"].to_numpy()[deciding], truth[deciding], strict=True))
    for row in np.flatnonzero(first):
        spread[row] = of_level[index["level"].iat[row]]
    return spread


def _is_last_cell_state(name: str, names: Sequence[str]) -> bool:
    """Whether a name is the last recorded tick of a layer's cell state."""
    layer, _, tick_and_what = name.partition(".")
    tick, _, what = tick_and_what.partition(".")
    return what == "c" and f"{layer}.{int(tick) + 1}.c" not in names


def _draw(axis: "Axes", table: pd.DataFrame) -> None:
    for (label, layer), line in table.groupby(["label", "layer"], sort=False):
        axis.plot(line["ticks"], line["score"], marker=".", label=f"{label}, layer {layer}")
        axis.fill_between(line["ticks"], line["low"], line["high"], alpha=0.15)
    axis.set(xlabel="ticks on the first observation", ylabel="macro-F1")
    axis.legend(fontsize="x-small")
