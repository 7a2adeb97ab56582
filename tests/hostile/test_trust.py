"""A file's config names a policy and an env: their modules are imported only if the user trusts them."""

import sys
from pathlib import Path

import pytest
import torch
from checkpoints import checkpoint
from commands import run_here
from omegaconf import OmegaConf

import drc_lab as dl
from drc_lab.errors import ConfigError, UserError
from drc_lab.trust import Trust, check_config, trusted, trusted_by

NET = "policy._target_"
MINE = """
import subprocess
from pathlib import Path

import gymnasium as gym
from drc_lab.models.cnn import SmallCNNPolicy

Path({mark!r}).touch()

class Net(SmallCNNPolicy):
    def __init__(self, obs_shape, num_actions, then=None):
        super().__init__(obs_shape, num_actions)

class Corridor(gym.Env):
    pass

gym.register("Mark-v0", Corridor)
"""


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that the import of a module ``mine`` makes, which lies in the current folder."""
    path = tmp_path / "imported"
    (tmp_path / "mine.py").write_text(MINE.format(mark=str(path)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield path
    sys.modules.pop("mine", None)
    import gymnasium as gym

    gym.registry.pop("Mark-v0", None)


def altered(path, changes):
    """A checkpoint of a small CNN whose config has other values under some dotted keys."""
    checkpoint(path, "policy=small_cnn")
    state = torch.load(path, weights_only=True)
    config = OmegaConf.create(state["config"])
    for key, value in changes.items():
        OmegaConf.update(config, key, value, merge=False, force_add=True)
    state["config"] = OmegaConf.to_container(config, resolve=False)
    torch.save(state, path)
    return path


def only(**policy):
    return {"policy": OmegaConf.create(policy)}


FORBIDDEN = {
    "a class of one's own": ({NET: "mine.Net"}, f"checkpoint.{NET}: found 'mine.Net', allowed: a policy of drc_lab; "
                             "trust=[mine] lets files name what is in mine, whose code then runs"),
    "a program": ({NET: "os.system"}, "trust=[os] lets"),
    "a builtin": ({NET: "builtins.exec"}, "trust=[builtins] lets"),
    "no module": ({NET: "eval"}, "found 'eval', allowed: a policy of drc_lab"),
    "what Hydra does by itself": ({NET: "hydra.utils.instantiate"}, "trust=[hydra.utils] lets"),
    "a function of this package": ({NET: "drc_lab.files.link"}, "found 'drc_lab.files.link', allowed: a policy of"),
    "a module within a module of this package": ({NET: "drc_lab.models.drc.torch.load"}, "allowed: a policy of"),
    "a class among the arguments": ({"policy.proj_dim": {"_target_": "mine.Net"}}, "policy.proj_dim._target_: "),
    "a class deep in the arguments": ({"policy.channels": [8, [{"_target_": "mine.Net"}]]}, "policy.channels[1][0]."),
    "a key of Hydra": ({"policy._partial_": True}, "checkpoint.policy._partial_: found "),
    "positional arguments": ({"policy._args_": ["a"]}, "checkpoint.policy._args_: found "),
    "no target": ({NET: None}, f"checkpoint.{NET}: found None, allowed: the import path of a policy"),
    "a target that is none": ({NET: 3}, f"checkpoint.{NET}: found 3"),
    "an env of one's own": ({"env.id": "mine:Mark-v0"}, "checkpoint.env.id: found 'mine:Mark-v0', allowed: an env that "
                            "needs no import; trust=[mine] lets"),
    "a module before a known env": ({"env.id": "mine:CartPole-v1"}, "trust=[mine] lets"),
    "an env of evaluations": ({"evaluation.env.id": "mine:Mark-v0"}, "checkpoint.evaluation.env.id: found 'mine:Mark"),
    "no env": ({"env.id": 3}, "checkpoint.env.id: found 3"),
    "a secret": ({"env.bank": "${oc.env:HOME}"}, "checkpoint.env.bank: found '${oc.env:HOME}', allowed: a value"),
    "a key of another": ({"env.bank": "${study}"}, "found '${study}'"),
    "a seed that is none": ({"seed": "zero"}, "checkpoint.seed: found 'zero'"),
    "layers without end": ({NET: "drc_lab.models.drc.DRCPolicy", "policy.num_layers": 10**9}, "policy.num_layers: "),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "line"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_file_decides_on_no_import(tmp_path, mark, changes, line):
    with pytest.raises(UserError) as error:
        dl.load_policy(altered(tmp_path / "a.ckpt", changes))
    assert line in str(error.value) and "\n" not in str(error.value)
    assert not mark.exists() and "mine" not in sys.modules


def test_a_class_of_a_trusted_module_is_built(tmp_path, mark):
    path = altered(tmp_path / "a.ckpt", only(_target_="mine.Net"))
    policy = dl.load_policy(path, trust=["mine"])
    assert type(policy).__name__ == "Net" and mark.exists()


WITHIN = {
    "another's function": (
        {"_target_": "mine.subprocess.run"},
        "found 'mine.subprocess.run', allowed: what trusted modules define themselves; trust=[subprocess] lets",
    ),
    "another's function among the arguments": (
        {"_target_": "mine.Net", "then": {"_target_": "os.getcwd"}},
        "checkpoint.policy.then._target_: found 'os.getcwd'",
    ),
    "a module of a similar name": ({"_target_": "mineral.Net"}, "trust=[mineral] lets"),
}


@pytest.mark.parametrize(("policy", "line"), WITHIN.values(), ids=WITHIN)
def test_trust_in_a_module_goes_no_further(tmp_path, mark, policy, line):
    with pytest.raises(ConfigError) as error:
        dl.load_policy(altered(tmp_path / "a.ckpt", only(**policy)), trust=["mine"])
    assert line in str(error.value)


@pytest.mark.parametrize("task", ["evaluate", "thinking", "probe", "steer", "saliency", "play", "export"])
def test_every_task_asks(tmp_path, mark, monkeypatch, capfd, task):
    words = [f"task={task}", f"checkpoint={altered(tmp_path / 'a.ckpt', only(_target_='mine.Net'))}"]
    code, _, errors = run_here(monkeypatch, capfd, *words, "format=state_dict", "tracking=[]")
    assert code == 2 and errors.count("\n") == 1 and "trust=[mine] lets" in errors, errors
    assert not mark.exists()


def test_the_config_beside_a_checkpoint_is_asked_before_its_env_is_looked_for(tmp_path, mark, monkeypatch, capfd):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    path = altered(tmp_path / "run/checkpoints/best.ckpt", {})
    config = torch.load(path, weights_only=True)["config"]
    config["env"] = {"id": "mine:Mark-v0"}
    OmegaConf.save(OmegaConf.create(config), tmp_path / "run/config.yaml")
    code, _, errors = run_here(monkeypatch, capfd, "task=evaluate", f"checkpoint={path}", "tracking=[]")
    assert code == 2 and "checkpoint.env.id: found 'mine:Mark-v0'" in errors and errors.count("\n") == 1
    assert not mark.exists()


def test_what_the_command_itself_names_is_trusted_word_by_word():
    own = OmegaConf.create(
        {
            "env": {"id": "mine:Mark-v0"},
            "policy": {"_target_": "mine.Net", "a": {"_target_": "b.C"}},
            "evaluation": {"env": {}},
            "trust": ["yours"],
        }
    )
    trust = trusted_by(own)
    assert trust == Trust(frozenset(["yours"]), frozenset(["mine:Mark-v0", "mine.Net", "b.C"]))
    check_config(OmegaConf.to_container(own), trust)
    with pytest.raises(ConfigError, match=r"mine\.Other"):
        check_config({"env": {"id": "CartPole-v1"}, "policy": {"_target_": "mine.Other"}}, trust)


@pytest.mark.parametrize("wrong", ["mine.", "", "a b", 3, ["mine", 3], {"mine": 1}, "../mine"])
def test_only_names_of_modules_can_be_trusted(wrong):
    with pytest.raises(ConfigError, match=r"trust: found .* allowed: names of modules, as in trust="):
        trusted([wrong] if isinstance(wrong, str) else wrong)


def test_an_env_that_gymnasium_or_a_package_of_the_list_has_needs_no_trust():
    for env_id in ("CartPole-v1", "MiniGrid-Empty-5x5-v0", "ALE/Pong-v5", "drc_lab/Sokoban-v0"):
        check_config({"env": {"id": env_id}, "policy": {"_target_": "drc_lab.models.mlp.MLPPolicy"}}, Trust())


def test_every_policy_of_the_package_is_on_the_list():
    for path in Path(dl.__file__).parents[1].glob("conf/policy/*.yaml"):
        target = OmegaConf.load(path).get("_target_")
        if target:
            check_config({"env": {"id": "CartPole-v1"}, "policy": {"_target_": target}}, Trust())
