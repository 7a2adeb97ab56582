"""What task=steer is made of: fitting the probes, steering, ablating and patching a policy, and what came of it."""

from collections.abc import Sequence

import numpy as np
import torch

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.interpretation.causal.ablation import ablation
from drc_lab.interpretation.causal.alternatives import (
    Routes,
    routes_of,
    symmetries_of,
    turn,
)
from drc_lab.interpretation.causal.patching import changed_boards, patching
from drc_lab.interpretation.causal.steering import ONCE, settings, steering
from drc_lab.interpretation.hooks import last_states, run_with_cache
from drc_lab.interpretation.labels import find_labels
from drc_lab.interpretation.probes.bench import Bench
from drc_lab.interpretation.probes.linear import Probe
from drc_lab.interpretation.probes.targets import Split, targets
from drc_lab.interpretation.recorder import size_of
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec, SteerSpec
from drc_lab.progress import working
from drc_lab.studies.recordings import board_env
from drc_lab.studies.subjects import Subject


def steer_along_routes(
    subject: Subject,
    probes: dict[int, Probe],
    label: str,
    board: tuple[int, int],
    spec: SteerSpec,
    confidence: float,
) -> Finding:
    """Steers the policy along routes on the same levels in all symmetries of their size.

    Raises:
        ConfigError: no level has a possible move that the policy does not make by itself.
    """
    env = board_env(subject, spec.steered, "steer.steered", at_once=spec.steered)
    turned: dict[int, list[Routes]] = {length: [] for length in sorted(spec.moves)}
    for symmetry in symmetries_of(*size_of(env)):
        env.reset(seed=spec.seed)
        turn(env.batch, symmetry)
        for length, per_symmetry in turned.items():
            per_symmetry.append(routes_of(subject.policy, env, label, board, length, spec.seed))
    turned = {length: routes for length, routes in turned.items() if any(each.there.any() for each in routes)}
    if 1 not in turned:
        raise ConfigError("steer.steered", spec.steered, f"more: on none of them is another move of {label} possible")
    with working("steering", len(probes) * len(settings(list(turned), spec.alphas))) as advance:
        return steering(subject.policy, env, turned, probes, spec.alphas, label, spec.seed, confidence, advance)


def cell_layers(subject: Subject) -> dict[int, str]:
    """Returns by layer the name of its cell state after a step's last tick.

    Raises:
        ConfigError: the policy has no cell states.
    """
    if layers := last_states(subject.policy, "c"):
        return layers
    raise ConfigError("checkpoint", subject.name, "a policy with a cell state: a DRC or a ConvLSTM")


@torch.no_grad()
def channels_of(subject: Subject, layers: dict[int, str]) -> int:
    """Returns the number of channels of the cell state that has the fewest."""
    weight = next(subject.policy.parameters())
    obs = torch.zeros(1, *subject.policy.obs_shape, device=weight.device)
    _, cache = run_with_cache(subject.policy, obs, None, list(layers.values()))
    return min(state.shape[1] for state in cache.values())


def check_channels(wanted: Sequence[int], channels: int) -> None:
    """Checks that layers have at least as many channels as are to be ablated."""
    for number in wanted:
        if number > channels:
            raise ConfigError("steer.channels", number, f"1 to {channels}, the channels of a layer")


def other_split(subject: Subject) -> str:
    """Returns the split of the levels that probes are fitted to: the one that chose the checkpoint, or the training
    split if the policy is steered on that one."""
    e = subject.settings.evaluation
    return e.split if e.split != e.report_split else "train"


