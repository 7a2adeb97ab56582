"""task=probe: what can be read from what a policy computes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors.numpy import save_file

from drc_lab.arguments import from_mapping
from drc_lab.config import build_policy, plain
from drc_lab.envs.external import our_ids
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.evaluator import Thinking
from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.video import write_video
from drc_lab.files import written
from drc_lab.interpretation.alternatives import default_label
from drc_lab.interpretation.dictionary import STEPS, TOLD, dictionary_finding
from drc_lab.interpretation.emergence import at_checkpoint, emergence
from drc_lab.interpretation.hooks import read_names
from drc_lab.interpretation.labels import find_labels
from drc_lab.interpretation.plan_video import plan_frames
from drc_lab.interpretation.probing import Probed, Split, Target, count_probes, probe_all, probe_findings, targets
from drc_lab.interpretation.recording import Recording, bytes_of, record
from drc_lab.interpretation.refinement import refinement
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy, num_actions
from drc_lab.progress import working
from drc_lab.tasks.checked import check_single, evaluation_spec, thinking_spec
from drc_lab.tasks.held_out import check_fits, held_out_env
from drc_lab.tasks.investigate import tell_where
from drc_lab.tasks.laboratory import Subject, count_levels
from drc_lab.tasks.record import evaluation_run
from drc_lab.tasks.reporting import report_findings
from drc_lab.tasks.start import say, start
from drc_lab.tasks.subjects import subjects
from drc_lab.tracking.datasets import digest

RECORDINGS = "recordings"  # folder in a run's
PROBES, PLAN = "probes.safetensors", "plan.gif"
FPS = 3
COPIES = 3  # of a recording in memory: as it is on disk, in float32, and as features


def main(config: DictConfig, folder: Path) -> None:
    """Records, labels, fits probes and their controls; prints and writes the report. Of a run (``thinking.run``) all
    checkpoints, one after the other."""
    start(config)
    found = subjects(config)
    spec = from_mapping(ProbeSpec, plain(config.probe), "probe")
    if thinking_spec(config).run is not None:
        return over_frames(config, found, spec, folder)
    check_single([subject.name for subject in found])
    subject = found[0]
    env = probed_env(subject, spec.levels)
    labels = find_labels(str(subject.config.env.id), spec.labels)
    read_names(subject.policy, spec.names, key="probe.names")
    with evaluation_run(config, folder) as run:
        tell_size(subject.policy, env, spec)
        recording = recorded(subject.policy, env, spec, folder / RECORDINGS / "policy", subject)
        actions = {episode.level: episode.actions for episode in recording.episodes}
        other = untrained(subject, env, spec.seed)
        control = recorded(other, env, spec, folder / RECORDINGS / "untrained", subject, actions=actions)
        board = tuple(recording.tensors["obs"].shape[2:])
        wanted = targets(recording, labels, board, spec.unsolved)
        confidence = evaluation_spec(subject.config).confidence
        with working("fitting probes", count_probes(recording, wanted, spec)) as advance:
            probed = probe_all(recording, control, wanted, spec, confidence, advance)
        findings = probe_findings(probed, wanted, confidence)
        findings += refined(subject, env, spec, folder, probed, recording, board, confidence)
        findings += described(recording, wanted, spec)
        write_probes(probed, folder / PROBES)
        video = write_plan(recording, env, probed, spec, folder / PLAN)
        sentences = answer(findings[0], recording)
        shown = report_findings("What can be read from it?", subject, env, sentences, findings, folder, run)
        for path in [folder / PROBES, *([video] if video else [])]:
            run.log_artifact(path)
        run.log_metrics(metrics(findings[0]), subject.frames)
    tell_where([*shown, ("probes", folder / PROBES), *([("plan", video)] if video else []), *run.shown])


def over_frames(config: DictConfig, found: Sequence[Subject], spec: ProbeSpec, folder: Path) -> None:
    """The plan in all checkpoints of a run."""
    first = found[0]
    env = probed_env(first, spec.levels)
    labels = find_labels(str(first.config.env.id), spec.labels)
    read_names(first.policy, spec.names, key="probe.names")
    confidence = evaluation_spec(first.config).confidence
    rows: list[dict[str, object]] = []
    with evaluation_run(config, folder) as run:
        tell_size(first.policy, env, spec)
        for subject in found:
            own = folder / RECORDINGS / subject.digest[:12]
            recording = recorded(subject.policy, env, spec, own / "policy", subject)
            passes = {"thinking": Thinking(spec.passes)}
            thought = recorded(subject.policy, env, spec, own / "passes", subject, **passes) if spec.passes else None
            board = (recording.tensors["obs"].shape[2], recording.tensors["obs"].shape[3])
            with working(f"probing {subject.frames:,} frames"):
                wanted = targets(recording, labels, board, spec.unsolved)
                rows += at_checkpoint(subject.frames, recording, thought, wanted, spec, confidence)
        if not rows:
            raise ConfigError(
                "probe.labels", spec.labels, "labels of cells, of which a checkpoint's episodes have two classes"
            )
        finding = emergence(rows, spec.passes, confidence)
        for row in rows:
            run.log_metrics({f"probe/{row['label']}": row["score"]}, int(str(row["frames"])))
        sentence = f"{len(found)} checkpoints, from {found[0].frames:,} to {found[-1].frames:,} frames."
        shown = report_findings("When does the plan appear?", found[-1], env, [sentence], [finding], folder, run)
    tell_where([*shown, *run.shown])


def probed_env(subject: Subject, levels: int, split: str | None = None, at_once: int = 500) -> LevelVectorEnv:
    """Held-out levels, of ``evaluation.report_split`` if no other is named.

    Raises:
        ConfigError: the env is none of the project's, of which boards are known; or the policy cannot play there.
    """
    config, e = subject.config, evaluation_spec(subject.config)
    if config.env.id not in our_ids():
        raise ConfigError("env.id", config.env.id, f"{' | '.join(our_ids())}: of other games no board is known")
    own = config.copy()
    own.evaluation.num_levels = levels
    key, many = "evaluation.report_split", min(at_once, levels)
    env = held_out_env(own, split or e.report_split, key, autoreset=False, num_envs=many)
    assert isinstance(env, LevelVectorEnv)
    check_fits(subject.policy, num_actions(subject.policy), env, "env")
    return env


def tell_size(policy: Policy, env: LevelVectorEnv, spec: ProbeSpec) -> None:
    """Says how large the recordings will be at most.

    Raises:
        ConfigError: they would not fit into memory.
    """
    steps = env.max_steps[1]
    runs = min(spec.levels, count_levels(env)) * (2 * steps + (steps + spec.passes if spec.passes else 0))
    each = bytes_of(policy, env, spec.names, spec.dtype)
    check_memory("probe.levels", spec.levels, runs // spec.levels * each * COPIES)
    size = runs * each
    say(f"recordings: at most {size / 2**20:,.0f} MiB, if every episode takes all its {steps} steps")


def recorded(
    policy: Policy, env: LevelVectorEnv, spec: ProbeSpec, folder: Path, subject: Subject, **how: Any
) -> Recording:
    """The recording in a folder, made as far as it is missing."""
    levels = min(spec.levels, count_levels(env))
    about = facts_of(env, subject) | {"levels": levels}
    with working(f"recording {levels:,} episodes", levels) as advance:
        for number in record(policy, env, spec.names, levels, folder, about, dtype=spec.dtype, **how):
            advance(number)
    return Recording.read(folder)


def facts_of(env: BatchEnv, subject: Subject) -> dict[str, Any]:
    """What a recording depends on, and what its reader has to know."""
    assert isinstance(env, LevelVectorEnv)
    width = env.batch.width  # type: ignore[attr-defined]
    cells = next(each.shape[1] for name, each in vars(env.batch).items() if name in ("tiles", "walls"))
    return {"game": str(subject.config.env.id), "height": cells // width, "width": width, "weights": subject.digest,
            "env": plain(subject.config.env), "digest": digest(env, plain(subject.config.evaluation))}  # fmt: skip


def untrained(subject: Subject, env: BatchEnv, seed: int) -> Policy:
    """Another net of the same shape, with the weights that a training would begin with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        assert subject.policy_config is not None
        made = build_policy(subject.policy_config, env)
    device = next(subject.policy.parameters()).device
    return made.eval().to(device)


