"""What a policy's activations encode linearly: probes for every label and recorded tensor, beside their controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.stats.significance import holm, is_clear
from drc_lab.interpretation.labels import Label
from drc_lab.interpretation.probes.bench import Bench, Fitted, scaled
from drc_lab.interpretation.probes.linear import Probe
from drc_lab.interpretation.probes.targets import Split, Target
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.progress import Advance, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OBSERVATION, UNTRAINED, SHUFFLED, MAJORITY = "observation", "untrained net", "shuffled labels", "majority"
CONTROLS = (OBSERVATION, UNTRAINED, SHUFFLED, MAJORITY)
COLUMNS = ["label", "reads", "of", "cells", "score", "low", "high", "p", "p_holm", "clear", "levels"]


Key = tuple[str, str, int]  # label, name, kernel (0: the whole map)


@dataclass(frozen=True)
class Probed:
    """All fitted probes: their scores in a table with `COLUMNS`, and the probes by label, name and kernel."""

    table: pd.DataFrame
    probes: dict[Key, Probe]


def probe_all(
    recording: Recording,
    untrained: Recording,
    to_predict: Sequence[Target],
    spec: ProbeSpec,
    confidence: float = 0.95,
    advance: Advance = silent,
) -> Probed:
    """Fits probes for every target to every recorded tensor that can be read, each beside its controls.

    Args:
        recording: of the policy.
        untrained: recording of the same steps by a policy of the same shape with random weights.
        to_predict: what the probes predict.
        spec: settings of the fits.
        confidence: of intervals, and 1 - alpha of the tests.
        advance: called with 1 after each probe and its controls.
    """
    split = Split.of(recording, spec.train_share, spec.seed)
    rows: list[list[object]] = []
    probes: dict[Key, Probe] = {}
    p_values: list[tuple[int, float]] = []
    for target in to_predict:
        bench = Bench(recording, target, split, spec)
        if not bench.possible:
            continue
        label, kernels = target.label, spec.kernels if target.label.cells else [0]
        for kernel in kernels:
            readable = [name for name in recording.names if bench.reads(recording.tensors[name])]
            majority = bench.majority()
            obs = bench.fit(scaled(recording.tensors["obs"]), kernel)
            for of, fitted in ((MAJORITY, majority), (OBSERVATION, obs)):
                rows.append(_row(label, "", of, kernel, fitted, confidence))
            for name in readable:
                fitted_probe = bench.fit(recording.tensor(name), kernel)
                controls = {
                    UNTRAINED: bench.fit(untrained.tensor(name), kernel),
                    SHUFFLED: bench.fit(recording.tensor(name), kernel, shuffled=True),
                }
                assert fitted_probe.probe is not None
                probes[label.name, name, kernel] = fitted_probe.probe
                beaten = max(fitted_probe.score.beats(c.score) for c in (majority, obs, *controls.values()))
                p_values.append((len(rows), beaten))
                rows.append(_row(label, name, "policy", kernel, fitted_probe, confidence))
                rows += [_row(label, name, of, kernel, each, confidence) for of, each in controls.items()]
                advance(1)
    table = pd.DataFrame(rows, columns=COLUMNS)
    at = [place for place, _ in p_values]
    table.loc[at, "p"] = [p for _, p in p_values]
    table.loc[at, "p_holm"] = holm([p for _, p in p_values])
    table["clear"] = np.where(is_clear(table["p_holm"], confidence), "yes", "")
    return Probed(table, probes)


def count_probes(recording: Recording, to_predict: Sequence[Target], spec: ProbeSpec) -> int:
    """Returns how many probes `probe_all` fits at most, not counting controls."""
    return sum((len(spec.kernels) if target.label.cells else 1) * len(recording.names) for target in to_predict)


def _row(label: Label, name: str, of: str, kernel: int, fitted: Fitted, confidence: float) -> list[object]:
    size = f"{kernel}x{kernel}" if kernel else "all"
    return [label.name, name, of, size, fitted.score.value, *fitted.score.interval(confidence), np.nan, np.nan, "",
            fitted.levels]  # fmt: skip


def probe_findings(probed: Probed, to_predict: Sequence[Target], confidence: float = 0.95) -> list[Finding]:
    """Returns two findings: the best place for each label beside its controls, and the scores everywhere."""
    table, texts = probed.table, {target.label.name: target.label.text for target in to_predict}
    return [best_places(table, texts, confidence), everywhere(table, confidence)]


def best_places(table: pd.DataFrame, texts: dict[str, str], confidence: float) -> Finding:
    """Returns the best place as one row for each label and size of probe, beside the controls."""
    rows = []
    for (label, cells), scores in table.groupby(["label", "cells"], sort=False):
        policy = scores[scores["of"] == "policy"]
        if not len(policy):
            continue
        best = policy.loc[policy["score"].idxmax()]
        beside = {
            of: scores[(scores["of"] == of) & scores["reads"].isin(["", best["reads"]])]["score"].iloc[0]
            for of in CONTROLS
        }
        rows.append(
            [label, cells, best["reads"], best["score"], best["low"], best["high"], *beside.values(), best["clear"]]
        )
    columns = ["label", "cells", "reads", "score", "low", "high", *CONTROLS, "clear"]
    shown = pd.DataFrame(rows, columns=columns)
    said = " ".join(f"{name}: {text}" for name, text in texts.items())
    text = (
        "Macro-F1 of labels with classes, share of variance explained of numbers, on levels that the probe was not "
        f"fitted to; {confidence:.0%} intervals by a bootstrap over levels. cells: what a probe reads, of the board "
        "around its own cell, or all of it. reads: the place (layer.tick.what) with the highest score; as it was "
        "chosen for that, the score flatters a little. clear: better than all four controls after Holm's "
        f"correction over all probes. {said}"
    )
    draw = (lambda axis: _draw_best(axis, shown)) if len(shown) else None
    return Finding("probes", "What can be read from it?", text, shown, draw)


def everywhere(table: pd.DataFrame, confidence: float) -> Finding:
    """Returns the full table: all probes of the policy and all controls."""
    text = (
        "Every probe and its controls. p: one-sided, of the control that comes nearest; p_holm: over all probes; "
        f"{confidence:.0%} intervals by a bootstrap over levels."
    )
    lines = _by_tick(table)
    draw = (lambda axis: _draw_by_tick(axis, lines)) if len(lines) else None
    title = "Where can it be read?"
    return Finding("probes_everywhere", title, text, table, draw, in_terminal=False)


def _draw_best(axis: "Axes", shown: pd.DataFrame) -> None:
    place = np.arange(len(shown))
    for number, column in enumerate(["score", *CONTROLS]):
        height, name = shown[column].clip(lower=0), column.replace("score", "policy")
        axis.bar(place + (number - 2) * 0.16, height, 0.16, label=name)
    axis.errorbar(
        place - 0.32,
        shown["score"].clip(lower=0),
        fmt="none",
        color="black",
        capsize=2,
        yerr=[shown["score"] - shown["low"], shown["high"] - shown["score"]],
    )
    names = [f"{row.label}\n{row.cells}" for row in shown.itertuples()]
    axis.set_xticks(place, names, rotation=60, ha="right", fontsize="x-small")
    axis.set(ylabel="macro-F1, or share of variance", ylim=(0, 1.02))
    axis.legend(fontsize="x-small")


def _by_tick(table: pd.DataFrame) -> pd.DataFrame:
    """Selects the policy's 1x1 and whole-map probes of cell states (of hidden states if there are none), with columns
    for layer and tick."""
    read = table[(table["of"] == "policy") & table["cells"].isin(["1x1", "all"])]
    parts = read["reads"].str.extract(r"^(\d+)\.(\d+)\.(\w+)$")
    read = read.assign(layer=parts[0], tick=parts[1], what=parts[2]).dropna(subset=["tick"])
    states = read[read["what"] == "c"]
    return states if len(states) else read[read["what"] == "h"]


def _draw_by_tick(axis: "Axes", lines: pd.DataFrame) -> None:
    for (label, layer, what), line in lines.groupby(["label", "layer", "what"], sort=False):
        name = f"{label}, layer {layer}, {what}"
        around = [line["score"] - line["low"], line["high"] - line["score"]]
        axis.errorbar(line["tick"].astype(int) + 1, line["score"], around, marker="o", capsize=2, label=name)
    axis.set(xlabel="tick of the step", ylabel="score")
    axis.legend(fontsize="xx-small")
