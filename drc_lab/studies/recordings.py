"""What the interpretation tasks share: the levels that a policy plays, and recordings of what it computes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drc_lab.app.fits import check_fits
from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.app.start import say
from drc_lab.arguments import plain
from drc_lab.config import build_policy
from drc_lab.envs.external import our_ids
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
from drc_lab.studies.levels import count_levels
from drc_lab.studies.subject import Subject
from drc_lab.tracking.datasets import digest

FOLDER = "recordings"  # in a run's folder
AT_ONCE = 500  # levels that are played at a time
COPIES = 3  # copies of a recording in memory: as on disk, in float32, and as features of a probe
STATES = ("*.*.h", "*.*.c")  # names that are recorded by default, if the policy has them


def boards(subject: Subject, levels: int, key: str, split: str | None = None, at_once: int = AT_ONCE) -> LevelVectorEnv:
    """Makes an env that deals each held-out level once.

    Args:
        subject: the policy that will play them, with its config.
        levels: how many levels; all if there are fewer.
        key: config key that ``levels`` comes from.
        split: of the levels; None is ``evaluation.report_split``.
        at_once: largest number of boards of the env.

    Raises:
        ConfigError: the env is none of the project's own games, whose boards can be read; the policy cannot play
            there; or its observations have more than one pixel a cell.
    """
    config = subject.config
    if config.env.id not in our_ids():
        raise ConfigError("env.id", config.env.id, f"{' | '.join(our_ids())}: of other games no board is known")
    split = split or subject.settings.evaluation.report_split
    so_many = config.copy()
    so_many.evaluation.num_levels = levels

    def make_env(num_envs: int) -> LevelVectorEnv:
        try:
            env = held_out_env(Settings(so_many), split, "evaluation.report_split", autoreset=False, num_envs=num_envs)
        except ConfigError as error:
            raise ConfigError(key, levels, error.allowed) if error.key == "evaluation.num_levels" else error from None
        assert isinstance(env, LevelVectorEnv)
        return env

    env = make_env(min(at_once, levels))
    if (known := count_levels(env)) < env.num_envs:  # a fixed set without splits: do not deal a level twice
        env = make_env(known)
    check_fits(subject.policy, num_actions(subject.policy), env, "env")
    shape = env.single_observation_space.shape
    if shape is None or len(shape) != 3 or shape[1] > size_of(env)[0]:
        raise ConfigError("env.observation", config.env.get("observation"), "planes, or rgb with one pixel a cell")
    return env


def recorded_names(policy: Policy, names: Sequence[str] | None) -> list[str]:
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


def facts_of(env: LevelVectorEnv, subject: Subject, spec: ProbeSpec) -> dict[str, Any]:
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
    check_folder(folder, key_of(facts_of(env, subject, spec), names, None, spec.dtype))
    steps = env.max_steps[1] + (env.free_thinks or 0)
    levels = min(spec.levels, count_levels(env))
    runs = steps + spec.passes
    check_memory("probe.levels", levels, runs * bytes_of(subject.policy, env, names, "float32") * COPIES)
    size = episodes * levels * runs * bytes_of(subject.policy, env, names, spec.dtype)
    say(f"recordings: at most {size / 2**20:,.0f} MiB, if every episode takes all its {steps} steps")


def recorded(
    policy: Policy,
    env: LevelVectorEnv,
    names: Sequence[str],
    spec: ProbeSpec,
    folder: Path,
    subject: Subject,
    thinking: Thinking | None = None,
    actions: Mapping[int, np.ndarray] | None = None,
    **more: Any,
) -> Recording:
    """Makes the parts of a recording that its folder lacks, and reads it; ``more`` is added to what it depends on."""
    about = facts_of(env, subject, spec) | more
    with working(f"recording {about['levels']:,} episodes", about["levels"]) as advance:
        for number in record(policy, env, names, about["levels"], folder, about, thinking, spec.dtype, actions):
            advance(number)
    return Recording.read(folder)


def untrained(subject: Subject, env: LevelVectorEnv, seed: int) -> Policy:
    """Returns a policy of the same architecture with freshly initialised weights, as a training would start with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        assert subject.policy_config is not None
        policy = build_policy(subject.policy_config, env)
    return policy.eval().to(next(subject.policy.parameters()).device)
