"""What can be read, linearly, from what a policy computes: probes beside their controls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from drc_lab.errors import ConfigError
from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.significance import holm
from drc_lab.interpretation.labels import Label
from drc_lab.interpretation.probes import (
    OverLevels,
    Probe,
    cell_features,
    confusions,
    draws_of,
    fit_classes,
    fit_number,
    macro_f1,
    moments,
    r_squared,
)
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OBSERVATION, UNTRAINED, SHUFFLED, MAJORITY = "observation", "untrained net", "shuffled labels", "majority"
CONTROLS = (OBSERVATION, UNTRAINED, SHUFFLED, MAJORITY)
COLUMNS = ["label", "reads", "of", "cells", "score", "low", "high", "p", "p_holm", "clear", "levels"]


@dataclass(frozen=True)
class Target:
    """What a label says of the rows of a recording.

    Args:
        label: which.
        truth: int or float [rows], or int [rows, H, W] in the size of the policy's maps; -1 or nan is left out.
    """

    label: Label
    truth: np.ndarray

    @property
    def classes(self) -> int:
        return len(self.label.classes)

    @property
    def known(self) -> np.ndarray:
        """bool, in the shape of the truth."""
        return self.truth >= 0 if self.classes else ~np.isnan(self.truth)


def targets(
    recording: Recording, labels: Sequence[Label], board: tuple[int, int], unsolved: bool = False
) -> list[Target]:
    """What each label says of the rows in which the policy decides; nothing is known of the others, of episodes that
    were cut off unless ``unsolved``, and of what has one class only.

    Args:
        board: height and width of the policy's maps: those of the game, or without its border.
    """
    found = []
    for label in labels:
        each = [label.of(episode) for episode in recording.episodes]
        truth = np.concatenate([_cropped(x, board) if label.cells else x for x in each])
        solved = np.repeat([episode.solved for episode in recording.episodes], [len(x) for x in each])
        nothing = -1 if label.classes else np.nan
        truth = truth.astype(np.int64 if label.classes else np.float64)
        truth[~solved & (not unsolved)] = nothing
        rows = np.full((len(recording.index), *truth.shape[1:]), nothing, truth.dtype)
        rows[recording.deciding] = truth
        target = Target(label, rows)
        if len(np.unique(rows[target.known])) > 1:
            found.append(target)
    return found


def _cropped(maps: np.ndarray, board: tuple[int, int]) -> np.ndarray:
    """[T, H, W] without the border that the policy does not see."""
    border = [(size - seen) // 2 for size, seen in zip(maps.shape[1:], board, strict=True)]
    back = [size - 2 * ring for size, ring in zip(maps.shape[1:], border, strict=True)]
    if back != list(board) or min(border) < 0:
        raise ConfigError("probe.labels", f"cells {maps.shape[1:]}", f"as many as the policy's maps have, {board}")
    return maps[:, border[0] : maps.shape[1] - border[0], border[1] : maps.shape[2] - border[1]]


@dataclass(frozen=True)
class Split:
    """Levels for fitting, and levels for scores: no level is in both. bool [rows] each."""

    train: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, recording: Recording, share: float, seed: int) -> "Split":
        levels = np.unique(recording.index["level"])
        chosen = np.random.default_rng(seed).permutation(levels)[: round(share * len(levels))]
        train = np.isin(recording.index["level"], chosen)
        return cls(train, ~train)


@dataclass(frozen=True)
class Fitted:
    """A probe, and how it did on the levels that it was not fitted to."""

    probe: Probe | None
    score: OverLevels
    levels: int


class Bench:
    """Fits probes for one target on one recording, all to the same rows and tested on the same.

    Args:
        recording, target, split: see there.
        spec: how much is fitted, and how.
    """

    def __init__(self, recording: Recording, target: Target, split: Split, spec: ProbeSpec):
        self.target, self.spec = target, spec
        rng = np.random.default_rng(spec.seed)
        known = target.known
        self.fit_at, self.test_at = (
            np.argwhere(known & part.reshape(-1, *[1] * (known.ndim - 1))) for part in (split.train, split.test)
        )
        if len(self.fit_at) > spec.max_rows:
            self.fit_at = self.fit_at[np.sort(rng.choice(len(self.fit_at), spec.max_rows, replace=False))]
        self.fit_y, self.test_y = (target.truth[tuple(at.T)] for at in (self.fit_at, self.test_at))
        self.shuffled_y = rng.permutation(self.fit_y)
        self.level = recording.index["level"].to_numpy()[self.test_at[:, 0]]
        self.draws = draws_of(max(len(np.unique(self.level)), 1), spec.seed)

    @property
    def possible(self) -> bool:
        """Whether there is something to tell apart on both sides."""
        return len(np.unique(self.fit_y)) > 1 and len(np.unique(self.level)) > 1

    def reads(self, maps: np.ndarray) -> bool:
        """Whether a probe can read this: of cells, a map of the board's size."""
        return not self.target.label.cells or (maps.ndim == 4 and maps.shape[2:] == self.target.truth.shape[1:])

    def fit(self, maps: np.ndarray, kernel: int, shuffled: bool = False) -> Fitted:
        """A probe of ``maps`` [rows, C, H, W] (or [rows, F] of what is no map)."""
        features = self.features(maps, kernel)
        y = self.shuffled_y if shuffled else self.fit_y
        x, seen = (features[tuple(at.T)] for at in (self.fit_at, self.test_at))
        if self.target.classes:
            probe = fit_classes(x, y, self.target.classes, self.spec.l2)
            return Fitted(probe, self.score(probe.predict(seen)), len(self.draws[0]))
        probe = fit_number(x, y, self.spec.l2)
        return Fitted(probe, self.score(probe.scores(seen)[:, 0]), len(self.draws[0]))

    def features(self, maps: np.ndarray, kernel: int) -> np.ndarray:
        """[rows, H, W, F] for a target with cells, else [rows, F]: the whole map, flattened."""
        if self.target.label.cells:
            return cell_features(maps, kernel)
        return np.asarray(maps, np.float32).reshape(len(maps), -1)

    def majority(self) -> Fitted:
        """Says the most frequent class, or the mean, of what it was fitted to."""
        if self.target.classes:
            said = np.full(len(self.test_y), np.bincount(self.fit_y).argmax())
        else:
            said = np.full(len(self.test_y), self.fit_y.mean())
        return Fitted(None, self.score(said), len(self.draws[0]))

    def score(self, said: np.ndarray) -> OverLevels:
        """Macro-F1 of classes, or the share of variance that a number explains."""
        if self.target.classes:
            return OverLevels(confusions(self.test_y, said, self.level, self.target.classes), macro_f1, self.draws)
        return OverLevels(moments(self.test_y, said, self.level), r_squared, self.draws)


