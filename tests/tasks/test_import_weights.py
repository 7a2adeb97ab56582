"""task=import_weights: published weights become a checkpoint that the other tasks take."""

import inspect
from functools import partial

import hydra
import numpy as np
import pytest
import torch
from commands import run, run_here
from published_files import bush_state, drc, resnet, written

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.published import load, read
from drc_lab.paths import CONF

SMALL = ["env=sokoban", "env.height=6", "env.width=6", "env.num_boxes=1", "evaluation.num_levels=5"]


@pytest.fixture
def task(tmp_path, monkeypatch, capsys):
    """Runs the task in this process: exit code, what was printed, the complaint."""
    monkeypatch.chdir(tmp_path)

    return partial(run_here, monkeypatch, capsys, "task=import_weights", "threads=1")


def checkpoint(output):
    return output.split("checkpoint ")[1].strip()


def test_every_key_is_an_argument_of_read():
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        assert set(hydra.compose("config").import_weights) == set(inspect.signature(read).parameters)


@pytest.mark.parametrize(
    ("make", "overrides"),
    [
        (drc, []),
        (resnet, []),
        (drc, ["import_weights.num_actions=5", "env.noop=true", "import_weights.repeats_per_step=4"]),
    ],
    ids=["drc", "resnet", "a no-op and more ticks"],
)
def test_the_checkpoint_holds_the_policy_and_the_env_that_it_plays(task, tmp_path, make, overrides):
    folder = written(tmp_path / "cp_100", make())
    code, output, errors = task("path=cp_100", *SMALL, *overrides)
    assert (code, errors) == (0, "")
    policy, config = load_policy(checkpoint(output))
    wanted = load(folder, num_actions=5 if overrides else None, repeats_per_step=4 if overrides else None)
    assert policy.repeats_per_step == wanted.repeats_per_step and config.task == "import_weights"
    for name, weight in wanted.state_dict().items():
        assert torch.equal(weight, policy.state_dict()[name])
    episodes = evaluate(policy, held_out_env(Settings(config), "test"))
    assert len(episodes.level) == 5


def test_the_drc_of_bush_et_al_gets_the_planes_and_actions_of_this_projects_sokoban(task, tmp_path):
    np.savez(tmp_path / "weights.npz", **bush_state())
    code, output, errors = task("path=weights.npz")
    assert (code, errors) == (0, "")
    policy, _ = load_policy(checkpoint(output))
    obs = torch.rand(3, 7, 6, 6)
    with torch.no_grad():
        expected = read(tmp_path / "weights.npz").for_sokoban().build()(obs)[0]
        torch.testing.assert_close(policy(obs)[0], expected)


MISTAKES = {
    "no path": ([], "path: found None, allowed: a folder or file of published weights"),
    "no file": (["path=nowhere"], "nowhere: no such file or folder"),
    "another game": (
        ["path=cp", "env=ricochet"],
        "env: found 'observations (8, 5, 5) and 8 actions', allowed: observations (3, 6, 6) and 4 actions, as the "
        "weights have: env=sokoban env.observation=rgb env.crop_border=false env.height=6 env.width=6 env.noop=false",
    ),
    "another size": (
        ["path=cp", "env.height=7"],
        "found 'observations (3, 7, 6) and 4 actions'",
    ),
    "a no-op": (["path=cp", *SMALL, "env.noop=true"], "never chosen: import_weights.num_actions=5"),
    "planes": (
        ["path=weights.npz", "env.observation=rgb"],
        "env=sokoban env.observation=planes env.crop_border=true env.height=8 env.width=8 env.noop=true",
    ),
    "fewer actions": (
        ["path=cp", *SMALL, "import_weights.num_actions=2"],
        "import_weights.num_actions: found 2, allowed: at least 4",
    ),
    "a board of another kind": (
        ["path=cp", "import_weights.board=wide"],
        "import_weights.board: found 'wide'",
    ),
    "another board": (
        ["path=cp", "import_weights.board=[3,4]"],
        "cp/model: found weights for a board",
    ),
    "no ticks": (
        ["path=cp", *SMALL, "import_weights.repeats_per_step=0"],
        "import_weights.repeats_per_step: found 0, allowed: at least 1",
    ),
}


@pytest.mark.parametrize(("overrides", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_one_line_and_leaves_nothing(task, tmp_path, overrides, line):
    written(tmp_path / "cp")
    np.savez(tmp_path / "weights.npz", **bush_state())
    code, output, errors = task(*overrides)
    assert (code, output) == (2, "") and errors.count("\n") == 1 and line in errors, errors
    assert {path.name for path in tmp_path.iterdir()} == {"cp", "weights.npz"}


@pytest.mark.slow
def test_the_real_command_line_imports_and_the_checkpoint_plays(tmp_path):
    written(tmp_path / "cp")
    result = run(tmp_path, "task=import_weights", "path=cp", *SMALL)
    assert (result.returncode, result.stderr) == (0, "")
    path = checkpoint(result.stdout)
    result = run(tmp_path, "task=play", f"checkpoint={path}", "play.show=none", "play.episodes=2", "play.video=null")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("level 0: ") and "level 1: " in result.stdout
