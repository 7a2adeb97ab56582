"""The held-out levels that a report is about."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from drc_lab.app.fits import check_fits
from drc_lab.app.held_out import held_out_env, size_key
from drc_lab.app.settings import Settings
from drc_lab.app.start import say
from drc_lab.arguments import plain
from drc_lab.envs.from_config import env_arguments
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.specs.levels import LevelEnvSpec
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.trace import BYTES_OF_A_TICK
from drc_lab.evaluation.play.memory import bytes_per_level
from drc_lab.evaluation.stats.power import in_words
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy, num_actions
from drc_lab.tracking.datasets import fixed_levels


def report_env(settings: Settings, policy: Policy) -> BatchEnv:
    """Makes the env with the held-out levels of the report, and with a no-op if the game can have one.

    Raises:
        ConfigError: the policy cannot play there, or what an evaluation keeps would not fit into memory.
    """
    thinking, spec = settings.thinking, env_arguments(plain(settings.config.env)).spec_class
    noop = {"noop": True} if issubclass(spec, LevelEnvSpec) and spec.takes("noop") else {}
    env = each_level_once(settings, settings.evaluation.report_split, thinking.levels_at_once, **noop)
    check_fits(policy, num_actions(policy), env, size_key(settings, "env"))
    check_memory("thinking.levels_at_once", env.num_envs, bytes_per_level(policy, env))
    check_memory("thinking.trace_ticks", thinking.trace_ticks, BYTES_OF_A_TICK * count_levels(env))
    return env


def each_level_once(settings: Settings, split: str, at_once: int, **more: Any) -> BatchEnv:
    """Makes an env that deals each held-out level of a split once.

    Args:
        settings: of the evaluation.
        split: of the levels, which ``evaluation.report_split`` names.
        at_once: largest number of boards of the env.
        **more: further arguments of `held_out_env`.
    """
    make_env = partial(held_out_env, settings, split, "evaluation.report_split", autoreset=False, **more)
    env: BatchEnv = make_env(num_envs=min(at_once, settings.evaluation.num_levels))
    levels = count_levels(env)
    # A fixed set without splits may have fewer levels: none is dealt twice.
    return env if levels >= env.num_envs else make_env(num_envs=levels)


def count_levels(env: BatchEnv) -> int:
    """Returns the number of held-out levels; for envs without a fixed set, the number of boards."""
    levels = fixed_levels(env)
    return env.num_envs if levels is None else len(levels)


def tell_power(settings: Settings, env: BatchEnv, thinking_settings: Sequence[Setting]) -> None:
    """Says before playing how large a gain in solve rate must be to be detected on that many levels."""
    if not env.says_success:  # an env may say so only once it has been played
        return
    compared = sum(setting.kind.adds_thinking and not setting.is_baseline for setting in thinking_settings)
    say(in_words(count_levels(env), compared, settings.thinking.power, settings.evaluation.confidence))
