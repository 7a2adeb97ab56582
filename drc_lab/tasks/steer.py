"""task=steer: whether a policy acts on what probes read from it.

python -m drc_lab task=steer checkpoint=FILE
"""

from dataclasses import replace
from pathlib import Path

from drc_lab.app.continuing import continuable
from drc_lab.app.held_out import held_out_group
from drc_lab.app.record import evaluation_run
from drc_lab.app.settings import Settings
from drc_lab.app.start import start
from drc_lab.errors import ConfigError
from drc_lab.interpretation.causal.alternatives import (
    default_label,
    possible_moves,
)
from drc_lab.interpretation.hooks import read_names
from drc_lab.interpretation.labels import find_labels
from drc_lab.studies.recordings import FOLDER, board_env, check_recordings, make_recording
from drc_lab.studies.reporting import report_findings, tell_where
from drc_lab.studies.steering import (
    ablate_channels,
    answer,
    cell_layers,
    channels_of,
    check_channels,
    fit_probes,
    metrics,
    other_split,
    patch_places,
    steer_along_routes,
)
from drc_lab.studies.subjects import load_single
from drc_lab.tracking.datasets import digest, fixed_levels


def main(settings: Settings, folder: Path) -> None:
    """Fits probes on some levels; steers, ablates and patches the policy on others; prints and writes the report."""
    start(settings)
    subject, probe_spec, spec = load_single(settings), settings.probe, settings.steer
    layers = cell_layers(subject)
    check_channels(spec.channels, channels_of(subject, layers))
    env = board_env(subject, spec.levels, "steer.levels", at_once=spec.levels)
    probe_env = board_env(subject, probe_spec.levels, "probe.levels", split=other_split(subject))
    if fixed_levels(env) is not None and digest(env, {}) == digest(probe_env, {}):
        allowed = "levels with splits, as probes are fitted to others than are steered"
        raise ConfigError("env.levels", held_out_group(subject.settings).get("levels"), allowed)
    label = spec.label or default_label(env.batch)
    find_labels(str(subject.config.env.id), [label], "steer.label")
    env.reset(seed=spec.seed)
    possible_moves(env.batch, label)  # raises now if the label does not stand for single moves
    places = [point.name for point in read_names(subject.policy, spec.patch, key="steer.patch")[1]]
    names = list(layers.values())
    without_passes = replace(probe_spec, passes=0)
    check_recordings(subject, probe_env, names, without_passes, folder / FOLDER / "probes", episodes=1)
    confidence = subject.settings.evaluation.confidence
    with evaluation_run(settings, folder, subject.config) as run, continuable(folder):
        recording = make_recording(subject, probe_env, names, without_passes, folder / FOLDER / "probes")
        board = recording.board
        probes = fit_probes(recording, subject, label, layers, board, probe_spec)
        findings = [steer_along_routes(subject, probes, label, board, spec, confidence)]
        findings += ablate_channels(subject, env, recording, probes, spec, confidence)
        findings += patch_places(subject, env, places, spec, confidence)
        shown = report_findings("Does it act on its plan?", subject, env, answer(findings), findings, folder, run)
        run.log_metrics(metrics(findings[0]), subject.frames)
    tell_where([*shown, *run.shown])
