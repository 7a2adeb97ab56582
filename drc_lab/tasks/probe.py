"""task=probe: what can be read linearly from a policy's activations.

python -m drc_lab task=probe checkpoint=FILE
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from drc_lab.app.checkpoints import check_single
from drc_lab.app.continuing import continuable
from drc_lab.app.record import evaluation_run
from drc_lab.app.settings import Settings
from drc_lab.app.start import start
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.files import written
from drc_lab.interpretation.causal.alternatives import default_label
from drc_lab.interpretation.dictionary import STEPS, TOLD, dictionary_finding
from drc_lab.interpretation.labels import Label, find_labels
from drc_lab.interpretation.pictures.galleries import channel_gallery
from drc_lab.interpretation.pictures.plan_video import plan_frames
from drc_lab.interpretation.probes.emergence import at_checkpoint, emergence
from drc_lab.interpretation.probes.probing import Probed, count_probes, probe_all, probe_findings
from drc_lab.interpretation.probes.refinement import refinement
from drc_lab.interpretation.probes.targets import Split, Target, targets
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.progress import working
from drc_lab.studies.recordings import FOLDER, boards, check_recordings, recorded, recorded_names, untrained
from drc_lab.studies.reporting import report_findings, tell_where
from drc_lab.studies.subject import Subject
from drc_lab.studies.subjects import load_subjects

PROBES, PLAN = "probes.safetensors", "plan.gif"
FPS = 3
PLAN_TEXT = (
    "Levels that no probe was fitted to. An arrow: what a 1x1 probe of the last layer's cell state reads there, the "
    "more solid the surer it is."
)


def main(settings: Settings, folder: Path) -> None:
    """Records episodes, fits probes and their controls, and prints and writes the report. With ``thinking.run`` it
    compares all checkpoints of a run instead."""
    start(settings)
    subjects, spec = load_subjects(settings), settings.probe
    if settings.thinking.run is not None:
        return over_frames(settings, subjects, spec, folder)
    check_single([subject.name for subject in subjects])
    subject, where = subjects[0], folder / FOLDER
    env = boards(subject, spec.levels, "probe.levels")
    labels = find_labels(str(subject.config.env.id), spec.labels)
    names = recorded_names(subject.policy, spec.names)
    check_recordings(subject, env, names, spec, where / "policy", episodes=2 + (spec.passes > 0))
    confidence = subject.settings.evaluation.confidence
    with evaluation_run(settings, folder) as run, continuable(folder):
        recording = recorded(subject.policy, env, names, spec, where / "policy", subject)
        actions = {episode.level: episode.actions for episode in recording.episodes}
        other = untrained(subject, env, spec.seed)
        control = recorded(other, env, names, spec, where / "untrained", subject, None, actions, untrained=spec.seed)
        wanted = targets(recording, labels, recording.board, spec.unsolved)
        with working("fitting probes", count_probes(recording, wanted, spec)) as advance:
            probed = probe_all(recording, control, wanted, spec, confidence, advance)
        findings = probe_findings(probed, wanted, confidence)
        if spec.passes:
            thought = recorded(subject.policy, env, names, spec, where / "passes", subject, Thinking(spec.passes))
            findings += refined(thought, labels, probed, recording, spec, confidence)
        findings += described(recording, env, wanted, spec)
        findings += channels(recording, env, probed, spec)
        write_probes(probed, folder / PROBES)
        video = write_plan(recording, env, probed, spec, folder / PLAN)
        sentences = answer(findings[0], recording)
        film = {"video": video, "video_title": "Its plan, tick by tick", "video_text": PLAN_TEXT}
        shown = report_findings("What can be read from it?", subject, env, sentences, findings, folder, run, **film)
        for path in [folder / PROBES, *([video] if video else [])]:
            run.log_artifact(path)
        run.log_metrics(metrics(findings[0]), subject.frames)
    tell_where([*shown, ("probes", folder / PROBES), *([("plan", video)] if video else []), *run.shown])


def over_frames(settings: Settings, subjects: Sequence[Subject], spec: ProbeSpec, folder: Path) -> None:
    """Probes all checkpoints of a run, to see when the plan appears in training."""
    first, last, where = subjects[0], subjects[-1], folder / FOLDER
    env = boards(first, spec.levels, "probe.levels")
    labels = [label for label in find_labels(str(first.config.env.id), spec.labels) if label.cells]
    if not labels:
        raise ConfigError("probe.labels", spec.labels, "at least one that cells have, to compare checkpoints by")
    names = recorded_names(first.policy, spec.names)
    episodes = len(subjects) * (1 + (spec.passes > 0))
    check_recordings(first, env, names, spec, where / first.digest[:12] / "policy", episodes)
    confidence = first.settings.evaluation.confidence
    rows: list[dict[str, Any]] = []
    with evaluation_run(settings, folder) as run, continuable(folder):
        for subject in subjects:
            place, thought = where / subject.digest[:12], None
            recording = recorded(subject.policy, env, names, spec, place / "policy", subject)
            if spec.passes:
                thought = recorded(subject.policy, env, names, spec, place / "passes", subject, Thinking(spec.passes))
            with working(f"probing {subject.frames:,} frames"):
                wanted = targets(recording, labels, recording.board, spec.unsolved)
                rows += at_checkpoint(subject.frames, recording, thought, wanted, spec, confidence)
        for row in rows:
            if "score" in row:
                run.log_metrics({f"probe/{row['label']}": row["score"]}, row["frames"])
        sentence = f"{len(subjects)} checkpoints, from {first.frames:,} to {last.frames:,} frames."
        finding = emergence(rows, spec.passes, confidence)
        shown = report_findings("When does the plan appear?", last, env, [sentence], [finding], folder, run)
    tell_where([*shown, *run.shown])


def refined(
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
    wanted = targets(thought, cells, thought.board, spec.unsolved)
    finding = refinement(probed, thought, wanted, test, spec, confidence)
    return [finding] if finding else []


def described(recording: Recording, env: LevelVectorEnv, wanted: Sequence[Target], spec: ProbeSpec) -> list[Finding]:
    """Returns a finding on a dictionary of the last layer's cell state after its last tick; [] if there is none."""
    states = [name for name in recording.names if name.endswith(".c")]
    if not spec.features or not states:
        return []
    split = Split.of(recording, spec.train_share, spec.seed)
    with working("learning a dictionary", STEPS // TOLD) as advance:
        return [dictionary_finding(recording, states[-1], wanted, split, spec.features, spec.active, spec.seed, advance,
                                   env)]  # fmt: skip


def shown_levels(recording: Recording, spec: ProbeSpec) -> list[int]:
    """Returns the first ``spec.video_levels`` of the levels that no probe was fitted to."""
    test = Split.of(recording, spec.train_share, spec.seed).test
    return recording.index["level"][test].unique()[: spec.video_levels].tolist()


def channels(recording: Recording, env: LevelVectorEnv, probed: Probed, spec: ProbeSpec) -> list[Finding]:
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
        said.append(f"{row.label} from {row.reads} ({row.cells}): {row.score:.2f} [{row.low:.2f}, {row.high:.2f}], "
                    f"observation {row.observation:.2f}.")  # fmt: skip
    episodes = recording.episodes
    solved = sum(episode.solved for episode in episodes)
    return [*said, f"From {len(episodes):,} episodes, {solved:,} of them solved, {len(recording.index):,} steps."]


def metrics(best: Finding) -> dict[str, float]:
    """Returns metrics probe/LABEL, the score at the best place, of 1x1 or whole-map probes."""
    rows = best.table[best.table["cells"] != "3x3"]
    return {f"probe/{row.label}": float(row.score) for row in rows.itertuples()}


def write_plan(recording: Recording, env: LevelVectorEnv, probed: Probed, spec: ProbeSpec, path: Path) -> Path | None:
    """Writes a video of levels with the plan drawn on them; returns None if no 1x1 probe reads it from cell states."""
    by_tick = {name: probe for (label, name, kernel), probe in probed.probes.items()
               if label == default_label(env.batch) and kernel == 1 and name.endswith(".c")}  # fmt: skip
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
        save_file(tensors, part, {"drc_lab": json.dumps({"labels": _names(probed)})})


def _names(probed: Probed) -> Sequence[str]:
    return list(dict.fromkeys(label for label, _, _ in probed.probes))
