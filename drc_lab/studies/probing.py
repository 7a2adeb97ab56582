"""What task=probe makes of fitted probes: findings, sentences, a video of the plan, and a file of the probes."""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import save

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.files import written
from drc_lab.interpretation.causal.alternatives import default_label
from drc_lab.interpretation.dictionary import STEPS, TOLD, dictionary_finding
from drc_lab.interpretation.labels import Label
from drc_lab.interpretation.pictures.galleries import channel_gallery
from drc_lab.interpretation.pictures.plan_video import plan_frames
from drc_lab.interpretation.probes.probing import Probed
from drc_lab.interpretation.probes.refinement import refinement
from drc_lab.interpretation.probes.targets import Split, Target, targets
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.progress import working

FPS = 3  # of the video of the plan


def refinement_findings(
    thought: Recording,
    labels: Sequence[Label],
    probed: Probed,
    recording: Recording,
    spec: ProbeSpec,
    confidence: float,
) -> list[Finding]:
    """Returns a finding on how the plan changes over extra passes; [] if no probe reads a cell state."""
    test = recording.index["level"][Split.of(recording, spec.train_share, spec.seed).test].unique()
    cells = [label for label in labels if label.cells]
    labelled = targets(thought, cells, thought.board, spec.unsolved)
    finding = refinement(probed, thought, labelled, test, spec, confidence)
    return [finding] if finding else []


def dictionary_findings(
    recording: Recording, env: LevelVectorEnv, labelled: Sequence[Target], spec: ProbeSpec
) -> list[Finding]:
    """Returns a finding on a dictionary of the last layer's cell state after its last tick; [] if there is none."""
    states = [name for name in recording.names if name.endswith(".c")]
    if not spec.features or not states:
        return []
    split = Split.of(recording, spec.train_share, spec.seed)
    with working("learning a dictionary", STEPS // TOLD) as advance:
        return [
            dictionary_finding(
                recording, states[-1], labelled, split, spec.features, spec.active, spec.seed, advance, env
            )
        ]


def shown_levels(recording: Recording, spec: ProbeSpec) -> list[int]:
    """Returns the first ``spec.video_levels`` of the levels that no probe was fitted to."""
    test = Split.of(recording, spec.train_share, spec.seed).test
    return recording.index["level"][test].unique()[: spec.video_levels].tolist()


def channel_findings(recording: Recording, env: LevelVectorEnv, probed: Probed, spec: ProbeSpec) -> list[Finding]:
    """Returns a gallery of channels of the last layer's cell state after its last tick; [] if no 1x1 probe reads the
    plan there."""
    label = default_label(env.batch)
    states = [name for name in recording.names if name.endswith(".c") and (label, name, 1) in probed.probes]
    if not states or not (levels := shown_levels(recording, spec)):
        return []
    weights = probed.probes[label, states[-1], 1].norms
    return [channel_gallery(recording, env, states[-1], weights, levels[0], label)]


def answer(best: Finding, recording: Recording) -> list[str]:
    """Sums up the probes and the recording in sentences."""
    table = best.table
    clear = table[table["clear"] == "yes"]
    said = [f"{len(clear)} of {len(table)} labels and probe sizes can be read better than all controls."]
    for row in clear.sort_values("score", ascending=False).head(3).itertuples():
        said.append(
            f"{row.label} from {row.reads} ({row.cells}): {row.score:.2f} [{row.low:.2f}, {row.high:.2f}], "
            f"observation {row.observation:.2f}."
        )
    episodes = recording.episodes
    solved = sum(episode.solved for episode in episodes)
    return [*said, f"From {len(episodes):,} episodes, {solved:,} of them solved, {len(recording.index):,} steps."]


def metrics(best: Finding) -> dict[str, float]:
    """Returns metrics probe/LABEL, the score at the best place, of 1x1 or whole-map probes."""
    rows = best.table[best.table["cells"] != "3x3"]
    return {f"probe/{row.label}": float(row.score) for row in rows.itertuples()}


def write_plan(recording: Recording, env: LevelVectorEnv, probed: Probed, spec: ProbeSpec, path: Path) -> Path | None:
    """Writes a video of levels with the plan drawn on them; returns None if no 1x1 probe reads it from cell states."""
    by_tick = {
        name: probe
        for (label, name, kernel), probe in probed.probes.items()
        if label == default_label(env.batch) and kernel == 1 and name.endswith(".c")
    }
    if not by_tick or not spec.video_levels:
        return None
    layer = max(int(name.split(".")[0]) for name in by_tick)
    names = [name for name in recording.names if name in by_tick and name.startswith(f"{layer}.")]
    levels = shown_levels(recording, spec)
    with working("video of the plan"):
        frames = plan_frames(recording, env, [by_tick[name] for name in names], names, levels)
        write_video(frames, path, FPS)
    return path


def write_probes(probed: Probed, path: Path) -> None:
    """Writes all probes as safetensors: LABEL/NAME/KERNEL.weight [K, F] and .bias [K]."""
    tensors = {}
    for (label, name, kernel), probe in probed.probes.items():
        tensors[f"{label}/{name}/{kernel}.weight"], tensors[f"{label}/{name}/{kernel}.bias"] = probe.weight, probe.bias
    with written(path) as part:
        labels = list(dict.fromkeys(label for label, _, _ in probed.probes))
        part.write_bytes(save(tensors, {"drc_lab": json.dumps({"labels": labels})}))
