"""Checks a config before torch, Lightning, MLflow and numba are imported, which takes seconds.

Only the parts that a task uses are checked, and only as far as the config alone allows. The rest is checked when the
objects are built. Both apply the same rules, which are defined in the specs that the constructors take.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from drc_lab.app.as_trained import as_recorded
from drc_lab.app.checkpoints import (
    check_checkpoint,
    check_no_shift,
    check_single,
    check_start,
    checkpoint_names,
    exported_checkpoint,
    files_of_folder,
    one_checkpoint,
    resume_choice,
)
from drc_lab.app.fits import check_actions, check_reads
from drc_lab.app.held_out import check_held_out, held_out_group, size_key
from drc_lab.app.settings import Settings
from drc_lab.app.shift import errors_name_shift, shifted_settings
from drc_lab.app.store import store_uri
from drc_lab.app.task_checks import (
    bank_plan,
    check_env_speed,
    check_journal,
    check_played_level,
    check_policy_speed,
    check_taught,
    check_weights,
    levels_source,
)
from drc_lab.arguments import errors_under, from_mapping, plain
from drc_lab.envs.from_config import check_game, env_arguments
from drc_lab.envs.specs.levels import step_limits
from drc_lab.errors import ConfigError
from drc_lab.learning import specs as learning
from drc_lab.memory import check_memory
from drc_lab.models import specs as models
from drc_lab.specs import OF_LIBRARIES, SPECS
from drc_lab.speed.trainings import trainings
from drc_lab.targets import TARGET

BYTES_OF_A_POSITION = 3  # memory of a table of distances per position, including room to grow

GROUPS = ("env", "policy", "algo", "algo.rollouts", "algo.loss", "algo.optimizer", "evaluation", "callbacks", "trainer")

# Placeholder for envs that must be built to know their sizes; no rule on a config key depends on it.
OF_ANY_ENV: tuple[tuple[int, ...], int] = ((1, 1, 1), 1)  # shape of an observation, number of actions


def check_config(settings: Settings, folder: Path) -> None:
    """Checks the parts of the config that its task uses; ``folder`` is the run's folder.

    Raises:
        UserError: about the first mistake.
    """
    if {"..", "/"} & set(Path(str(settings.config.study)).parts):
        raise ConfigError("study", settings.config.study, "a name: the runs of a study lie in a folder of that name")
    for key in ("study", "folder", "root"):
        if (name := settings.config[key]) is None or not str(name).strip():
            raise ConfigError(key, name, "a name")
    if (check := CHECKS.get(settings.config.task)) is not None:
        check(settings, folder)


def check_node(node: Any, key: str, more: Mapping[str, Any] | None = None) -> Any:
    """Checks the arguments of a config node's target.

    Args:
        node: the node, with a ``_target_``.
        key: config key of the node.
        more: arguments that the config does not have.

    Returns:
        the spec with these arguments; None if no spec for the target is known here.
    """
    if not OmegaConf.is_dict(node) or "_args_" in node:
        return None
    target, values = node.get(TARGET), {k: v for k, v in plain(node).items() if not k.startswith("_")}
    if target in SPECS:
        return from_mapping(SPECS[target], values, key, **{k: v for k, v in (more or {}).items() if k not in values})
    if target in OF_LIBRARIES:
        known = inspect.signature(OF_LIBRARIES[target]).parameters
        objects = {k for k, v in values.items() if isinstance(v, dict) and TARGET in v}
        return from_mapping(OF_LIBRARIES[target], {k: values[k] for k in known if k in values.keys() - objects}, key)
    return None


def check_training(settings: Settings, folder: Path) -> None:
    """Checks everything that `drc_lab.tasks.train.prepare` builds."""
    config = settings.config
    for key in GROUPS:
        if not OmegaConf.is_dict(node := OmegaConf.select(config, key)):
            raise ConfigError(key, node, "keys and their values")
    settings.check("process")
    resume_choice(config)
    check_start(config, folder)
    rollouts = check_node(config.algo.rollouts, "algo.rollouts")
    env = env_arguments(plain(config.env)).make_spec()
    if rollouts is not None:
        with errors_under("algo.rollouts"):
            can_wait = getattr(env, "noop", False) or getattr(env, "noop_action", None) is not None
            limit = step_limits(env.max_steps)[0] if env.max_steps is not None else None
            rollouts.check_possible(getattr(env, "thinks", None) is not None, can_wait, limit)
    obs_shape, num_actions = env.io or OF_ANY_ENV
    policy = check_node(config.policy, "policy", {"obs_shape": obs_shape, "num_actions": num_actions})
    loss = check_node(config.algo.loss, "algo.loss")
    if isinstance(loss, learning.ImitationSpec):
        check_taught(config)
        if rollouts is not None:
            check_memory("algo.loss.max_positions", loss.max_positions, BYTES_OF_A_POSITION * rollouts.num_envs)
    check_node(config.algo.optimizer, "algo.optimizer")
    check_node(config.algo.schedule, "algo.schedule")
    if OmegaConf.is_dict(config.algo.schedule):
        with errors_under("algo"):
            learning.schedule_lengths(plain(config.algo.schedule))
    settings.check("algo")
    held_out = check_held_out(settings, settings.evaluation.split)
    if env.io is not None and held_out.io is not None:
        shape, actions = held_out.io
        if (any_size := getattr(policy, "any_size", None)) is not None:
            check_reads(obs_shape, models.reads(obs_shape, any_size, shape), shape, size_key(settings))
        check_actions(num_actions, actions, held_out.noop and not env.noop, size_key(settings))
    settings.check("checkpoints")
    for name, node in config.callbacks.items():
        if node is not None and not OmegaConf.is_dict(node):
            raise ConfigError(f"callbacks.{name}", node, "null, or keys of a callback with its _target_")
        check_node(node, f"callbacks.{name}")
    trainer = check_node(config.trainer, "trainer")
    if trainer is not None and trainer.ranks is not None and rollouts is not None:
        with errors_under("algo.rollouts"):
            rollouts.share(trainer.ranks)
    settings.check("tracking")


def check_thinking_sweep(settings: Settings, folder: Path) -> None:
    """Checks a training, and the study of its policy."""
    check_training(settings, folder)
    thinking, key = settings.thinking, "evaluation.report_split"
    reported = check_held_out(settings, settings.evaluation.report_split, key)
    settings.report.check_levels(reported.num_levels)
    for name, shifted in shifted_settings(settings).items():
        with errors_name_shift(name):
            check_held_out(shifted, shifted.evaluation.report_split, key)
    arguments = env_arguments(held_out_group(settings))
    game, values = arguments.game, arguments.values
    can_wait = values.get("noop_action") is not None if game is None else game.spec.takes("noop")
    has = {"noop": can_wait, "estimate": game is not None, "think": values.get("thinks") is not None}
    thinking.check_possible({ability for ability, there in has.items() if there})


def check_played(settings: Settings, checkpoint: str, split: str, split_key: str) -> None:
    """Checks a checkpoint and the held-out levels that it will play, as far as possible without loading it."""
    check_checkpoint(settings.config, checkpoint)
    if (trained := as_recorded(settings.config, checkpoint)) is not None:
        check_held_out(trained, split, split_key)


def check_checkpoints(settings: Settings) -> list[str]:
    """Checks what all evaluations of checkpoints use; returns the names of the checkpoints."""
    settings.check("process")
    names = checkpoint_names(settings)
    for name in names:
        check_played(settings, name, settings.evaluation.report_split, "evaluation.report_split")
    run = settings.thinking.run
    if run is not None:
        if run.startswith("runs:/"):
            store_uri(settings.config)
        else:
            files_of_folder(run)
    settings.check("evaluation", "report")
    shifted_settings(settings)
    check_node(settings.config.trainer, "trainer")
    settings.check("tracking")
    return names


def check_evaluate(settings: Settings, folder: Path) -> None:
    check_single(check_checkpoints(settings))


def check_thinking(settings: Settings, folder: Path) -> None:
    if len(check_checkpoints(settings)) != 1:
        check_no_shift(settings)


def check_probe(settings: Settings, folder: Path) -> None:
    check_single(check_checkpoints(settings))
    settings.check("probe")


def check_steer(settings: Settings, folder: Path) -> None:
    check_probe(settings, folder)
    settings.check("steer")


def check_saliency(settings: Settings, folder: Path) -> None:
    check_single(check_checkpoints(settings))
    settings.check("saliency")


def check_play(settings: Settings, folder: Path) -> None:
    settings.check("process")
    spec, config = settings.play, settings.config
    if config.checkpoint is not None:
        settings.check("evaluation")
        check_played(settings, one_checkpoint(config), spec.split, "play.split")
    else:
        levels = check_held_out(settings, spec.split, "play.split").num_levels
        check_game(str(config.env.id))
        check_played_level(spec.level, levels)


def check_export(settings: Settings, folder: Path) -> None:
    settings.check("process", "export")
    split = settings.evaluation.report_split
    check_played(settings, exported_checkpoint(settings.config), split, "evaluation.report_split")


def check_benchmark(settings: Settings, folder: Path) -> None:
    for _, training in trainings(settings, HydraConfig.get().overrides.task):
        check_training(training, folder)


def check_compare(settings: Settings, folder: Path) -> None:
    settings.check("compare")
    store_uri(settings.config)


def check_register(settings: Settings, folder: Path) -> None:
    settings.check("register")
    store_uri(settings.config)


CHECKS: dict[str, Callable[[Settings, Path], Any]] = {
    "train": check_training,
    "thinking_sweep": check_thinking_sweep,
    "evaluate": check_evaluate,
    "thinking": check_thinking,
    "probe": check_probe,
    "steer": check_steer,
    "saliency": check_saliency,
    "play": check_play,
    "export": check_export,
    "benchmark": check_benchmark,
    "compare": check_compare,
    "register": check_register,
    "policy_speed": lambda settings, folder: check_policy_speed(settings),
    "env_speed": lambda settings, folder: check_env_speed(settings),
    "search_speed": lambda settings, folder: settings.check("search_speed"),
    "make_bank": lambda settings, folder: bank_plan(settings),
    "fetch_levels": lambda settings, folder: levels_source(settings.config),
    "import_weights": lambda settings, folder: check_weights(settings),
    "sync": lambda settings, folder: check_journal(folder),
}
