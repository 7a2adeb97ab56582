"""task=train checkpoint=...: a new training from the weights of another, and nothing else of that."""

import pytest
import torch
from commands import TINY, run, run_here, store

from drc_lab.errors import ConfigError
from drc_lab.learning.checkpoints import begin_with
from drc_lab.models.random import RandomPolicy

ROLLOUT = "drc_lab.learning.rollouts:RolloutStream.collect"
SMALL = [*TINY, "threads=1", "callbacks.videos=null"]
TAUGHT = "taught/checkpoints/last.ckpt"


def checkpoint(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A folder with a training in it."""
    folder = tmp_path_factory.mktemp("begin")
    result = run(folder, *SMALL, "algo=imitation", "folder=taught")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
def test_it_acts_like_the_checkpoint_from_the_first_rollout_on_and_counts_from_0(taught, monkeypatch, capsys):
    """With a learning rate of 0 the weights stay those that it began with; by every name that a checkpoint has."""
    monkeypatch.chdir(taught)
    client, (experiment,) = store(taught)
    (first,) = client.search_runs([experiment.experiment_id])
    assert (
        run_here(monkeypatch, capsys, "task=register", f"register.run={first.info.run_id}", "register.name=it")[0] == 0
    )
    before = checkpoint(taught / "taught")
    best = torch.load(taught / "taught/checkpoints/best.ckpt", weights_only=True)
    named = {TAUGHT: before, f"runs:/{first.info.run_id}/checkpoints/best.ckpt": best, "models:/it@champion": best}
    for number, (name, wanted) in enumerate(named.items()):
        words = [*SMALL, "seed=1", "algo.optimizer.lr=0", f"checkpoint={name}", f"folder=new{number}"]
        code, output, errors = run_here(monkeypatch, capsys, *words)
        assert code == 0 and f"begins with the weights that {name} has after {wanted['frames']:,} frames" in output, (
            errors
        )
        after = checkpoint(taught / f"new{number}")
        assert after["frames"] == 1920 and after["global_step"] == 30
        for weight, value in wanted["state_dict"].items():
            assert torch.equal(after["state_dict"][weight], value), weight
        (new,) = client.search_runs([experiment.experiment_id], f"params.folder = 'new{number}'")
        assert new.data.params["checkpoint"] == name
        assert min(m.step for m in client.get_metric_history(new.info.run_id, "loss/total")) == 320
    code, _, _ = run_here(monkeypatch, capsys, *SMALL, "seed=1", "algo.optimizer.lr=0", "folder=plain")
    plain = checkpoint(taught / "plain")["state_dict"]
    assert not all(torch.equal(plain[weight], value) for weight, value in before["state_dict"].items())


@pytest.mark.slow
def test_stopped_it_goes_on_from_its_own_checkpoint_and_needs_the_first_no_more(taught):
    words = [*SMALL, "algo=imitation", "algo.rollouts.first_passes=[0,2]", "checkpoint=first.ckpt"]
    (taught / "first.ckpt").write_bytes((taught / TAUGHT).read_bytes())
    assert run(taught, *words, "folder=whole").returncode == 0
    stopped = run(taught, *words, "folder=stopped", interruption=(ROLLOUT, 12, 15))
    assert stopped.returncode == 75 and 0 < checkpoint(taught / "stopped")["frames"] < 1920, stopped.stderr
    (taught / "first.ckpt").unlink()
    other = run(taught, *words[:-1], f"checkpoint={TAUGHT}", "folder=stopped")
    assert (
        other.returncode == 2 and f"checkpoint: found '{TAUGHT}', allowed: 'first.ckpt', as in the run" in other.stderr
    )
    resumed = run(taught, *words, "folder=stopped")
    assert resumed.returncode == 0 and "begins with" not in resumed.stdout, resumed.stderr
    whole, found = checkpoint(taught / "whole"), checkpoint(taught / "stopped")
    assert whole["frames"] == found["frames"] == 1920
    for weight, value in whole["state_dict"].items():
        assert torch.equal(found["state_dict"][weight], value), weight
    assert run(taught, *words, "folder=stopped").returncode == 0  # finished, and says so
    gone = run(taught, *words, "folder=stopped", "resume=never")
    assert gone.returncode == 2 and "checkpoint: found no file 'first.ckpt'" in gone.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["policy.hidden_channels=8"], " (8, 8, 3, 3), as this training's policy, not encoder."),
        (["policy.num_layers=2"], "as this training's policy, not no "),
        (["policy=small_cnn"], "as this training's policy, not no "),
        (["env=sokoban"], "as this training's policy, not encoder."),
    ],
)
def test_weights_that_do_not_fit_are_told_in_one_line(taught, monkeypatch, capsys, words, line):
    monkeypatch.chdir(taught)
    sizes = [word for word in SMALL if words[0] != "policy=small_cnn" or not word.startswith("policy.")]
    code, _, errors = run_here(monkeypatch, capsys, *sizes, *words, f"checkpoint={TAUGHT}", "folder=bad")
    assert code == 2 and errors.count("\n") == 1 and not (taught / "bad").exists(), errors
    assert errors.startswith(f"drc_lab: checkpoint: found '{TAUGHT}', allowed: one with ") and line in errors


@pytest.mark.parametrize(
    ("had", "has", "line"),
    [
        ({"noop": True}, {"thinks": 2}, "env.noop: found None, allowed: True, as a.ckpt was trained with"),
        (
            {"thinks": 2, "noop": False},
            {"noop": True},
            "env.noop: found True, allowed: False, as a.ckpt was trained with",
        ),
        ({"thinks": 2}, {}, "env.thinks: found None, allowed: 2, as a.ckpt was trained with"),
    ],
)
def test_one_action_more_is_not_taken_for_another(tmp_path, had, has, line):
    """Weights for a no-op fit a think, and the other way round."""
    config = {"env": {"id": "drc_lab/Sokoban-v0", **had}, "policy": {"_target_": "drc_lab.models.mlp.MLPPolicy"}}
    torch.save({"config": config, "state_dict": {"policy.logits": torch.zeros(5)}}, tmp_path / "a.ckpt")
    policy = RandomPolicy((3, 7, 7), 5)
    with pytest.raises(ConfigError, match=line):
        begin_with(policy, tmp_path / "a.ckpt", "a.ckpt", has)
    assert begin_with(policy, tmp_path / "a.ckpt", "a.ckpt", had) == 0


@pytest.mark.slow
def test_a_sweep_of_thinking_begins_with_them_too(taught):
    words = [*SMALL, "task=thinking_sweep", "thinking.controls=[]", f"checkpoint={TAUGHT}", "folder=sweep"]
    result = run(taught, *words)
    assert result.returncode == 0 and f"begins with the weights that {TAUGHT} has" in result.stdout, result.stderr
