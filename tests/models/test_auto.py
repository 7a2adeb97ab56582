"""policy=auto: which policy it takes for which observations, and that a checkpoint brings the same one back."""

import numpy as np
import pytest
import torch
from commands import run

from drc_lab.config import build_policy, make_env
from drc_lab.errors import ConfigError
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.auto import choose_policy
from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy
from drc_lab.paths import CONF


@pytest.mark.parametrize(
    ("obs_shape", "chosen"),
    [
        ((4,), MLPPolicy),
        ((7, 4, 4), MLPPolicy),
        ((7, 4, 30), MLPPolicy),
        ((7, 5, 5), DRCPolicy),
        ((3, 16, 16), DRCPolicy),
        ((3, 16, 17), SmallCNNPolicy),
        ((3, 64, 64), SmallCNNPolicy),
    ],
)
def test_the_choice_follows_from_the_shape_and_says_why(obs_shape, chosen):
    policy = choose_policy(obs_shape, 4)
    assert type(policy) is chosen and policy.obs_shape == obs_shape
    assert policy.note.startswith(f"policy=auto chose {chosen.__name__} for ") and "\n" not in policy.note
    assert policy(torch.rand(2, *obs_shape))[0].policy_logits.shape == (2, 4)


def test_pictures_are_taken_in_strides_and_boards_are_not():
    strides = [choose_policy((3, side, side), 4).convs[0].stride for side in (32, 33)]
    assert strides == [(1, 1), (2, 2)]


def test_the_bounds_are_settings():
    assert type(choose_policy((3, 8, 8), 4, smallest_board=9)) is MLPPolicy
    assert type(choose_policy((3, 8, 8), 4, largest_board=7)) is SmallCNNPolicy
    with pytest.raises(ConfigError, match=r"^smallest_board: found 9, allowed: 1 to largest_board = 8$"):
        choose_policy((3, 8, 8), 4, smallest_board=9, largest_board=8)


def test_only_functions_that_return_a_policy_may_stand_in_for_one():
    from omegaconf import OmegaConf

    env = make_env(OmegaConf.load(CONF / "env/ricochet_v0.yaml"), num_envs=1)
    node = OmegaConf.create({"_target_": "drc_lab.models.spatial.boundary_channel"})
    with pytest.raises(ConfigError, match=r"^policy._target_: .* or a function that returns one$"):
        build_policy(node, env)


@pytest.mark.slow
def test_a_training_says_what_was_chosen_and_its_checkpoint_brings_it_back(tmp_path):
    tiny = ["algo.rollouts.frames=640", "evaluation.num_levels=4"]
    result = run(tmp_path, "policy=auto", "env=ricochet_v0", *tiny)
    assert result.returncode == 0, result.stderr
    assert "policy=auto chose MLPPolicy for 4x4, less than 5 cells a side\n" in result.stdout
    (checkpoint,) = tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    policy, _ = load_policy(checkpoint)
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert type(policy) is MLPPolicy
    assert all(np.array_equal(p.detach(), weights[f"policy.{name}"]) for name, p in policy.named_parameters())
