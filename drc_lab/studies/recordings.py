"""What the interpretation tasks share: the levels that a policy plays, and recordings of what it computes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drc_lab.app.fits import check_fits
from drc_lab.app.settings import Settings
from drc_lab.app.start import say
from drc_lab.arguments import plain
from drc_lab.config import build_policy
from drc_lab.envs.games import GAMES, find_game
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.interpretation.hooks import points_of, read_names
from drc_lab.interpretation.recorder import bytes_of, check_folder, key_of, record, size_of
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy, num_actions
from drc_lab.progress import working
from drc_lab.studies.levels import count_levels, each_level_once
from drc_lab.studies.subjects import Subject
from drc_lab.tracking.datasets import digest

FOLDER = "recordings"  # in a run's folder
AT_ONCE = 500  # levels that are played at a time
COPIES = 3  # copies of a recording in memory: as on disk, in float32, and as features of a probe
STATES = ("*.*.h", "*.*.c")  # names that are recorded by default, if the policy has them


def board_env(
    subject: Subject, levels: int, key: str, split: str | None = None, at_once: int = AT_ONCE
) -> LevelVectorEnv:
    """Makes an env that deals each held-out level once.

    Args:
        subject: the policy that will play them, with its config.
        levels: how many levels; all if there are fewer.
        key: config key that ``levels`` comes from.
        split: of the levels; None is ``evaluation.report_split``.
        at_once: largest number of boards of the env.

    Raises:
        ConfigError: the env is none of the registered games, whose boards can be read; the policy cannot play
            there; or its observations have more than one pixel a cell.
    """
    config = subject.config
    if find_game(str(config.env.id)) is None:
        raise ConfigError("env.id", config.env.id, f"{' | '.join(GAMES)}: of other envs no board is known")
    so_many = config.copy()
    so_many.evaluation.num_levels = levels
    try:
        env = each_level_once(Settings(so_many), split or subject.settings.evaluation.report_split, at_once)
    except ConfigError as error:
        raise ConfigError(key, levels, error.allowed) if error.key == "evaluation.num_levels" else error from None
    assert isinstance(env, LevelVectorEnv)
    check_fits(subject.policy, num_actions(subject.policy), env, "env")
    shape = env.single_observation_space.shape
    if shape is None or len(shape) != 3 or shape[1] > size_of(env)[0]:
        raise ConfigError("env.observation", config.env.get("observation"), "planes, or rgb with one pixel a cell")
    return env


def names_to_record(policy: Policy, names: Sequence[str] | None) -> list[str]:
    """Returns the checked names of ``probe.names``; None is all hidden and cell states.

    Raises:
        ConfigError: a name selects nothing, or the policy has no hidden or cell states.
    """
    if names is None:
        whats = {point.what for point in points_of(policy) if point.layer is not None}
        names = [name for name in STATES if name[-1] in whats]
        if not names:
            read_names(policy, STATES, key="probe.names")  # raises, with the names that there are
    read_names(policy, names, key="probe.names")
    return list(names)


def recording_facts(env: LevelVectorEnv, subject: Subject, spec: ProbeSpec) -> dict[str, Any]:
    """Returns what a recording depends on, and what is needed to read it: the ``about`` of `record`."""
    config, (height, width) = subject.config, size_of(env)
    return {"game": str(config.env.id), "height": height, "width": width, "weights": subject.digest,
            "levels": min(spec.levels, count_levels(env)), "env": plain(config.env),
            "changed": plain(config.evaluation.env), "digest": digest(env, plain(config.evaluation))}  # fmt: skip


def check_recordings(
    subject: Subject, env: LevelVectorEnv, names: Sequence[str], spec: ProbeSpec, folder: Path, episodes: int
) -> None:
    """Checks before anything is written that recordings fit into memory, and says how large they can get on disk.

    Args:
        subject: the policy.
        env: that it plays in.
        names: of the recorded tensors.
        spec: settings of the recordings.
        folder: of the first recording.
        episodes: how many recordings there will be, that is episodes of each level.

    Raises:
        UserError: they would not fit into memory, or the folder holds another recording.
    """
    check_folder(folder, key_of(recording_facts(env, subject, spec), names, None, spec.dtype))
    steps = env.max_steps[1] + (env.free_thinks or 0)
    levels = min(spec.levels, count_levels(env))
    runs = steps + spec.passes
    check_memory("probe.levels", levels, runs * bytes_of(subject.policy, env, names, "float32") * COPIES)
    size = episodes * levels * runs * bytes_of(subject.policy, env, names, spec.dtype)
    say(f"recordings: at most {size / 2**20:,.0f} MiB, if every episode takes all its {steps} steps")


def make_recording(
    subject: Subject,
    env: LevelVectorEnv,
    names: Sequence[str],
    spec: ProbeSpec,
    folder: Path,
    thinking: Thinking | None = None,
) -> Recording:
    """Makes the parts of a recording of a policy that its folder lacks, and reads it.

    Args:
        subject: the policy.
        env: that it plays in.
        names: of the recorded tensors.
        spec: settings of the recording.
        folder: of the recording.
        thinking: extra thinking; None is none.
    """
    return _make(subject.policy, recording_facts(env, subject, spec), env, names, spec, folder, thinking)


def make_control_recording(
    subject: Subject, env: LevelVectorEnv, names: Sequence[str], spec: ProbeSpec, folder: Path, of: Recording
) -> Recording:
    """Makes the control of a recording: what an untrained policy computes in the same episodes.

    Args:
        subject: the policy, of the same architecture.
        env, names, spec, folder: see `make_recording`.
        of: the recording, whose actions are taken.
    """
    actions = {episode.level: episode.actions for episode in of.episodes}
    about = recording_facts(env, subject, spec) | {"untrained": spec.seed}
    return _make(untrained_policy(subject, env, spec.seed), about, env, names, spec, folder, actions=actions)


def _make(
    policy: Policy,
    about: dict[str, Any],
    env: LevelVectorEnv,
    names: Sequence[str],
    spec: ProbeSpec,
    folder: Path,
    thinking: Thinking | None = None,
    actions: Mapping[int, np.ndarray] | None = None,
) -> Recording:
    with working(f"recording {about['levels']:,} episodes", about["levels"]) as advance:
        for number in record(policy, env, names, about["levels"], folder, about, thinking, spec.dtype, actions):
            advance(number)
    return Recording.read(folder)


def untrained_policy(subject: Subject, env: LevelVectorEnv, seed: int) -> Policy:
    """Returns a policy of the same architecture with freshly initialised weights, as a training would start with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        assert subject.policy_config is not None
        policy = build_policy(subject.policy_config, env)
    return policy.eval().to(next(subject.policy.parameters()).device)
