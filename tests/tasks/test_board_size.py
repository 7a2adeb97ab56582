"""evaluation.board: weights trained on boards of one size play boards of another, or say why they cannot."""

import csv

import hydra
import pytest
import torch
from checkpoints import checkpoint, results
from commands import TINY, run, run_here, store

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.config import make_env
from drc_lab.errors import ConfigError
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.drc import DRCPolicy
from drc_lab.paths import CONF

ANY_SIZE = ["env.height=4", "env.width=4", "policy.head=pool"]


@pytest.mark.parametrize("head", ["pool", "cells"])
def test_weights_of_a_head_for_any_size_do_not_know_the_size_they_were_built_for(head):
    """The same weights in policies built for two sizes, a step and a sequence on a third."""
    built = [DRCPolicy((7, *size), 5, hidden_channels=4, proj_dim=8, head=head) for size in ((4, 4), (8, 5))]
    built[1].load_state_dict(built[0].state_dict())
    obs, resets = torch.rand(3, 2, 7, 6, 9), torch.zeros(3, 2, dtype=torch.bool)
    steps = [policy(obs[0])[0] for policy in built]
    unrolls = [policy.unroll(obs, policy.init_state(2, 6, 9), resets)[0] for policy in built]
    for ours, theirs in (steps, unrolls):
        assert torch.equal(ours.policy_logits, theirs.policy_logits) and torch.equal(ours.value, theirs.value)


def test_what_a_policy_reads():
    any_size, flat = (DRCPolicy((7, 4, 4), 5, hidden_channels=2, head=head) for head in ("pool", "flatten"))
    assert any_size.reads((7, 9, 3)) and flat.reads((7, 4, 4))
    assert not any_size.reads((6, 4, 4)) and not any_size.reads((7,)) and not flat.reads((7, 9, 3))


@pytest.fixture
def config():
    def compose(*overrides):
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return hydra.compose("config", overrides=["evaluation.num_levels=5", *overrides])

    return compose


