"""drc_lab in Python: what the command line comes to, its mistakes as errors, and nothing left behind."""

import copy
import csv
import gc
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from commands import run
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from mlflow.tracking import MlflowClient

import drc_lab as dl
from drc_lab.evaluation.measures.table import Row

ROOT = Path(__file__).parents[1]
AGENT = "agents:/sokoban-one-box"
LEVELS = 24
TRAINING = [
    "algo.rollouts.frames=640", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "policy.hidden_channels=4",
    "policy.num_layers=1", "policy.repeats_per_step=1", "policy.proj_dim=8", "evaluation.num_levels=20", "threads=1",
    "evaluation.every_frames=320", "callbacks.videos=null", "seed=7", "root=outputs", "policy.head_init=orthogonal",
]  # fmt: skip
PLAYED = [f"evaluation.num_levels={LEVELS}", "threads=1", "tracking=[]", "thinking.solver_levels=0",
          "thinking.trace_ticks=0", "report.video=null"]  # fmt: skip


def process_state():
    """What belongs to the whole process."""
    return {
        "threads": threading.enumerate(),
        "environment": dict(os.environ),
        "random": torch.get_rng_state().tolist() + np.random.get_state()[1].tolist(),  # noqa: NPY002
        "torch": (torch.get_num_threads(), torch.get_float32_matmul_precision()),
        "hydra": (GlobalHydra.instance().is_initialized(), HydraConfig.initialized()),
        "mlflow": (mlflow.active_run(), mlflow.get_tracking_uri()),
        "frozen": gc.get_freeze_count() > 0,  # where something is hidden already, more may be
        "path": list(sys.path),
        "folder": os.getcwd(),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training in a folder of its own: what it returned, the state of the process before and after."""
    folder, torch_threads = tmp_path_factory.mktemp("trained"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.set_num_threads(3)  # not what the training sets
        assert dl.train  # imports libraries that put something into the environment
        before = process_state()
        result = dl.train([*TRAINING, "folder=run"])
        after = process_state()
        torch.set_num_threads(torch_threads)
    return folder, result, before, after


@pytest.fixture(params=["trained", pytest.param(AGENT, marks=pytest.mark.slow)])
def checkpoint(request, trained):
    """A checkpoint that was just trained, and one that comes with the package."""
    return str(trained[1].checkpoint) if request.param == "trained" else request.param


def test_a_training_is_that_of_the_command(trained, tmp_path):
    folder, result, *_ = trained
    command = run(tmp_path, *TRAINING, "folder=run")
    assert command.returncode == 0, command.stderr
    assert result.folder == folder / "run" and result.checkpoint == folder / "run/checkpoints/best.ckpt"
    states = [torch.load(at / "run/checkpoints/best.ckpt", weights_only=True) for at in (folder, tmp_path)]
    for name, weight in states[0]["state_dict"].items():
        assert torch.equal(weight, states[1]["state_dict"][name]), name
    recorded = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db").get_run(result.run_id)
    final = {name: value for name, value in recorded.data.metrics.items() if name.startswith("final/")}
    assert {f"final/{name}": value for name, value in result.metrics.items()} | {"final/frames": 640} == final
    assert recorded.info.status == "FINISHED"
    policy = dl.load_policy(result.checkpoint)
    assert policy.origin.frames == states[0]["frames"] and policy.origin.config["seed"] == 7 and not policy.training


def test_a_training_leaves_nothing_behind_in_the_process(trained):
    *_, before, after = trained
    for name, value in before.items():
        assert after[name] == value, name


def test_the_same_folder_again_has_the_same_result(trained, monkeypatch):
    folder, result, *_ = trained
    monkeypatch.chdir(folder)
    files = sorted(folder.rglob("*"))
    assert dl.train([*TRAINING, "folder=run"]) == result
    assert sorted(folder.rglob("*")) == files


def journal_metrics(folder):
    """The first metrics that a run has recorded."""
    operations = map(json.loads, (folder / "tracking.jsonl").read_text().splitlines())
    return next(operation["values"] for operation in operations if operation["op"] == "metrics")


def test_an_evaluation_is_that_of_the_command(checkpoint, tmp_path):
    words = [f"checkpoint={checkpoint}", *PLAYED, "folder=out", "thinking.controls=[sampled]"]
    command = run(tmp_path, "task=evaluate", *words)
    assert command.returncode == 0, command.stderr
    records = pd.read_parquet(tmp_path / "out/levels.parquet")
    policy = dl.load_policy(checkpoint)
    for greedy, kind in ((True, "first_passes"), (False, "sampled")):
        found = dl.evaluate(policy, num_levels=LEVELS, greedy=greedy)
        expected = records[records["kind"] == kind].reset_index(drop=True)
        columns = [c for c in found.levels if c not in ("kind", "amount", "baseline")]
        pd.testing.assert_frame_equal(found.levels[columns], expected[columns], check_dtype=False)
        if greedy:
            assert found.metrics == journal_metrics(tmp_path / "out")
    assert found.solve_rate == found.metrics["solve_rate"] and f"{LEVELS} levels: solve_rate " in str(found)


def test_a_thinking_sweep_is_that_of_the_command(checkpoint, tmp_path):
    kinds = {"first_passes": [1, 2], "noops": [1], "repeats": [1, 3], "passes_at": [2], "cycle_passes": [1],
             "adaptive": [0.1], "controls": ["random", "no_memory"]}  # fmt: skip
    words = [f"thinking.{key}={value}".replace(" ", "").replace("'", "") for key, value in kinds.items()]
    words += [f"checkpoint={checkpoint}", *PLAYED, "thinking.cycle_noops=[]", "folder=out"]
    command = run(tmp_path, "task=thinking", *words)
    assert command.returncode == 0, command.stderr
    with (tmp_path / "out/thinking.csv").open() as file:
        expected = list(csv.DictReader(file))
    policy = dl.load_policy(checkpoint)
    table = dl.thinking_sweep(policy, num_levels=LEVELS, **kinds)
    assert list(table) == list(expected[0]) == list(Row.__dataclass_fields__)
    rows = table.to_dict("records")
    found = [{k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in row.items()} for row in rows]
    assert found == expected
    longer = dl.evaluate(policy, num_levels=LEVELS, thinking=dl.Thinking(first_passes=2)).levels
    records = pd.read_parquet(tmp_path / "out/levels.parquet")
    same = records[(records["kind"] == "first_passes") & (records["amount"] == 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(longer[["length", "ticks", "return"]], same[["length", "ticks", "return"]])


def test_levels_are_the_same_however_many_are_played_at_a_time(trained):
    policy = dl.load_policy(trained[1].checkpoint)
    eight = dl.evaluate(policy, dl.make_env(policy, split="test", num_envs=8, num_levels=LEVELS, noop=True))
    assert eight.metrics == dl.evaluate(policy, num_levels=LEVELS).metrics and len(eight.levels) == LEVELS
    few = dl.evaluate(policy, dl.make_env(policy, "test", 8, num_levels=LEVELS, noop=True), num_levels=10).levels
    pd.testing.assert_frame_equal(few, eight.levels[:10])


def test_envs_by_policy_id_and_name_of_a_config(trained):
    policy = dl.load_policy(trained[1].checkpoint)
    training, own = dl.make_env(policy, num_envs=3), dl.make_env("drc_lab/Sokoban-v0", height=7, width=6, num_boxes=1)
    assert training.reset(seed=0)[0].shape == (3, *policy.obs_shape) and own.num_envs == 1
    assert own.single_observation_space.shape == (3, 7, 6)
    named = dl.make_env("ricochet_v1", split="valid", num_envs=4)
    first, _ = named.reset(seed=0)
    kept = first.copy()
    named.step(np.zeros(4, np.int64))
    assert np.array_equal(first, kept)  # an observation is the caller's to keep
    assert dl.make_env("CartPole-v1", max_steps=9).single_observation_space.shape == (4,)


def unknown(policy):
    """The same as if it had not been loaded."""
    policy = copy.deepcopy(policy)
    policy.origin = None
    return policy


MISTAKES = {
    "checkpoint: found no file 'no.ckpt', allowed: a .ckpt file": lambda _: dl.load_policy("no.ckpt"),
    "checkpoint: found 'agents:/nobody', allowed: agents:/": lambda _: dl.load_policy("agents:/nobody"),
    "checkpoint: found 'models:a', allowed: a file, ": lambda _: dl.load_policy("models:a"),
    "env.id: found 'sokobam', allowed: ": lambda _: dl.make_env("sokobam"),
    "env.heigth: found 7, allowed: no such key, but height": lambda _: dl.make_env("sokoban", heigth=7),
    "env.height: found 'tall', allowed: ": lambda _: dl.make_env("sokoban", height="tall"),
    "split: found 'tset', allowed: train | valid | test": lambda policy: dl.make_env(policy, split="tset"),
    "num_envs: found 0, allowed: at least 1": lambda policy: dl.make_env(policy, num_envs=0),
    "policy: found 'DRCPolicy', allowed: one of load_policy": lambda policy: dl.evaluate(unknown(policy)),
    "env: found 'observations (": lambda policy: dl.evaluate(policy, dl.make_env("ricochet_v0")),
    "num_levels: found 9, allowed: 1 to 5": lambda policy: dl.evaluate(
        policy, dl.make_env(policy, "test", num_levels=5), num_levels=9
    ),
    "evaluation.num_levels: found 0, allowed: at least 1": lambda policy: dl.evaluate(policy, num_levels=0),
    "split: found 'test', allowed: None with an env": lambda policy: dl.evaluate(
        policy, dl.make_env(policy, "test", num_levels=5), split="test"
    ),
    "thinking.first_passes: found -1, allowed: at least 0": lambda policy: dl.evaluate(
        policy, num_levels=2, thinking=dl.Thinking(first_passes=-1)
    ),
    "thinking.noops: found 1, allowed: 0, as the env has no action": lambda policy: dl.evaluate(
        policy, dl.make_env(policy, "test", num_levels=5), thinking=dl.Thinking(noops=1)
    ),
    "thinking.repeats: found 0, allowed: at least 1": lambda policy: dl.thinking_sweep(policy, repeats=[0]),
    "thinking.controls: found 'nobody', allowed: random | ": lambda policy: dl.thinking_sweep(
        policy, num_levels=2, controls=["nobody"]
    ),
    "polcy.x: no such key; closest: ": lambda _: dl.train(["polcy.x=1"]),
    "env: found 'sokobam', allowed: game | gym | ricochet | ": lambda _: dl.train(["env=sokobam"]),
    "env: found '3', allowed: game | gym | ricochet | ": lambda _: dl.train(["env=3"]),
    "policy.hidden_channels: found 0, allowed: at least 1": lambda _: dl.train(["policy.hidden_channels=0"]),
    "task: found 'play', allowed: train | thinking_sweep": lambda _: dl.train(["task=play"]),
    "hydra.mode: found 'MULTIRUN', allowed: RUN": lambda _: dl.train(["+experiment=hpo_small"]),
    "trainer.devices: found 2, allowed: 1": lambda _: dl.train(["trainer=ddp"]),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_an_error_of_one_line_and_leaves_nothing(trained, tmp_path, monkeypatch, capsys, line):
    policy = dl.load_policy(trained[1].checkpoint)
    monkeypatch.chdir(tmp_path)
    before = process_state()
    with pytest.raises(dl.UserError, match=f"^{re.escape(line)}") as error:
        MISTAKES[line](policy)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
    assert process_state() == before and capsys.readouterr() == ("", "")


def test_loading_and_measuring_leave_nothing_behind(trained):
    before = process_state()
    policy = dl.load_policy(trained[1].checkpoint)
    dl.thinking_sweep(policy, num_levels=3, first_passes=[1], controls=["random", "sampled"])
    dl.evaluate(policy, num_levels=3, greedy=False)
    assert process_state() == before


def test_the_import_is_light_and_names_are_there_for_tools():
    code = "import sys, drc_lab; print(sorted({'torch', 'hydra', 'numba', 'mlflow', 'lightning'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert shown.stdout == "[]\n", shown.stderr
    assert all(getattr(dl, name) is not None for name in dl.__all__)
    with pytest.raises(AttributeError, match="module 'drc_lab' has no attribute 'load_polcy'"):
        dl.load_polcy  # noqa: B018


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_the_examples_of_a_page_run_in_a_script_of_ones_own(tmp_path, page):
    """One after the other, with fewer levels and frames."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    script = re.sub(r"num_levels=\d+", "num_levels=20", "\n".join(blocks)).replace(
        '"algo.rollouts.frames=50_000"', ", ".join(f'"{word}"' for word in TRAINING)
    )
    (tmp_path / "mine.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "mine.py"]
    shown = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=500, env=environment)
    assert shown.returncode == 0, shown.stderr
    assert "20 levels: solve_rate " in shown.stdout
