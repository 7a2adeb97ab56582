"""task=probe: what can be read linearly from a policy's activations.

python -m drc_lab task=probe checkpoint=FILE
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drc_lab.app.checkpoints import check_single
from drc_lab.app.continuing import continuable
from drc_lab.app.record import evaluation_run
from drc_lab.app.settings import Settings
from drc_lab.app.start import start
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.interpretation.labels import find_labels
from drc_lab.interpretation.probes.emergence import at_checkpoint, emergence
from drc_lab.interpretation.probes.probing import count_probes, probe_all, probe_findings
from drc_lab.interpretation.probes.targets import targets
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.progress import working
from drc_lab.studies.probing import (
    answer,
    channel_findings,
    dictionary_findings,
    metrics,
    refinement_findings,
    write_plan,
    write_probes,
)
from drc_lab.studies.recordings import (
    FOLDER,
    board_env,
    check_recordings,
    make_control_recording,
    make_recording,
    names_to_record,
)
from drc_lab.studies.reporting import report_findings, tell_where
from drc_lab.studies.subjects import Subject, load_subjects

PROBES, PLAN = "probes.safetensors", "plan.gif"
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
    env = board_env(subject, spec.levels, "probe.levels")
    labels = find_labels(str(subject.config.env.id), spec.labels)
    names = names_to_record(subject.policy, spec.names)
    check_recordings(subject, env, names, spec, where / "policy", episodes=2 + (spec.passes > 0))
    confidence = subject.settings.evaluation.confidence
    with evaluation_run(settings, folder, subject.config) as run, continuable(folder):
        recording = make_recording(subject, env, names, spec, where / "policy")
        control = make_control_recording(subject, env, names, spec, where / "untrained", recording)
        labelled = targets(recording, labels, recording.board, spec.unsolved)
        with working("fitting probes", count_probes(recording, labelled, spec)) as advance:
            probed = probe_all(recording, control, labelled, spec, confidence, advance)
        findings = probe_findings(probed, labelled, confidence)
        if spec.passes:
            thought = make_recording(subject, env, names, spec, where / "passes", Thinking(spec.passes))
            findings += refinement_findings(thought, labels, probed, recording, spec, confidence)
        findings += dictionary_findings(recording, env, labelled, spec)
        findings += channel_findings(recording, env, probed, spec)
        write_probes(probed, folder / PROBES)
        video = write_plan(recording, env, probed, spec, folder / PLAN)
        sentences = answer(findings[0], recording)
        more = {"video": video, "video_title": "Its plan, tick by tick", "video_text": PLAN_TEXT}
        shown = report_findings("What can be read from it?", subject, env, sentences, findings, folder, run, **more)
        for path in [folder / PROBES, *([video] if video else [])]:
            run.log_artifact(path)
        run.log_metrics(metrics(findings[0]), subject.frames)
    tell_where([*shown, ("probes", folder / PROBES), *([("plan", video)] if video else []), *run.shown])


def over_frames(settings: Settings, subjects: Sequence[Subject], spec: ProbeSpec, folder: Path) -> None:
    """Probes all checkpoints of a run, to see when the plan appears in training."""
    first, last, where = subjects[0], subjects[-1], folder / FOLDER
    env = board_env(first, spec.levels, "probe.levels")
    labels = [label for label in find_labels(str(first.config.env.id), spec.labels) if label.cells]
    if not labels:
        raise ConfigError("probe.labels", spec.labels, "at least one that cells have, to compare checkpoints by")
    names = names_to_record(first.policy, spec.names)
    episodes = len(subjects) * (1 + (spec.passes > 0))
    check_recordings(first, env, names, spec, where / first.digest[:12] / "policy", episodes)
    confidence = first.settings.evaluation.confidence
    rows: list[dict[str, Any]] = []
    with evaluation_run(settings, folder, first.config) as run, continuable(folder):
        for subject in subjects:
            place, thought = where / subject.digest[:12], None
            recording = make_recording(subject, env, names, spec, place / "policy")
            if spec.passes:
                thought = make_recording(subject, env, names, spec, place / "passes", Thinking(spec.passes))
            with working(f"probing {subject.frames:,} frames"):
                labelled = targets(recording, labels, recording.board, spec.unsolved)
                rows += at_checkpoint(subject.frames, recording, thought, labelled, spec, confidence)
        for row in rows:
            if "score" in row:
                run.log_metrics({f"probe/{row['label']}": row["score"]}, row["frames"])
        sentence = f"{len(subjects)} checkpoints, from {first.frames:,} to {last.frames:,} frames."
        finding = emergence(rows, spec.passes, confidence)
        shown = report_findings("When does the plan appear?", last, env, [sentence], [finding], folder, run)
    tell_where([*shown, *run.shown])
