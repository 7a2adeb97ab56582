"""What evaluations of a checkpoint share, alone or after its training: the policy, its levels, and playing them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from drc_lab.app.checked import as_trained, evaluation_spec, size_key, thinking_spec
from drc_lab.app.held_out import check_fits, held_out_env
from drc_lab.app.precision import set_precision
from drc_lab.app.start import check_accelerator, say
from drc_lab.arguments import plain
from drc_lab.envs.external import our_ids
from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import UserError
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.findings import findings
from drc_lab.evaluation.measures.trace import BYTES_OF_A_TICK, trace, trace_findings
from drc_lab.evaluation.play.memory import bytes_per_level
from drc_lab.evaluation.play.records import baseline_of
from drc_lab.evaluation.play.sweep import Parts, sweep
from drc_lab.evaluation.play.thinking import Setting
from drc_lab.evaluation.stats.power import in_words
from drc_lab.evaluation.watchers.chosen import watchers
from drc_lab.learning.checkpoints import policy_of, read_checkpoint
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy, num_actions
from drc_lab.progress import working
from drc_lab.tracking.datasets import digest, fixed_levels

PARTS = "parts"  # in a run's folder: what a sweep of settings has played so far, to resume it after an interruption


@dataclass(frozen=True)
class Subject:
    """A policy to be evaluated.

    Args:
        name: of its checkpoint.
        policy: in evaluation mode.
        config: of the evaluation, with the training's env and held-out levels unless the command line changes them.
        frames: number of frames that it was trained for.
        seed: of its training.
        digest: SHA-256 of its weights.
        training: folder and seed of its training; () if they are unknown.
        policy_config: config that the policy was built from; None if unknown.
    """

    name: str
    policy: Policy
    config: DictConfig
    frames: int
    seed: int
    digest: str
    training: tuple[str, int] | tuple[()] = ()
    policy_config: DictConfig | None = None


def load_subject(config: DictConfig, path: Path, name: str) -> Subject:
    """Loads the policy of a checkpoint for evaluation.

    Raises:
        UserError: the file does not exist or is no checkpoint.
    """
    state = read_checkpoint(path)
    policy, trained = policy_of(state)
    weights = hashlib.sha256()
    for key, weight in sorted(state["state_dict"].items()):
        weights.update(key.encode() + weight.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    config = as_trained(config, trained, HydraConfig.get().overrides.task)
    device = device_of(config)
    set_precision(policy, config, device)
    frames, seed = int(state.get("frames", 0)), int(trained.get("seed", 0))
    training = (str(trained.folder), seed) if trained.get("folder") else ()
    return Subject(name, policy.to(device), config, frames, seed, weights.hexdigest(), training, trained.policy)


def device_of(config: DictConfig) -> torch.device:
    """Returns a single device of the kind that ``trainer.accelerator`` names.

    Raises:
        UserError: this machine has no such device.
    """
    check_accelerator(config.trainer.accelerator)
    if config.trainer.accelerator in ("cpu", "auto") and not torch.accelerator.is_available():
        return torch.device("cpu")
    try:
        import lightning as L  # importing it takes seconds, and the CPU does not need it

        return L.Fabric(accelerator=str(config.trainer.accelerator), devices=1).device
    except Exception as error:  # Lightning raises several kinds of exceptions
        raise UserError(f"trainer.accelerator: {' '.join(str(error).split())}") from error


def lab_env(config: DictConfig, policy: Policy) -> BatchEnv:
    """Makes the env with the held-out levels of the report; the project's own games get a no-op.

    Raises:
        ConfigError: the policy cannot play there, or what an evaluation keeps would not fit into memory.
    """
    e, own = evaluation_spec(config), config.env.id in our_ids()
    noop = {"noop": True} if own else {}
    thinking = thinking_spec(config)
    most = thinking.levels_at_once
    env = held_out_env(
        config, e.report_split, "evaluation.report_split", autoreset=False, num_envs=min(most, e.num_levels), **noop
    )
    if (levels := count_levels(env)) < env.num_envs:  # a fixed set without splits: do not deal a level twice
        env = held_out_env(config, e.report_split, "evaluation.report_split", autoreset=False, num_envs=levels, **noop)
    check_fits(policy, num_actions(policy), env, size_key(config, "env"))
    check_memory("thinking.levels_at_once", env.num_envs, bytes_per_level(policy, env))
    check_memory("thinking.trace_ticks", thinking.trace_ticks, BYTES_OF_A_TICK * count_levels(env))
    return env


def count_levels(env: BatchEnv) -> int:
    """Returns the number of held-out levels; for envs without a fixed set, the number of boards."""
    levels = fixed_levels(env)
    return env.num_envs if levels is None else len(levels)


def tell_power(config: DictConfig, env: BatchEnv, settings: Sequence[Setting]) -> None:
    """Says before playing how large a gain in solve rate must be to be detected on that many levels."""
    if not env.says_success:  # an env may say so only once it has been played
        return
    compared = sum(not (setting.is_baseline or setting.control) for setting in settings)
    say(in_words(count_levels(env), compared, thinking_spec(config).power, evaluation_spec(config).confidence))


def play_all(
    subject: Subject, env: BatchEnv, settings: Sequence[Setting], folder: Path, what: str = "", judged: bool = True
) -> pd.DataFrame:
    """Plays all settings on all levels; returns the records.

    Args:
        subject: the policy.
        env: with the levels.
        settings: amounts of thinking and controls.
        folder: keeps what has been played, so that an interrupted sweep can be resumed.
        what: name of this sweep in the progress display, if there are several.
        judged: whether the exact solver judges moves, as ``thinking.solver_levels`` says.
    """
    num_levels, thinking = count_levels(env), thinking_spec(subject.config)
    if not judged:
        thinking = replace(thinking, solver_levels=0)
    depends_on = {
        "weights": subject.digest,
        "env": plain(subject.config.env),
        "changed": plain(subject.config.evaluation.env),
        "levels": digest(env, plain(subject.config.evaluation)),
        "seed": int(subject.config.seed),
        "judged": [max(thinking.first_passes, default=0), thinking.solver_levels, thinking.solver_max_states],
    }
    with working(f"{what or 'playing'}: {len(settings)} settings on {num_levels:,} levels",
                 len(settings) * num_levels) as advance:  # fmt: skip
        return sweep(
            subject.policy, env, settings, num_levels, int(subject.config.seed), Parts(folder, depends_on), advance,
            watchers(thinking, env, torch.get_num_threads()),
        )  # fmt: skip


def measures_of(subject: Subject, env: BatchEnv, records: pd.DataFrame) -> list[Finding]:
    """Returns all findings from the records, and from tracing the policy tick by tick on first observations."""
    thinking, confidence = thinking_spec(subject.config), evaluation_spec(subject.config).confidence
    found = findings(records, confidence)
    if thinking.trace_ticks:
        with working(f"tracing {thinking.trace_ticks} single ticks"):
            traced = trace(
                subject.policy, env, count_levels(env), thinking.trace_ticks, thinking.solver_levels,
                thinking.solver_max_states, torch.get_num_threads(), int(subject.config.seed),
            )  # fmt: skip
        found += trace_findings(traced, baseline_of(records), confidence)
    return found
