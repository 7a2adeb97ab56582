"""What the evaluation of a checkpoint, alone or after its training, has in common: who is played, on what, and how."""

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

PARTS = "parts"  # folder in a run's, of what an interrupted sweep has already


@dataclass(frozen=True)
class Subject:
    """A policy to be evaluated.

    Args:
        name: of its checkpoint.
        policy: in evaluation mode.
        config: of the evaluation, with the env and the levels that the policy was trained on unless the command line
            says otherwise.
        frames: that it was trained for.
        seed: of its training.
        digest: of its weights.
        training: folder and seed of its training; () where they are not known.
        policy_config: what it was built from.
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
    """The policy of a checkpoint.

    Raises:
        UserError: no such file, or no checkpoint.
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
    """The device that ``trainer.accelerator`` names, one of them.

    Raises:
        UserError: there is no such thing here.
    """
    check_accelerator(config.trainer.accelerator)
    if config.trainer.accelerator in ("cpu", "auto") and not torch.accelerator.is_available():
        return torch.device("cpu")
    try:
        import lightning as L  # takes seconds, and a CPU needs none of it

        return L.Fabric(accelerator=str(config.trainer.accelerator), devices=1).device
    except Exception as error:  # Lightning raises several kinds
        raise UserError(f"trainer.accelerator: {' '.join(str(error).split())}") from error


def lab_env(config: DictConfig, policy: Policy) -> BatchEnv:
    """The held-out levels that are reported on, with an action that does nothing where the game can have one.

    Raises:
        ConfigError: the policy cannot play there, or what is recorded of it would not fit into memory.
    """
    e, own = evaluation_spec(config), config.env.id in our_ids()
    noop = {"noop": True} if own else {}
    thinking = thinking_spec(config)
    most = thinking.levels_at_once
    env = held_out_env(
        config, e.report_split, "evaluation.report_split", autoreset=False, num_envs=min(most, e.num_levels), **noop
    )
    if (levels := count_levels(env)) < env.num_envs:  # a given set without splits
        env = held_out_env(config, e.report_split, "evaluation.report_split", autoreset=False, num_envs=levels, **noop)
    check_fits(policy, num_actions(policy), env, size_key(config, "env"))
    check_memory("thinking.levels_at_once", env.num_envs, bytes_per_level(policy, env))
    check_memory("thinking.trace_ticks", thinking.trace_ticks, BYTES_OF_A_TICK * count_levels(env))
    return env


def count_levels(env: BatchEnv) -> int:
    """How many held-out levels there are."""
    levels = fixed_levels(env)
    return env.num_envs if levels is None else len(levels)


def tell_power(config: DictConfig, env: BatchEnv, settings: Sequence[Setting]) -> None:
    """Says which gains of the solve rate can be seen on so many levels, before they are played."""
    if not env.says_success:  # or not yet
        return
    compared = sum(not (setting.is_baseline or setting.control) for setting in settings)
    say(in_words(count_levels(env), compared, thinking_spec(config).power, evaluation_spec(config).confidence))


def play_all(
    subject: Subject, env: BatchEnv, settings: Sequence[Setting], folder: Path, what: str = "", judged: bool = True
) -> pd.DataFrame:
    """The records of all settings on all levels; what was played before an interruption is in ``folder`` already.

    Args:
        what: of several such sweeps, as the progress shows it.
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
    """All that the records say, and what the policy comes to think of the first observations."""
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