Key = tuple[str, str, int]  # label, name, kernel (0: the whole map)


@dataclass(frozen=True)
class Probed:
    """All that was fitted: the table of `COLUMNS`, and the probes themselves by label, name and kernel."""

    table: pd.DataFrame
    probes: dict[Key, Probe]


def probe_all(
    recording: Recording,
    untrained: Recording,
    found: Sequence[Target],
    spec: ProbeSpec,
    confidence: float = 0.95,
    tell: Callable[[int], object] = lambda number: None,
) -> Probed:
    """Probes for every target in everything that was recorded, each beside its controls.

    Args:
        recording: of the policy.
        untrained: the same steps, as another net of the same shape with random weights sees them.
        found: what is looked for.
        spec: see there.
        confidence: of intervals, and 1 - alpha of the tests.
        tell: is told how many probes more are done.
    """
    split = Split.of(recording, spec.train_share, spec.seed)
    rows: list[list[object]] = []
    probes: dict[Key, Probe] = {}
    p_values: list[tuple[int, float]] = []
    for target in found:
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
                own = bench.fit(recording.tensor(name), kernel)
                controls = {
                    UNTRAINED: bench.fit(untrained.tensor(name), kernel),
                    SHUFFLED: bench.fit(recording.tensor(name), kernel, shuffled=True),
                }
                assert own.probe is not None
                probes[label.name, name, kernel] = own.probe
                beaten = max(own.score.beats(c.score) for c in (majority, obs, *controls.values()))
                p_values.append((len(rows), beaten))
                rows.append(_row(label, name, "policy", kernel, own, confidence))
                rows += [_row(label, name, of, kernel, each, confidence) for of, each in controls.items()]
                tell(1)
    table = pd.DataFrame(rows, columns=COLUMNS)
    at = [place for place, _ in p_values]
    table.loc[at, "p"] = [p for _, p in p_values]
    table.loc[at, "p_holm"] = holm([p for _, p in p_values])
    table["clear"] = np.where(table["p_holm"] <= 1 - confidence, "yes", "")
    return Probed(table, probes)


