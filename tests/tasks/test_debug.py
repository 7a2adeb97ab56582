"""+debug=default makes a short run of anything; and of each part that can take long whoever watches is told."""

import gymnasium as gym
import pytest
import torch
import yaml
from no_success import SMALL, Four

from drc_lab import progress

NETS = {"drc": ["policy.hidden_channels=4", "policy.num_layers=1"], "small_cnn": ["policy=small_cnn"]}
TRAINING = {
    "starting",
    "opening a run in MLflow",
    "0/1,280 frames, first rollout",
    "held-out evaluation",
    "video of held-out episodes",
}


@pytest.fixture
def told(monkeypatch):
    """The lines that were there to be seen, numbers left out."""
    lines, real = set(), progress.Display.line

    def line(self, text, *others, **more):
        lines.add(" ".join("N" if word.replace(",", "").isdigit() else word for word in text.split()))
        return real(self, text, *others, **more)

    monkeypatch.setattr(progress.Display, "line", line)
    return lines


@pytest.mark.parametrize("order", [1, -1])
def test_it_goes_over_an_experiment_and_the_command_line_over_it(do, order):
    words = ["+debug=default", "+experiment=sokoban_small"][::order]
    config = yaml.safe_load(do(*words, "algo.rollouts.num_envs=4", "--cfg", "job"))
    rollouts = config["algo"]["rollouts"]
    assert (rollouts["frames"], rollouts["num_envs"], config["study"]) == (1280, 4, "debug")
    assert config["env"]["id"] == "drc_lab/Sokoban-v0" and config["evaluation"]["num_levels"] == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "also"),
    [
        (["env=sokoban", *NETS["small_cnn"]], {"making N Sokoban levels"}),
        (["env.id=MiniGrid-Empty-5x5-v0", *NETS["drc"], "env.max_steps=20"], {"making N envs"}),
        (
            ["+experiment=ricochet_small", *NETS["drc"]],
            {"making N Ricochet Robots boards", "statistics of all settings", "tracing N single ticks",
             "pictures of N failures", "video of levels side by side", "writing the report"},
        ),
    ],
    ids=["sokoban", "minigrid", "ricochet_small"],
)  # fmt: skip
def test_a_debug_run_is_short_and_tells_what_takes_long(do, told, words, also):
    output = do("+debug=default", "folder=run", "threads=1", *words)
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["frames"] == 1280
    assert output.count("1,280/1,280 frames") == 1 and "left" not in output  # nobody watches
    assert {*TRAINING, *also} <= told


@pytest.mark.slow
def test_frames_a_second_are_of_training_alone(do, monkeypatch):
    """Each step of an env takes 10 ms by the clock here, and nothing else any time."""
    now = [0.0]

    class Slow(Four):
        def step(self, action):
            now[0] += 0.01
            return super().step(action)

    gym.register("Slow-v0", Slow)
    monkeypatch.setattr(progress.display, "clock", lambda: now[0])
    monkeypatch.setattr(progress.display, "seconds_aside", 0.0)
    output = do("env.id=Slow-v0", "folder=run", "tracking=[]", *SMALL)
    assert "1,280/1,280 frames 100/s" in output and now[0] > 14  # of it 12.8 in training
