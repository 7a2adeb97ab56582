"""Around a training: it ends before NaN, at a target, with a rollout; and whoever watches it changes nothing."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from commands import TINY, run_here
from lightning.pytorch.callbacks import Callback, Timer

from drc_lab.learning.agent import Agent
from drc_lab.tracking.journal import last_status

pytestmark = pytest.mark.slow
SMALL = [*TINY, "tracking=[]", "folder=run", "threads=1", "algo.rollouts.minibatches=2"]


@pytest.fixture
def train(tmp_path, monkeypatch, capfd):
    """Trains in this process: exit code, its complaint."""
    monkeypatch.chdir(tmp_path)

    def train(*words):
        code, _, errors = run_here(monkeypatch, capfd, *SMALL, *words)
        return code, errors

    return train


def last(folder="run"):
    return torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)


def curves(*prefixes):
    """What was recorded of some metrics: (name, step, value)."""
    lines = [json.loads(line) for line in Path("run/tracking.jsonl").read_text().splitlines()]
    logged = [line for line in lines if line["op"] == "metrics"]
    points = [(name, line["step"], value) for line in logged for name, value in line["values"].items()]
    return sorted(point for point in points if point[0].split("/")[0] in prefixes)


class Spoil(Callback):
    """Makes something NaN once a training has come to some frames."""

    def __init__(self, what: str, at: int = 1000):
        self.what, self.at = what, at

    def on_train_batch_start(self, trainer, agent: Agent, batch, batch_idx):
        if batch.frames >= self.at and self.what == "rewards":
            batch.transitions.rewards[0, 0] = torch.nan

    def on_after_backward(self, trainer, agent: Agent):
        if agent.frames >= self.at and self.what == "gradient":
            agent.policy.head.value.weight.grad[0, 0] = torch.inf

    def on_before_optimizer_step(self, trainer, agent: Agent, optimizer):
        if agent.frames >= self.at and self.what == "weight":
            optimizer.param_groups[0]["lr"] = torch.inf


@pytest.mark.parametrize(
    ("what", "said"),
    [("rewards", "rewards is nan at 1,024 frames"), ("gradient", "is inf at 1,024"), ("weight", "weight ")],
)
def test_a_training_stops_before_it_keeps_what_is_not_finite_and_names_the_tensor(train, what, said):
    spoil = [f"+callbacks.spoil._target_={__name__}.Spoil", f"+callbacks.spoil.what={what}", "callbacks.videos=null"]
    code, errors = train(*spoil)
    assert code == 1 and said in errors and errors.count("\n") == 1, errors
    assert last_status(Path("run")) == "FAILED"
    state = last()
    assert state["frames"] == 640 and all(weight.isfinite().all() for weight in state["state_dict"].values())


def test_a_training_ends_at_its_target(train):
    code, errors = train("callbacks.early_stop.target=0.0", "callbacks.videos=null")
    assert code == 0, errors
    assert last()["frames"] == 640 and last()["finished"] and last_status(Path("run")) == "FINISHED"


class Clock(Callback):
    """Makes the time that a trainer counts a matter of frames."""

    def __init__(self, frames_per_second: float):
        self.frames_per_second = frames_per_second

    def on_fit_start(self, trainer, agent):
        (timer,) = (one for one in trainer.callbacks if isinstance(one, Timer))
        timer.time_elapsed = lambda *_: agent.frames / self.frames_per_second
        timer.time_remaining = lambda *_: 60 - agent.frames / self.frames_per_second


def clock(frames_per_second):
    target = f"+callbacks.clock._target_={__name__}.Clock"
    return [target, f"+callbacks.clock.frames_per_second={frames_per_second}", "trainer.max_time=00:00:01:00"]


def test_a_training_that_its_time_limit_ends_has_finished_its_schedule(train):
    """But for the last of 15 rollouts, which it could not foresee."""
    code, errors = train(*clock(16), "algo.log_every_rollouts=1")  # 960 of 1,920 frames
    assert (code, errors) == (0, "")
    state = last()
    (group,) = state["optimizer_states"][0]["param_groups"]
    assert state["frames"] == 960 and state["finished"]
    assert 1e-4 <= group["lr"] < 1.5e-4
    falls = [earlier - later for (*_, earlier), (*_, later) in pairwise(curves("lr"))]
    assert max(falls[3:]) < 7e-5  # steadily, and not at the end


def test_a_time_limit_that_does_not_come_changes_nothing(train, tmp_path, monkeypatch):
    found = []
    for name, words in {"limited": clock(34), "free": []}.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        code, errors = train(*words)
        assert (code, errors) == (0, "")
        found.append((last()["state_dict"], last()["lr_schedulers"], last()["frames"]))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_a_training_without_time_for_a_rollout_leaves_the_checkpoint_that_it_names(train):
    code, errors = train("trainer.max_time=00:00:00:00")
    assert (code, errors) == (0, "")
    assert last()["frames"] == 0 and last()["finished"] and last_status(Path("run")) == "FINISHED"


class EndInTheMiddle(Callback):
    def on_train_batch_end(self, trainer, agent, outputs, batch, batch_idx):
        trainer.should_stop = trainer.should_stop or (batch.frames >= 1000 and not batch.last)


def test_whoever_ends_a_training_ends_it_with_its_rollout(train):
    code, errors = train(f"+callbacks.end._target_={__name__}.EndInTheMiddle", "callbacks.videos=null")
    assert code == 0, errors
    assert last()["global_step"] == 32 and last()["frames"] == 1024  # 64 frames and 2 steps a rollout


def test_evaluations_checkpoints_and_videos_leave_no_trace_in_a_training(train, tmp_path, monkeypatch):
    found = []
    often = [
        "evaluation.every_frames=64",
        "evaluation.live_every=1",
        "evaluation.live_first_passes=[2,2]",
        "callbacks.videos.every_frames=320",
    ]
    never = ["evaluation.every_frames=1_000_000", "evaluation.live_first_passes=[]", "callbacks.videos=null",
             "callbacks.nan_guard=null", "callbacks.early_stop=null", "checkpoints.every_minutes=null"]  # fmt: skip
    for name, words in {"often": often, "never": never}.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        code, errors = train(*words)
        assert code == 0, errors
        state = last()
        found.append((curves("train", "loss", "lr"), state["state_dict"], state["optimizer_states"]))
    often, never = found
    assert often[0] == never[0] and len(often[0]) > 50
    torch.testing.assert_close(often[1:], never[1:], rtol=0, atol=0)
    assert len(list((tmp_path / "often/run/videos").iterdir())) == 6


def test_minibatches_that_the_kl_stop_leaves_out_are_no_news(train):
    """Lightning would warn of each training that makes no step."""
    code, errors = train("algo=ppo", "algo.loss.target_kl=1e-6", "algo.rollouts.epochs=2")
    assert (code, errors) == (0, "")
    assert any(value > 0 for name, _, value in curves("loss") if name == "loss/kl_stop")


class Told(Callback):
    """Writes down how often the trainer's profiler was told of what."""

    def on_train_end(self, trainer, agent):
        Path("told.json").write_text(json.dumps({k: len(v) for k, v in trainer.profiler.recorded_durations.items()}))


def test_a_profiler_is_told_of_acting_of_passes_over_rollouts_and_of_evaluations(train):
    """30 rollouts of 4 steps in two minibatches each, and three evaluations."""
    assert train("+trainer.profiler=simple", "+callbacks.told._target_=test_training_callbacks.Told") == (0, "")
    told = json.loads(Path("told.json").read_text())
    assert {part: told[part] for part in ("act", "forward", "evaluation")} == {
        "act": 30 * 4,
        "forward": 30 * 2,
        "evaluation": 3,
    }
    assert told["[Strategy]SingleDeviceStrategy.backward"] == 30 * 2