@pytest.mark.parametrize(
    ("overrides", "shape"),
    [
        (["evaluation.board=6"], (8, 6, 6)),
        (["evaluation.board=[4,7]"], (8, 4, 7)),
        (["env.observation=rgb", "evaluation.board=6"], (3, 13, 13)),
        (["env=sokoban", "evaluation.board=8"], (3, 8, 8)),
        (["env=sokoban", "env.crop_border=true", "evaluation.board=[6,8]"], (3, 4, 6)),
        (["env.curriculum={stages: [{height: 3, width: 3}]}", "evaluation.board=6"], (8, 6, 6)),
        (["env.layout=v0", "+evaluation.env.layout=null", "evaluation.board=6"], (8, 6, 6)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_held_out_boards_have_the_size_and_training_boards_keep_theirs(config, overrides, shape):
    overrides = [f"+{word}" if word.startswith("env.layout") else word for word in overrides]
    composed = config(*overrides)
    env = held_out_env(Settings(composed), "valid")
    obs, info = env.reset(seed=0)
    assert env.single_observation_space.shape == shape == obs.shape[1:] and (info["optimal"] > 0).all()
    assert make_env(composed.env, num_envs=1).single_observation_space.shape != shape


def test_held_out_boards_of_another_size_are_those_that_a_training_on_that_size_would_hold_out(config):
    ours, theirs = (
        held_out_env(Settings(config(*words)), "test")
        for words in (["evaluation.board=6"], ["env.height=6", "env.width=6"])
    )
    (a, _), (b, _) = ours.reset(seed=0), theirs.reset(seed=0)
    assert (a == b).all()


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["evaluation.board=6"],
            "evaluation.board: found 'observations (8, 6, 6)', allowed: (8, 5, 5), which the policy reads; a policy "
            "trained with policy.head=pool or cells reads any height and width",
        ),
        (
            ["+evaluation.env.height=6"],
            "evaluation.env: found 'observations (8, 6, 5)', allowed: (8, 5, 5), which the policy reads; a policy",
        ),
        (["policy=mlp", "evaluation.board=6"], "evaluation.board: found 'observations (8, 6, 6)', allowed: (8, 5, 5)"),
        (
            ["+experiment=ricochet_small", "evaluation.board=6"],
            "evaluation.board: found 'observations (8, 6, 6)', allowed: (8, 5, 5), which the policy reads",
        ),
        (["policy.head=pool", "evaluation.board=0"], "evaluation.board: found 0, allowed: 1 to 255"),
        (["policy.head=pool", "evaluation.board=[6,300]"], "evaluation.board: found [6, 300], allowed: 1 to 255"),
        (["evaluation.board=[6]"], "evaluation.board: found [6], allowed: N for N x N, or [height, width]"),
        (["evaluation.board=wide"], "evaluation.board: found 'wide', allowed: N for N x N, or [height, width]"),
        (
            ["policy.head=pool", "evaluation.board=6", "+evaluation.env.width=7"],
            "evaluation.env.width: found 7, allowed: no such key with evaluation.board, which sets both",
        ),
        (
            ["policy.head=pool", "env=ricochet_v1", "evaluation.board=6"],
            "evaluation.board: found 6, allowed: null, as env.layout gives levels of its own size",
        ),
        (
            ["policy.head=pool", "env.id=MiniGrid-Empty-5x5-v0", "evaluation.board=6"],
            "evaluation.board: found 6, allowed: null, as MiniGrid-Empty-5x5-v0 has a size of its own",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_size_that_cannot_be_gets_one_line_and_exit_code_2_and_leaves_nothing(
    tmp_path, monkeypatch, capfd, overrides, line
):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capfd, *overrides)
    assert code == 2 and errors.startswith(f"drc_lab: {line}") and errors.count("\n") == 1, errors
    assert output == "" and not list(tmp_path.iterdir())


def test_a_size_for_levels_from_a_file_is_refused(config, tmp_path):
    (tmp_path / "one.txt").write_text("#####\n#@$.#\n#####")
    with pytest.raises(ConfigError, match=r"evaluation\.board: found 6, allowed: null, as env\.levels gives"):
        held_out_env(Settings(config("env=sokoban", f"env.levels={tmp_path}/one.txt", "evaluation.board=6")), "valid")


def test_an_agent_plays_larger_boards_by_one_key(play, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", *ANY_SIZE, "evaluation.num_levels=5", "env.max_steps=3")
    fixed = [where, "play.video=null", "play.episodes=2"]
    for words, rows in ([], 4), (["evaluation.board=6"], 6), (["env.height=7"], 7):
        code, output, errors = play(*fixed, *words)
        assert (code, errors, len(results(output))) == (0, "", 2)
        assert output.split("\n\n")[0].count("\n|") == rows, output
    where = checkpoint(tmp_path / "b.ckpt", "evaluation.num_levels=5")
    code, output, errors = play(where, "evaluation.board=6")
    assert code == 2 and errors.startswith("drc_lab: evaluation.board: found 'observations (8, 6, 6)', allowed: (8, 5")
    assert output == ""


@pytest.mark.slow
def test_a_net_trained_on_one_size_is_evaluated_on_another_while_training_and_in_the_sweep(tmp_path):
    """Trained on 4x4 and judged on 6x6; then the sweep of that training, resumed at its end, on 5x7."""
    sweep = ["+experiment=ricochet_small", *TINY, *ANY_SIZE]
    first = run(tmp_path, *sweep, "evaluation.board=6")
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / "outputs/runs/ricochet_small").iterdir()
    last = folder / "checkpoints/last.ckpt"
    policy, trained = load_policy(last)
    assert policy.obs_shape == (8, 4, 4) and trained.evaluation.board == 6
    assert held_out_env(Settings(trained), "valid").single_observation_space.shape == (8, 6, 6)
    client, (study,) = store(tmp_path)
    (one,) = client.search_runs([study.experiment_id], "tags.task = 'thinking_sweep'")
    assert [m.step for m in client.get_metric_history(one.info.run_id, "valid/solve_rate")] == [640, 1280, 1920]
    second = run(tmp_path, *sweep, "evaluation.board=[5,7]", f"resume={last}")
    assert second.returncode == 0, second.stderr
    (table,) = set(tmp_path.glob("outputs/runs/ricochet_small/*/thinking.csv")) - {folder / "thinking.csv"}
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["levels"] for row in rows if row["optimal"] == "all"} == {"20"}