def count_probes(recording: Recording, found: Sequence[Target], spec: ProbeSpec) -> int:
    """How many `probe_all` fits at most, controls not counted."""
    return sum((len(spec.kernels) if target.label.cells else 1) * len(recording.names) for target in found)


def scaled(obs: np.ndarray) -> np.ndarray:
    return obs.astype(np.float32) / 255 if obs.dtype == np.uint8 else obs.astype(np.float32)


def _row(label: Label, name: str, of: str, kernel: int, fitted: Fitted, confidence: float) -> list[object]:
    size = f"{kernel}x{kernel}" if kernel else "all"
    return [label.name, name, of, size, fitted.score.value, *fitted.score.interval(confidence), np.nan, np.nan, "",
            fitted.levels]  # fmt: skip


def probe_findings(probed: Probed, found: Sequence[Target], confidence: float = 0.95) -> list[Finding]:
    """The best place for each label beside its controls, and the score everywhere."""
    table, texts = probed.table, {target.label.name: target.label.text for target in found}
    return [best_places(table, texts, confidence), everywhere(table, confidence)]


def best_places(table: pd.DataFrame, texts: dict[str, str], confidence: float) -> Finding:
    """A row for each label and size of probe."""
    rows = []
    for (label, cells), own in table.groupby(["label", "cells"], sort=False):
        policy = own[own["of"] == "policy"]
        if not len(policy):
            continue
        best = policy.loc[policy["score"].idxmax()]
        beside = {
            of: own[(own["of"] == of) & own["reads"].isin(["", best["reads"]])]["score"].iloc[0] for of in CONTROLS
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
    """All probes of the policy and all controls."""
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
    axis.errorbar(place - 0.32, shown["score"].clip(lower=0), fmt="none", color="black", capsize=2,
                  yerr=[shown["score"] - shown["low"], shown["high"] - shown["score"]])  # fmt: skip
    names = [f"{row.label}\n{row.cells}" for row in shown.itertuples()]
    axis.set_xticks(place, names, rotation=60, ha="right", fontsize="x-small")
    axis.set(ylabel="macro-F1, or share of variance", ylim=(0, 1.02))
    axis.legend(fontsize="x-small")


def _by_tick(table: pd.DataFrame) -> pd.DataFrame:
    """The policy's probes of cell states, or of hidden states where there is none, with their layers and ticks; those
    of single cells and of whole maps."""
    own = table[(table["of"] == "policy") & table["cells"].isin(["1x1", "all"])]
    parts = own["reads"].str.extract(r"^(\d+)\.(\d+)\.(\w+)$")
    own = own.assign(layer=parts[0], tick=parts[1], what=parts[2]).dropna(subset=["tick"])
    states = own[own["what"] == "c"]
    return states if len(states) else own[own["what"] == "h"]


def _draw_by_tick(axis: "Axes", lines: pd.DataFrame) -> None:
    for (label, layer, what), line in lines.groupby(["label", "layer", "what"], sort=False):
        name = f"{label}, layer {layer}, {what}"
        around = [line["score"] - line["low"], line["high"] - line["score"]]
        axis.errorbar(line["tick"].astype(int) + 1, line["score"], around, marker="o", capsize=2, label=name)
    axis.set(xlabel="tick of the step", ylabel="score")
    axis.legend(fontsize="xx-small")