def refined(
    subject: Subject, env: LevelVectorEnv, spec: ProbeSpec, folder: Path, probed: Probed, recording: Recording,
    board: tuple[int, ...], confidence: float,
) -> list[Finding]:  # fmt: skip
    """How the plan changes over extra passes, where there are to be any and the policy has ticks."""
    labels = [label for label in find_labels(str(subject.config.env.id), spec.labels) if label.cells]
    if not spec.passes or not labels:
        return []
    thought = recorded(
        subject.policy, env, spec, folder / RECORDINGS / "passes", subject, thinking=Thinking(spec.passes)
    )
    split = Split.of(recording, spec.train_share, spec.seed)
    test = recording.index["level"][split.test].unique()
    wanted = targets(thought, labels, (board[0], board[1]), spec.unsolved)
    finding = refinement(probed, thought, wanted, test, spec, confidence)
    return [finding] if finding else []


def described(recording: Recording, wanted: Sequence[Target], spec: ProbeSpec) -> list[Finding]:
    """A dictionary of the last layer's last cell state, where there is one."""
    states = [name for name in recording.names if name.endswith(".c")]
    if not spec.features or not states:
        return []
    split = Split.of(recording, spec.train_share, spec.seed)
    with working("learning a dictionary", STEPS // TOLD) as advance:
        return [
            dictionary_finding(recording, states[-1], wanted, split, spec.features, spec.active, spec.seed, advance)
        ]


def answer(best: Finding, recording: Recording) -> list[str]:
    """In sentences."""
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
    """probe/LABEL of the best place, by 1x1 probes or of the whole map."""
    rows = best.table[best.table["cells"] != "3x3"]
    return {f"probe/{row.label}": float(row.score) for row in rows.itertuples()}


def write_plan(recording: Recording, env: LevelVectorEnv, probed: Probed, spec: ProbeSpec, path: Path) -> Path | None:
    """A video of the first levels with the plan drawn on them, where 1x1 probes read directions off cell states."""
    by_tick = {name: probe for (label, name, kernel), probe in probed.probes.items()
               if label == default_label(env.batch) and kernel == 1 and name.endswith(".c")}  # fmt: skip
    if not by_tick or not spec.video_levels:
        return None
    layer = max(name.split(".")[0] for name in by_tick)
    names = [name for name in by_tick if name.startswith(f"{layer}.")]
    test = Split.of(recording, spec.train_share, spec.seed).test
    levels = recording.index["level"][test].unique()[: spec.video_levels].tolist()
    with working("video of the plan"):
        frames = plan_frames(recording, env, [by_tick[name] for name in names], names, levels)
        write_video(frames, path, FPS)
    return path


def write_probes(probed: Probed, path: Path) -> None:
    """All probes: LABEL/NAME/KERNEL.weight [K, F] and .bias [K]."""
    tensors = {}
    for (label, name, kernel), probe in probed.probes.items():
        tensors[f"{label}/{name}/{kernel}.weight"], tensors[f"{label}/{name}/{kernel}.bias"] = probe.weight, probe.bias
    with written(path) as part:
        save_file(tensors, part, {"drc_lab": json.dumps({"labels": _names(probed)})})


def _names(probed: Probed) -> Sequence[str]:
    return list(dict.fromkeys(label for label, _, _ in probed.probes))
