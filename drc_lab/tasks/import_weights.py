"""task=import_weights: converts published weights to a checkpoint that every other task can use.

python -m drc_lab task=import_weights import_weights.path=FOLDER
"""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from drc_lab.app.settings import Settings
from drc_lab.app.start import console, start
from drc_lab.app.task_checks import check_weights
from drc_lab.arguments import from_mapping, plain
from drc_lab.config import make_env
from drc_lab.envs.from_config import env_arguments
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.specs.sokoban import SokobanSpec
from drc_lab.errors import ConfigError
from drc_lab.learning.checkpoints import write_checkpoint
from drc_lab.models.published import Published, read
from drc_lab.passwords import hidden_in


def main(settings: Settings, folder: Path) -> None:
    """Reads the weights, adapts the settings of the Sokoban env to them, and writes the checkpoint."""
    check_weights(settings)
    start(settings)
    config = settings.config.copy()
    published = from_mapping(read, plain(config.import_weights), "import_weights").for_sokoban()
    policy = published.build()
    if issubclass(env_arguments(plain(config.env)).spec_class, SokobanSpec):
        given = {override.split("=")[0] for override in HydraConfig.get().overrides.task}
        for key, value in sokoban_settings(published).items():
            if f"env.{key}" not in given:
                config.env[key] = value
    check_plays(published, make_env(config.env, num_envs=1))
    weights = {f"policy.{name}": weight for name, weight in policy.state_dict().items()}
    path = folder / "imported.ckpt"
    write_checkpoint({"config": hidden_in(plain(config)) | {"policy": published.config}, "state_dict": weights}, path)
    console.print(f"{sum(weight.numel() for weight in weights.values()):,} parameters", highlight=False)
    console.print(f"checkpoint {path}", soft_wrap=True, highlight=False)


def sokoban_settings(published: Published) -> dict[str, Any]:
    """Returns the settings of our Sokoban env that fit the weights: tiny RGB, or one-hot planes without the border."""
    C, H, W = published.obs_shape
    border = 2 if C == 7 else 0
    return {
        "observation": "planes" if C == 7 else "rgb",
        "crop_border": C == 7,
        "height": H + border,
        "width": W + border,
        "noop": published.num_actions == 5,
    }


def check_plays(published: Published, env: BatchEnv) -> None:
    """Checks that the weights can play in the env.

    Raises:
        ConfigError: its observations or actions do not fit; the message has the overrides that would make them fit.
    """
    shape, actions = env.single_observation_space.shape, int(env.single_action_space.n)
    if (shape, actions) == (published.obs_shape, published.num_actions):
        return
    allowed = f"observations {published.obs_shape} and {published.num_actions} actions, as the weights have"
    if shape == published.obs_shape and actions == published.num_actions + 1:
        allowed += f"; for a no-op that is never chosen: import_weights.num_actions={actions}"
    elif published.obs_shape[0] in (3, 7):
        settings = {key: str(value).lower() for key, value in sokoban_settings(published).items()}
        allowed += ": env=sokoban " + " ".join(f"env.{key}={value}" for key, value in settings.items())
    raise ConfigError("env", f"observations {shape} and {actions} actions", allowed)
