"""Code and configs of one's own, from outside of the package: as docs/extending.md has them, and mistaken."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run, run_here, store
from examples import TRAININGS, edit, examples_in
from omegaconf import OmegaConf

TINY = ["algo.rollouts.frames=640", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "evaluation.num_levels=8",
        "evaluation.every_frames=640", "callbacks.videos=null"]  # fmt: skip
CONFIGS = ["--config-dir", "configs"]
BEST = "checkpoint=a/checkpoints/best.ckpt"
NET = "policy._target_=mine.TinyNet"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    with examples_in(tmp_path, monkeypatch) as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("command", TRAININGS)
def test_every_example_trains_as_it_is_documented(folder, command, monkeypatch):
    words = shlex.split(command)
    if "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("="))
    assert words[:3] == ["python", "-m", "drc_lab"]
    light = [] if "policy" in command or "experiment" in command else ["policy=mlp"]
    logged = [] if NET in command else ["algo.log_every_rollouts=5"]
    result = run(folder, *words[3:], *light, *TINY, *logged)
    assert result.returncode == 0, result.stderr
    (path,) = folder.glob("outputs/runs/*/*/config.yaml")
    config = OmegaConf.load(path)
    if "TinyNet" in command or "tiny" in command:
        assert config.policy == {"_target_": "mine.TinyNet", "width": 8 if "width=8" in command else 16}
    client, (experiment,) = store(folder)
    (recorded,) = client.search_runs([experiment.experiment_id])
    assert ("mine/largest_loss" in recorded.data.metrics) == ("TellLoss" in command)
    assert ("loss/auxiliary_next" in recorded.data.metrics) == ("NextObservation" in command)
    assert ("loss/worth" in recorded.data.metrics) == ("Reinforce" in command)
    if NET in command:
        assert recorded.data.tags["policy"] == "mine.TinyNet"
        assert recorded.info.run_name.startswith("TinyNet width=16 frames=640")
        assert recorded.data.params["policy._target_"] == "mine.TinyNet"
        assert "policy.hidden_channels" not in recorded.data.params


@pytest.mark.slow
def test_a_run_with_own_code_goes_on_and_is_evaluated_as_any_other(folder, monkeypatch, capfd):
    words = [NET, *TINY, "folder=a", "algo.head_l2_coef=0.1", "callbacks.mine._target_=mine.TellLoss"]
    result = run(folder, *words[:-1], f"+{words[-1]}")
    assert result.returncode == 0, result.stderr
    again = run(folder, *words[:-1], f"+{words[-1]}")
    assert "holds this run, finished" in again.stdout
    result = run(folder, "task=evaluate", BEST, "evaluation.num_levels=8", "folder=b", "trust=[mine]")
    assert result.returncode == 0, result.stderr
    other = run(folder, "policy._target_=mine.TinyNet", "+policy.width=8", *TINY, "folder=a", words[-2])
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "policy.width: found 8, allowed: None, as in the run that " in other.stderr
    edit(
        folder,
        "nn.GRUCell(torch.Size(obs_shape).numel(), width)",
        "nn.GRUCell(torch.Size(obs_shape).numel(), 2 * width)",
    )
    edit(
        folder,
        "nn.Linear(width, num_actions), nn.Linear(width, 1)",
        "nn.Linear(2 * width, num_actions), nn.Linear(2 * width, 1)",
    )
    found = run_here(monkeypatch, capfd, "task=play", BEST, "trust=[mine]")
    assert found[0] == 2 and found[2].count("\n") == 1
    assert found[2].startswith("drc_lab: checkpoint: mine.TinyNet is not what was trained any more: ")
    (folder / "mine.py").unlink()
    del sys.modules["mine"]
    code, _, errors = run_here(monkeypatch, capfd, "task=play", BEST, "trust=[mine]")
    assert code == 2 and "checkpoint.policy._target_: found 'mine.TinyNet'" in errors
    assert f"there is no module 'mine' in this folder ({folder})" in errors and errors.count("\n") == 1


@pytest.mark.slow
def test_a_folder_of_configs_reaches_the_jobs_of_a_sweep_and_the_command_that_is_recorded(folder):
    """Though the options stand after the overrides."""
    result = run(folder, "policy=tiny", *TINY, "-m", "seed=0,1", "--config-dir", "configs")
    assert result.returncode == 0, result.stderr
    client, (experiment,) = store(folder)
    jobs = [r for r in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" in r.data.tags]
    assert {r.data.params["policy._target_"] for r in jobs} == {"mine.TinyNet"} and len(jobs) == 2
    assert all(" -m drc_lab --config-dir configs policy=tiny " in r.data.tags["command"] for r in jobs)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        ("width: 3", "trainer.barebonez: found True, allowed: no such key, but barebones"),  # the policy was built
        ("widht: 3", "policy.widht: found 3, allowed: no such key, but width"),
    ],
)
def test_a_target_in_an_experiment_drops_its_predecessors_keys_too(folder, monkeypatch, capfd, width, line):
    text = f"# @package _global_\npolicy:\n  _target_: mine.TinyNet\n  {width}\n"
    (folder / "configs/experiment/target.yaml").write_text(text)
    code, _, errors = run_here(monkeypatch, capfd, *CONFIGS, "+experiment=target", "+trainer.barebonez=true")
    assert (code, errors) == (2, f"drc_lab: {line}\n")


def test_an_installed_script_finds_modules_in_the_current_folder(folder):
    """It lacks what ``python -m`` puts into sys.path."""
    script = Path(sys.executable).with_name("drc-lab")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [str(script), "policy._target_=mine.Nope"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert result.returncode == 2 and "mine (mine.py) has no Nope" in result.stderr, result.stderr


MISTAKES = [
    (["policy._target_=mine.Nope"], "policy._target_: found 'mine.Nope', allowed: the import path of a class or "
     "function; mine (mine.py) has no Nope"),
    (["policy._target_=mine.TinyNt"], "has no TinyNt; closest: TinyNet"),
    (["policy._target_=mine.TinyNet.tick"], "mine.TinyNet has no tick"),
    (["policy._target_=yours.Net"], "found 'yours.Net', allowed: the import path of a class or function; there is no "
     "module 'yours' in this folder ("),
    (["policy._target_=mine"], "mine is a module"),
    (["policy._target_=3"], "policy._target_: found 3, allowed: the import path of a class or fun"),
    (["policy._target_=mine.Corridor"], "policy._target_: found 'mine.Corridor', allowed: a subclass of "
     "drc_lab.models.policy.Policy, or a function that returns one"),
    ([NET, "policy.hidden_channels=3"], "policy.hidden_channels: found 3, allowed: no such key, but "),
    ([NET, "policy.width=3"], "policy.width: no such key; closest: policy.width, policy (a new key needs a leading +)"),
    ([NET, "+policy.widht=3"], "policy.widht: found 3, allowed: no such key, but width"),
    ([NET, "+policy.width=wide"], "policy.width: found 'wide', allowed: int"),
    (["env.id=mine:Corridor-v1"], "env.id: found 'mine:Corridor-v1'"),
    (["env.id=yours:Env-v0"], "env.id: found 'yours:Env-v0', allowed: an id whose package is installed "),
    (["algo.loss._target_=mine.TinyNet"], "algo.loss._target_: found 'mine.TinyNet', allowed: a subclass of "
     "drc_lab.learning.losses.base.Loss"),
    (["algo=a2c", "algo.loss._target_=mine.BoundedLoss", "+algo.loss.bond=2"], "algo.loss.bond: found 2, allowed: no"),
    (["algo.optimizer._target_=mine.BoundedLoss"], "algo.optimizer: "),
    (["algo.schedule._target_=builtins.list"], "algo.schedule: "),
    (["+callbacks.mine._target_=mine.TellLos"], "callbacks.mine._target_: found 'mine.TellLos'"),
    (["+callbacks.mine._target_=mine.TinyNet"], "allowed: a subclass of lightning.pytorch.callbacks"),
    (["trainer._target_=mine.TellLoss"], "trainer._target_: found 'mine.TellLoss', allowed: a subclass of lightning."),
    ([*CONFIGS, "policy=tny"], "policy: found 'tny', allowed: auto | convlstm | "),
    ([*CONFIGS, "policy=tiny", "policy.wdth=3"], "policy.wdth: no such key; closest: policy.width"),
    (["policy=tiny", "policy.width=3.5", *CONFIGS], "policy.width: found 3.5, allowed: int"),
    (["--config-dir", "nowhere"], "Additional config directory '"),
    ([*CONFIGS, "+experiment=corridr"], "experiment: found 'corridr', allowed: benchmark | boxoban | corridor | "),
    (["-m", NET, "policy=drc,mlp", "polcy.x=1"], "polcy.x: no such key; closest: "),
]  # fmt: skip


@pytest.mark.parametrize(("words", "line"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_about_own_code_gets_one_line(folder, monkeypatch, capfd, words, line):
    before = sorted(folder.rglob("*"))
    code, output, errors = run_here(monkeypatch, capfd, *words)
    assert code == 2 and output == "", errors
    assert errors.count("\n") == 1 and line in errors, errors
    assert sorted(folder.rglob("*")) == before


START = "state = self.cell(x, state * ~new[:, None])"
BROKEN = [
    ("self.obs_shape = tuple(obs_shape)", "pass", "a policy that has obs_shape, which is (8, 5, 5) here"),
    ("self.obs_shape = tuple(obs_shape)", "self.obs_shape = (5, 5)", "whose obs_shape is (8, 5, 5), not (5, 5)"),
    ("self.obs_shape = tuple(obs_shape)", "self.obs_shape = obs_shape; 1 / 0", "policy: ZeroDivisionError: "),
    ("def unroll(", "def enroll(", "a class that has unroll, which this one lacks"),
    ("torch.zeros(batch, self", "torch.zeros(1, batch, self", "a first axis of 2, one row for each env"),
    ("PolicyValue(self.logits(h), self.value(h)), state", "(self.logits(h), self.value(h)), state", "returns a pair"),
    ("PolicyValue(self.logits(h), self", "PolicyValue(self.value(h), self", "(3, 2, 8) here, not (3, 2, 1)"),
    ("self.value(h)), state", "self.value(h)[..., 0]), state", "value is [steps, envs, 1], (3, 2, 1) here, not (3, 2)"),
    (START, START.replace(" * ~new[:, None]", ""), "starts anew, as from init_state, where resets is true"),
    ("h = torch.stack(hidden)", "h = torch.stack(hidden).cumsum(0)", "whose unroll of 3 steps equals 3 unrolls of one"),
    ("self.value(h)), state", "self.value(h)), (state, h)", "whose carry stays as it is: unroll makes "),
    (START, "state = self.sell(x)", "policy: mine.TinyNet raises AttributeError: 'TinyNet' object has no attribute"),
    (
        "super().__init__()",
        "super().__init__(); self.nothing.here",
        "policy: AttributeError: 'TinyNet' object has no attribute 'nothing', at mine.py:",
    ),
    ("import torch\n", "import torch\nimport torhc\n", "mine failed: ModuleNotFoundError: No module named 'torhc'"),
    ("class TinyNet(Policy):", "class TinyNet(Policy:", "the import of mine failed: SyntaxError: "),
]


@pytest.mark.parametrize(("old", "new", "line"), BROKEN, ids=[line for *_, line in BROKEN])
def test_a_policy_that_cannot_work_is_told_before_anything_is_written(folder, monkeypatch, capfd, old, new, line):
    edit(folder, old, new)
    code, output, errors = run_here(monkeypatch, capfd, NET, *TINY)
    assert (code, output) == (2, ""), errors
    assert errors.count("\n") == 1 and line in errors, errors
    assert not (folder / "outputs").exists()


BROKEN_OTHERS = [
    ("algo.loss._target_=mine.BoundedLoss", "advantages.clamp(-self.bound, self.bound))", "advantages).mean()",
     "a loss whose policy_terms is [steps, envs], (3, 2) here, not ()"),
    ("algo.loss._target_=mine.BoundedLoss", "self.bound, self", "self.nothing, self",
     "algo.loss: mine.BoundedLoss raises AttributeError: 'BoundedLoss' object has no attribute 'nothing', at mine.py:"),
    ("+callbacks.mine._target_=mine.TellLoss", "self.name, self", "self.missing.name, self",
     "callbacks.mine: AttributeError: 'TellLoss' object has no attribute 'missing', at mine.py:"),
    ("algo.loss._target_=mine.Reinforce", "loss = -(taken * (worth - worth.mean())).mean()", "loss = worth",
     "algo.loss._target_: found 'mine.Reinforce', allowed: a loss that is a scalar with a gradient"),
    ("+algo.auxiliary.next._target_=mine.NextObservation", "[1:, :, None]).mean()", "[1:, :, None])",
     "algo.auxiliary.next._target_: found 'mine.NextObservation', allowed: a loss that is a scalar with a gradient"),
    ("+algo.auxiliary.next._target_=mine.NextObservation", "return ((made", "return ((hidden",
     "algo.auxiliary.next: mine.NextObservation raises RuntimeError: The size of tensor"),
    ("+algo.auxiliary.next._target_=mine.NextObservation", "coef: float = 0.1", "coef: float = -1",
     "algo.auxiliary.next.coef: found -1, allowed: at least 0"),
    ("+algo.auxiliary.next._target_=mine.TinyNet", "TinyNet(Policy)", "TinyNet(Policy)",
     "algo.auxiliary.next._target_: found 'mine.TinyNet', allowed: a subclass of drc_lab.learning.auxiliary."),
    ("env.id=mine:Corridor-v0", "gym.register(", "gym.regster(",
     "env.id: found 'mine:Corridor-v0', allowed: one that imports mine without an error (AttributeError: "),
    ("env.id=mine:Corridor-v0", 'action_space = gym', 'def __init__(self):\n        int("x")\n\n    action_space = gym',
     "what mine:Corridor-v0 takes (ValueError: invalid literal for int() with base 10: 'x', at mine.py:"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "old", "new", "line"), BROKEN_OTHERS, ids=[line for *_, line in BROKEN_OTHERS])
def test_a_loss_callback_or_env_that_cannot_work_is_told_too(folder, monkeypatch, capfd, word, old, new, line):
    edit(folder, old, new)
    code, output, errors = run_here(monkeypatch, capfd, word, "policy=mlp", *TINY)
    assert (code, output) == (2, ""), errors
    assert errors.count("\n") == 1 and line in errors, errors
    assert not (folder / "outputs").exists()


def test_a_penalty_on_weights_that_a_policy_does_not_tell_is_refused(folder, monkeypatch, capfd):
    edit(folder, "def output_layers", "def layers")
    code, _, errors = run_here(monkeypatch, capfd, NET, *TINY, "algo.head_l2_coef=0.5")
    assert code == 2
    assert errors == "drc_lab: algo.head_l2_coef: found 0.5, allowed: 0, as TinyNet has no output_layers\n"
