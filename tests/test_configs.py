"""Every shipped config composes, builds, and says what it is; the wheel carries them all."""

import importlib.util
import inspect
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from composed import compose

from drc_lab.app.settings import Settings
from drc_lab.arguments import plain
from drc_lab.building import build
from drc_lab.check import check_training
from drc_lab.config import build_policy, make_env
from drc_lab.models.policy import Policy
from drc_lab.paths import CONF
from drc_lab.specs import OF_LIBRARIES, SPECS
from drc_lab.targets import locate
from drc_lab.tracking.mlflow import flatten

OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml"))]
EXPERIMENTS = [stem for group, stem in OPTIONS if group == "experiment"]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}/{option}" for group, option in OPTIONS])
def test_every_option_composes_and_builds(group, option, tmp_path):
    overrides = [f"+{group}={option}" if group in ("experiment", "debug") else f"{group}={option}"]
    if option == "boxoban":  # its levels are not part of the project
        level = "#" * 10 + "\n" + "#@$.     #\n" * 1 + "#        #\n" * 7 + "#" * 10
        (tmp_path / "one.txt").write_text(level)
        overrides += [f"data.folder={tmp_path}/one.txt", "data.difficulty=null"]
    if option == "game":
        overrides.append("env.id=drc_lab/Sokoban-v0")
    config = compose(*overrides)
    check_training(Settings(config), tmp_path)
    env = make_env(config.env, num_envs=2)
    policy = build_policy(config.policy, env)
    obs, _ = env.reset(seed=0)
    assert isinstance(policy, Policy)
    assert policy(torch.from_numpy(obs))[0].policy_logits.shape == (2, env.single_action_space.n)
    assert build(config.algo.rollouts, "algo.rollouts").rollouts > 0
    assert callable(build(config.algo.loss, "algo.loss"))
    assert isinstance(build(config.algo.optimizer, "algo.optimizer")(policy.parameters()), torch.optim.Optimizer)
    assert build(config.trainer, "trainer", logger=False).max_steps == -1


@pytest.mark.parametrize("target", [*SPECS, *OF_LIBRARIES])
def test_what_is_checked_early_is_what_the_target_takes(target):
    spec = inspect.signature((SPECS | OF_LIBRARIES)[target]).parameters
    taken = inspect.signature(locate(target, "")).parameters
    if target in OF_LIBRARIES:
        assert set(spec) <= set(taken)
    else:
        assert {p.name: p.default for p in spec.values()} == {p.name: p.default for p in taken.values()}


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}/{option}" for group, option in OPTIONS])
def test_every_option_opens_with_what_it_is(group, option):
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    assert lines[0].startswith("#")
    if group in ("experiment", "debug"):
        assert lines[0] == "# @package _global_" and any(f"+{group}={option}" in line for line in lines[1:6])


def test_the_docs_explain_every_key_as_the_configs_do():
    """Written by ``python tools/config_docs.py``."""
    text = (CONF.parent / "docs/config.md").read_text()
    spec = importlib.util.spec_from_file_location("config_docs", CONF.parent / "tools/config_docs.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert text == tool.page()
    assert not [line for line in text.splitlines() if line.startswith("|") and line.endswith("|  |")]
    for group in ("evaluation", "checkpoints", "algo", "env", "policy"):
        for key in flatten(plain(compose()[group])):
            if not key.endswith(("_target_", "_partial_")):
                assert f"| `{key}` |" in text, key


def test_every_key_of_the_configs_of_envs_and_tasks_is_an_argument():
    """Configs mirror constructors one to one; tests/models/test_policies.py holds the policies to it."""
    from drc_lab.app.specs import BenchmarkSpec, PolicySpeedSpec, SearchSpec, SpeedSpec
    from drc_lab.deploy.spec import ExportSpec
    from drc_lab.envs.external import GymVectorEnv
    from drc_lab.envs.ricochet import RicochetVectorEnv
    from drc_lab.envs.sokoban import SokobanVectorEnv
    from drc_lab.evaluation.report_spec import ReportSpec
    from drc_lab.evaluation.spec import EvaluationSpec
    from drc_lab.learning.checkpointing import CheckpointSpec
    from drc_lab.tracking.register import RegisterSpec
    from drc_lab.tracking.runs_table import CompareSpec
    from drc_lab.tracking.spec import TrackingSpec

    for option, env in {"ricochet": RicochetVectorEnv, "sokoban": SokobanVectorEnv, "gym": GymVectorEnv}.items():
        assert set(compose(f"env={option}").env) - {"id"} <= set(inspect.signature(env).parameters)
    specs = {"speed": SpeedSpec, "search_speed": SearchSpec, "policy_speed": PolicySpeedSpec, "export": ExportSpec}
    specs |= {"compare": CompareSpec, "register": RegisterSpec, "checkpoints": CheckpointSpec}
    for group, spec in {
        **specs,
        "report": ReportSpec,
        "evaluation": EvaluationSpec,
        "benchmark": BenchmarkSpec,
    }.items():
        assert set(compose()[group]) == set(inspect.signature(spec).parameters)
    everywhere = compose("tracking=[mlflow,csv,tensorboard]").tracking
    assert set(everywhere) == set(inspect.signature(TrackingSpec).parameters)


@pytest.mark.parametrize("group", ["evaluation", "report", "checkpoints", "play", "probe", "steer", "saliency", "speed",
                                   "search_speed", "policy_speed", "compare", "register"])  # fmt: skip
def test_defaults_in_python_are_those_of_the_configs(group):
    made = getattr(Settings(compose()), group)
    assert plain_values(made) == plain_values(type(made)())


def plain_values(spec):
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()}


def test_a_whole_float_becomes_the_int_that_is_asked_for():
    """Hydra reads 1e6 as a float; a float length would make Lightning prefetch, with rollouts one policy stale."""
    spec = build(compose("algo.rollouts.frames=1e6").algo.rollouts, "algo.rollouts")
    assert isinstance(spec.frames, int) and isinstance(spec.optimizer_steps, int)
    env = make_env(compose("env.height=6.0").env, num_envs=1)
    assert env.single_observation_space.shape == (8, 6, 5)


@pytest.mark.slow
def test_the_wheel_carries_the_configs(tmp_path):
    root = Path(__file__).parents[1]
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(root)]
    subprocess.run(words, check=True, capture_output=True, timeout=240)
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    assert {p.relative_to(CONF) for p in CONF.rglob("*.yaml")} == {
        p.relative_to(unpacked / "drc_lab/conf") for p in unpacked.rglob("*.yaml")
    }
    assert (unpacked / "drc_lab/evaluation/report/page.html").is_file()  # the template of reports
    script = "import drc_lab.paths as p, drc_lab.__main__ as m; print(p.CONF); m.main()"
    words = [sys.executable, "-c", script, "--help"]
    shown = subprocess.run(words, cwd=unpacked, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and shown.stdout.startswith(str(unpacked)), shown
    envs = ", ".join(option for group, option in OPTIONS if group == "env")
    assert f"env: {envs}" in shown.stdout
