"""Checks a config before torch, Lightning, MLflow and numba are imported, which takes seconds.

Only the parts that a task uses are checked, and only as far as the config alone allows. The rest is checked when the
objects are built. Both apply the same rules, which are defined in the specs that the constructors take.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from drc_lab.app import checked
from drc_lab.app import specs as tasks
from drc_lab.app.worlds import BASE, errors_name_world, worlds
from drc_lab.arguments import errors_under, from_mapping, plain
from drc_lab.deploy.spec import ExportSpec
from drc_lab.envs.from_config import check_own_game, env_arguments
from drc_lab.envs.specs.external import GymSpec
from drc_lab.envs.specs.levels import step_limits
from drc_lab.interpretation.spec import ProbeSpec, SaliencySpec, SteerSpec
from drc_lab.learning import specs as learning
from drc_lab.memory import check_memory
from drc_lab.models import specs as models
from drc_lab.specs import OF_LIBRARIES, SPECS
from drc_lab.speed.trainings import trainings
from drc_lab.targets import TARGET
from drc_lab.tracking.spec import CompareSpec, RegisterSpec, TrackingSpec

BYTES_OF_A_POSITION = 3  # memory of a table of distances per position, including room to grow

# Placeholder for envs that must be built to know their sizes; no rule on a config key depends on it.
OF_ANY_ENV: tuple[tuple[int, ...], int] = ((1, 1, 1), 1)  # shape of an observation, number of actions


def check_config(config: DictConfig, folder: Path) -> None:
    """Checks the parts of the config that its task uses; ``folder`` is the run's folder.

    Raises:
        UserError: about the first mistake.
    """
    if (check := CHECKS.get(config.task)) is not None:
        check(config, folder)


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


def check_training(config: DictConfig, folder: Path) -> None:
    """Checks everything that `drc_lab.tasks.train.prepare` builds."""
    checked.process_spec(config)
    checked.resumed(config)
    checked.check_start(config, folder)
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
        checked.check_taught(config)
        if rollouts is not None:
            check_memory("algo.loss.max_positions", loss.max_positions, BYTES_OF_A_POSITION * rollouts.num_envs)
    check_node(config.algo.optimizer, "algo.optimizer")
    check_node(config.algo.schedule, "algo.schedule")
    if OmegaConf.is_dict(config.algo.schedule):
        with errors_under("algo"):
            learning.schedule_lengths(plain(config.algo.schedule))
    checked.algo_spec(config)
    held_out = checked.check_held_out(config, checked.evaluation_spec(config).split)
    if env.io is not None and held_out.io is not None:
        shape, actions = held_out.io
        if (any_size := getattr(policy, "any_size", None)) is not None:
            can_read = models.reads(obs_shape, any_size, shape)
            checked.check_reads(obs_shape, can_read, shape, checked.size_key(config))
        checked.check_actions(num_actions, actions, held_out.noop and not env.noop, checked.size_key(config))
    from_mapping(learning.CheckpointSpec, plain(config.checkpoints), "checkpoints")
    for name, node in config.callbacks.items():
        check_node(node, f"callbacks.{name}")
    trainer = check_node(config.trainer, "trainer")
    if trainer is not None and trainer.ranks is not None and rollouts is not None:
        with errors_under("algo.rollouts"):
            rollouts.share(trainer.ranks)
    check_tracking(config)


def check_tracking(config: DictConfig) -> None:
    from_mapping(TrackingSpec, plain(config).get("tracking", {}), "tracking")


def check_thinking_sweep(config: DictConfig, folder: Path) -> None:
    check_training(config, folder)
    thinking, key = checked.thinking_spec(config), "evaluation.report_split"
    reported = checked.check_held_out(config, checked.evaluation_spec(config).report_split, key)
    checked.report_spec(config, reported.num_levels)
    for name, world in worlds(config).items():
        if name != BASE:
            with errors_name_world(name):
                checked.check_held_out(world, checked.evaluation_spec(world).report_split, key)
    arguments = env_arguments(checked.held_out_settings(config))
    ours, values = arguments.spec_class is not GymSpec, arguments.values
    thinking.check_possible(ours or values.get("noop_action") is not None, ours, values.get("thinks") is not None)


def check_played(config: DictConfig, checkpoint: str, split: str, split_key: str) -> None:
    """Checks a checkpoint and the held-out levels that it will play, as far as possible without loading it."""
    checked.check_checkpoint(config, checkpoint)
    if (known := checked.config_as_trained(config, checkpoint)) is not None:
        checked.check_held_out(known, split, split_key)


def check_of_checkpoints(config: DictConfig) -> list[str]:
    """Checks what all evaluations of checkpoints use; returns the names of the checkpoints."""
    checked.process_spec(config)
    names = checked.subject_names(config)
    for name in names:
        check_played(config, name, checked.evaluation_spec(config).report_split, "evaluation.report_split")
    run = checked.thinking_spec(config).run
    if run is not None:
        if run.startswith("runs:/"):
            checked.store_uri(config)
        else:
            checked.files_of_folder(run)
    checked.evaluation_spec(config)
    checked.report_spec(config, None)
    worlds(config)
    check_node(config.trainer, "trainer")
    check_tracking(config)
    return names


def check_evaluate(config: DictConfig, folder: Path) -> None:
    checked.check_single(check_of_checkpoints(config))


def check_thinking(config: DictConfig, folder: Path) -> None:
    if len(check_of_checkpoints(config)) != 1:
        checked.check_several(config)


def check_probe(config: DictConfig, folder: Path) -> None:
    checked.check_single(check_of_checkpoints(config))
    from_mapping(ProbeSpec, plain(config.probe), "probe")


def check_steer(config: DictConfig, folder: Path) -> None:
    check_probe(config, folder)
    from_mapping(SteerSpec, plain(config.steer), "steer")


def check_saliency(config: DictConfig, folder: Path) -> None:
    checked.check_single(check_of_checkpoints(config))
    from_mapping(SaliencySpec, plain(config.saliency), "saliency")


def check_play(config: DictConfig, folder: Path) -> None:
    checked.process_spec(config)
    spec = from_mapping(tasks.PlaySpec, plain(config.play), "play")
    if config.checkpoint is not None:
        checked.evaluation_spec(config)
        check_played(config, checked.one_checkpoint(config), spec.split, "play.split")
    else:
        levels = checked.check_held_out(config, spec.split, "play.split").num_levels
        check_own_game(str(config.env.id))
        checked.check_played_level(spec.level, levels)


def check_export(config: DictConfig, folder: Path) -> None:
    checked.process_spec(config)
    from_mapping(ExportSpec, plain(config.export), "export")
    split = checked.evaluation_spec(config).report_split
    check_played(config, checked.exported_checkpoint(config), split, "evaluation.report_split")


def check_benchmark(config: DictConfig, folder: Path) -> None:
    for _, each in trainings(config, HydraConfig.get().overrides.task):
        check_training(each, folder)


def check_compare(config: DictConfig, folder: Path) -> None:
    from_mapping(CompareSpec, plain(config.compare), "compare")
    checked.store_uri(config)


def check_register(config: DictConfig, folder: Path) -> None:
    from_mapping(RegisterSpec, plain(config.register), "register")
    checked.store_uri(config)


def check_policy_speed(config: DictConfig, folder: Path) -> None:
    checked.process_spec(config)
    from_mapping(tasks.PolicySpeedSpec, plain(config.policy_speed), "policy_speed")


CHECKS: dict[str, Callable[[DictConfig, Path], Any]] = {
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
    "policy_speed": check_policy_speed,
    "env_speed": lambda config, folder: from_mapping(tasks.SpeedSpec, plain(config.speed), "speed"),
    "search_speed": lambda config, folder: from_mapping(tasks.SearchSpec, plain(config.search_speed), "search_speed"),
    "make_bank": lambda config, folder: checked.bank_plan(config),
    "fetch_levels": lambda config, folder: checked.levels_source(config),
    "import_weights": lambda config, folder: checked.check_weights(config),
    "sync": lambda config, folder: checked.check_journal(folder),
}
