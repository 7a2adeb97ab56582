"""A checkpoint is enough to get the policy back; a file that is none gets one line."""

import gymnasium as gym
import pytest
import torch

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import UserError
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.drc import DRCPolicy

CONFIG = {
    "env": {"id": "drc_lab/RicochetRobots-v0", "layout": "v0"},
    "policy": {"_target_": "drc_lab.models.drc.DRCPolicy", "hidden_channels": 4, "num_layers": 1, "proj_dim": 8},
}


def test_the_loaded_policy_answers_as_the_saved_one(tmp_path):
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1, layout="v0")
    policy = DRCPolicy(env.single_observation_space.shape, 4, 4, 1, proj_dim=8)
    weights = {f"policy.{name}": value for name, value in policy.state_dict().items()}
    torch.save({"config": CONFIG, "state_dict": weights}, tmp_path / "a.ckpt")
    loaded, config = load_policy(tmp_path / "a.ckpt")
    obs = torch.from_numpy(env.reset(seed=0)[0])
    torch.testing.assert_close(loaded(obs)[0], policy(obs)[0], rtol=0, atol=0)
    assert config.env.layout == "v0" and not loaded.training


class Payload:
    """Pickled code: unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("kind", ["missing", "truncated", "foreign", "hostile"])
def test_a_bad_file_gets_one_line_and_executes_nothing(tmp_path, kind):
    path, trap = tmp_path / "b.ckpt", tmp_path / "trap"
    if kind == "truncated":
        torch.save({"config": CONFIG, "state_dict": {}}, path)
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "foreign":
        torch.save({"weights": torch.zeros(3)}, path)
    elif kind == "hostile":
        torch.save({"config": CONFIG, "state_dict": Payload(str(trap))}, path)
    with pytest.raises(UserError, match=r"^checkpoint: ") as error:
        load_policy(path)
    assert "\n" not in str(error.value) and not trap.exists()