def fit_probes(
    recording: Recording, subject: Subject, label: str, layers: dict[int, str], board: tuple[int, int], spec: ProbeSpec
) -> dict[int, Probe]:
    """Fits a 1x1 probe to each layer's cell state after a step's last tick.

    Raises:
        ConfigError: the recording has only one class of the label.
    """
    labelled = targets(recording, find_labels(str(subject.config.env.id), [label], "steer.label"), board, spec.unsolved)
    everything = Split(np.ones(len(recording.index), bool), np.ones(len(recording.index), bool))
    if not labelled or not (bench := Bench(recording, labelled[0], everything, spec)).possible:
        raise ConfigError("probe.levels", spec.levels, f"more: no two classes of {label} in what was recorded")
    probes = {}
    with working("fitting probes", len(layers)) as advance:
        for layer, name in layers.items():
            fitted = bench.fit(recording.tensor(name), 1).probe
            assert fitted is not None
            probes[layer] = fitted
            advance(1)
    return probes


def ablate_channels(
    subject: Subject,
    env: LevelVectorEnv,
    recording: Recording,
    probes: dict[int, Probe],
    spec: SteerSpec,
    confidence: float,
) -> list[Finding]:
    """Ablates the channels with the largest weights in the probes; [] if ``spec`` asks for no ablation."""
    if not spec.channels or not spec.methods:
        return []
    ranked = {layer: np.argsort(-probe.norms).tolist() for layer, probe in probes.items()}
    means = {layer: recording.tensor(name).mean(0) for layer, name in cell_layers(subject).items()}
    with working("ablating", len(ranked) * len(spec.methods) * len(spec.channels)) as advance:
        return [
            ablation(
                subject.policy,
                env,
                ranked,
                means,
                spec.channels,
                spec.methods,
                spec.seed,
                spec.draws,
                confidence,
                advance,
            )
        ]


def patch_places(
    subject: Subject, env: LevelVectorEnv, places: Sequence[str], spec: SteerSpec, confidence: float
) -> list[Finding]:
    """Patches between levels and the same levels with the goal moved; [] if nothing is to be patched or no pair
    counts."""
    if not places:
        return []
    device = next(subject.policy.parameters()).device
    clean, changed = (torch.from_numpy(boards).to(device) for boards in changed_boards(env, spec.seed))
    with working("patching", len(places)) as advance:
        finding = patching(subject.policy, clean, changed, places, confidence, advance)
    return [finding] if finding else []


def answer(findings: Sequence[Finding]) -> list[str]:
    """Sums up the findings in sentences."""
    table = findings[0].table
    sentences = []
    for moves, rows in table.groupby("moves", sort=False):
        best = rows.loc[rows["difference"].idxmax()]
        way = "to a move" if moves == 1 else f"along {moves} moves"
        sentences.append(
            f"Steered {way} that it does not make by itself, it goes there in {best['steered']:.0%} "
            f"[{best['low']:.0%}, {best['high']:.0%}] at its best (layer {best['layer']}, {best['cells']}, "
            f"{best['when']}, alpha {best['alpha']:g}); with random vectors of that norm in {best['random']:.0%}."
        )
    for finding in findings[1:]:
        table = finding.table
        if finding.name == "ablation":
            worst = table.loc[(table["difference"] - table["random_difference"]).idxmin()]
            sentences.append(
                f"Without {worst['channels']} channels that the probe reads most from (layer {worst['layer']}, "
                f"{worst['method']}) its solve rate changes by {100 * worst['difference']:+.1f} points; without as "
                f"many random ones by {100 * worst['random_difference']:+.1f}."
            )
        if finding.name == "patching":
            inner = table[table["layer"] != ""]
            most = (inner if len(inner) else table).sort_values("restored").iloc[-1]
            sentences.append(
                f"The goal's place is restored best by {most['place']}: {most['restored']:.0%} of the preference."
            )
    return sentences


def metrics(steered: Finding) -> dict[str, float]:
    """Returns metrics for single moves: steer/first_tick and steer/every_tick, the share steered at the setting that
    beats random vectors most, and the same with ``_random`` for the random vectors there."""
    by_name: dict[str, float] = {}
    single = steered.table[steered.table["moves"] == 1]
    for when, rows in single.groupby("when", sort=False):
        best = rows.loc[rows["difference"].idxmax()]
        name = "first_tick" if when == ONCE else "every_tick"
        by_name |= {f"steer/{name}": float(best["steered"]), f"steer/{name}_random": float(best["random"])}
    return by_name
