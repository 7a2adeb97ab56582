"""task=make_bank: from a config to a file that the env takes."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from drc_lab.app.settings import Settings
from drc_lab.config import make_env
from drc_lab.envs.levels import SPLITS
from drc_lab.errors import UserError
from drc_lab.tasks.make_bank import main


def config(tmp_path, **env):
    bank = {"path": str(tmp_path / "banks" / "some.npz"), "per_bin": 30, "max_draws": 400, "max_states": 10_000}
    env = {"id": "drc_lab/RicochetRobots-v0", "height": 4, "width": 4, "max_optimal": 3, "max_steps": 9} | env
    return OmegaConf.create({"seed": 0, "threads": 1, "bank": bank | {"threads": 1}, "env": env})


def test_a_bank_made_by_the_task_feeds_the_env_in_every_split(tmp_path, capsys):
    made = config(tmp_path, split="test")
    main(Settings(made), tmp_path)
    shown = capsys.readouterr().out
    assert "90 boards" in shown and "some.npz" in shown
    for split in SPLITS:
        node = OmegaConf.create({"id": made.env.id, "bank": made.bank.path, "min_optimal": 2, "split": split})
        env = make_env(node, num_envs=4)
        _, info = env.reset(seed=0)
        assert np.isin(info["optimal"], (2, 3)).all()


def test_a_file_that_is_there_is_left_alone(tmp_path):
    made = config(tmp_path)
    main(Settings(made), tmp_path)
    with pytest.raises(UserError, match="there is a file already"):
        main(Settings(made), tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("env.id", "drc_lab/Sokoban-v0", "env.id: found"),
        ("env.height", 0, "env.height: found 0"),
        ("env.min_optimal", 3.5, "env.min_optimal: found 3.5"),
        ("bank.per_bin", 0, "bank.per_bin: found 0"),
        ("bank.per_bim", 3, "bank.per_bim: found 3, allowed: no such key, but per_bin"),
    ],
)
def test_mistakes_name_the_key_and_leave_no_file(tmp_path, key, value, message):
    made = config(tmp_path)
    OmegaConf.update(made, key, value)
    with pytest.raises(UserError, match=message):
        main(Settings(made), tmp_path)
    assert not (tmp_path / "banks").exists()


def test_boards_that_there_are_not_name_the_env(tmp_path):
    with pytest.raises(UserError, match=r"env\.min_optimal: found 40"):
        main(Settings(config(tmp_path, height=2, width=2, num_robots=1, min_optimal=40, max_optimal=None)), tmp_path)
