"""Mistakes that the config alone shows are told before torch, Lightning, MLflow and numba are imported."""

import json
import re
import subprocess
import sys

import pytest
from commands import command

HEAVY = {"torch", "lightning", "mlflow", "numba"}
TRAINED = "checkpoint=run/checkpoints/best.ckpt"
EVALUATE = ["task=evaluate", "checkpoint=made.ckpt"]
THINKING = ["task=thinking", "checkpoint=made.ckpt"]
SWEEP = ["task=thinking_sweep"]
PLAY = ["task=play"]
EXPORT = ["task=export", "checkpoint=made.ckpt"]
SOKOBAN = ["env=sokoban"]
WAITS = ["env=sokoban", "env.noop=true", "env.max_steps=16"]

CASES = [
    # the process, and where a training begins
    (["seed=-1"], "seed: found -1, allowed: 0 to 2^32 - 1"),
    (["threads=0"], "threads: found 0, allowed: at least 1, or null for all cores of this process"),
    (["matmul_precision=low"], "matmul_precision: found 'low', allowed: highest | high | medium"),
    (["deterministic=perhaps"], "deterministic: found 'perhaps', allowed: bool"),
    (["resume=3"], "resume: found 3, allowed: auto | never | the path of a checkpoint"),
    (["resume=nope.ckpt"], "resume: found no file 'nope.ckpt', allowed: a .ckpt file that a training wrote"),
    # envs
    (["env.height=-1"], "env.height: found -1, allowed: 1 to 255"),
    (["env.height=tall"], "env.height: found 'tall', allowed: int"),
    (["env.height=1", "env.width=1"], "env.height: found 1, allowed: a board of at least 2 cells"),
    (["env.num_robots=99"], "env.num_robots: found 99, allowed: 1 to 24 on this board"),
    (["env.style=official"], "env.height: found 5, allowed: an even number from 12 on with style=official"),
    (
        ["env.max_optimal=2", "env.min_optimal=3"],
        "env.max_optimal: found 2, allowed: at least min_optimal = 3, or null",
    ),
    (["env.max_steps=[9,3]"], "env.max_steps: found [9, 3], allowed: a whole number of at least 1, or [lowest, hig"),
    (["env.bank=nope.npz"], "nope.npz: no such file; python -m drc_lab task=make_bank makes one"),
    (["env=ricochet_v1", "env.layout=v9"], "env.layout: found 'v9', allowed: v0 | v1"),
    (["env.curriculum={stages: [{height: 9}]}"], "env.curriculum.stages[0].height: found 9, allowed: at most 5, which"),
    (["env.curriculum={stages: []}"], "env.curriculum.stages: found [], allowed: at least one stage"),
    (["+env.hight=3"], "env.hight: found 3, allowed: no such key, but height"),
    (["+env.num_envs=3"], "env.num_envs: found 3, allowed: no such key: the task sets it"),
    ([*SOKOBAN, "env.num_boxes=99"], "env.num_boxes: found 99, allowed: 1 to 23 on this board"),
    ([*SOKOBAN, "env.height=4", "env.width=4", "env.num_boxes=3"], "env.num_boxes: found 3, allowed: 1 to 2 on this b"),
    ([*SOKOBAN, "env.levels=nope"], "nope: no such file or folder; python -m drc_lab task=fetch_levels gets Boxoban's"),
    ([*SOKOBAN, "env.levels=folder"], "folder: found notes.md, allowed: files that end in .txt, .xsb, .sok"),
    ([*SOKOBAN, "env.levels=levels", "env.difficulty=hard"], "env.difficulty: found 'hard', allowed: easy, in levels"),
    ([*SOKOBAN, "env.levels=levels/easy", "env.symbols=ab"], "env.symbols: found 'ab', allowed: pairs such as 'X=# &="),
    ([*SOKOBAN, "env.invalid_levels=skip"], "env.invalid_levels: found 'skip', allowed: error, without levels from fi"),
    ([*SOKOBAN, "env.curriculum={stages: [{height: 9}]}"], "env.curriculum.stages[0].height: found 9, allowed: at mos"),
    (["env.thinks=-1"], "env.thinks: found -1, allowed: 0 or more, or null for no action that thinks"),
    (["env.thinks=long"], "env.thinks: found 'long', allowed: int, 0 or more, or null for no action that thinks"),
    (["env.id=CartPole-v1", "policy=mlp", "+env.thinks=1"], "env.thinks: found 1, allowed: no such key, but "),
    (["env.id=CartPoole-v1", "policy=mlp"], "env.id: found 'CartPoole-v1', allowed: drc_lab/RicochetRobots-v0 | drc_"),
    (["env.id=nowhere:Env-v0"], "env.id: found 'nowhere:Env-v0', allowed: an id whose package is installed"),
    (["env.id=CartPole-v1", "env.max_steps=0"], "env.max_steps: found 0, allowed: at least 1, or null for the env's"),
    (["env.id=CartPole-v1", "env.scale=-1"], "env.scale: found -1, allowed: auto, or a number above 0"),
    # policies
    (["policy.hidden_channels=0"], "policy.hidden_channels: found 0, allowed: at least 1"),
    (["policy.kernel_size=4"], "policy.kernel_size: found 4, allowed: an odd number, so that the board keeps its size"),
    (["policy.head=wide"], "policy.head: found 'wide', allowed: flatten | mean | pool | cells"),
    (["policy.pool_source=below"], "policy.pool_source: found 'below', allowed: own, or top_to_bottom=true"),
    (["policy=transformer", "policy.num_heads=7"], "policy.num_heads: found 7, allowed: a divisor of hidden_channels"),
    (["policy=resnet", "policy.channels=[8]"], "policy.kernel_sizes: found [4, 4, 4, 4, 4, 4, 4, 4, 4], allowed: 1 as"),
    (["policy=mlp", "policy.hidden_sizes=[0]"], "policy.hidden_sizes: found 0, allowed: at least 1"),
    (
        ["policy=convlstm", "policy.conv_init=zeros"],
        "policy.conv_init: found 'zeros', allowed: kaiming | lecun | torch",
    ),
    (["policy=small_cnn", "policy.stride=none"], "policy.stride: found 'none', allowed: int"),
    (["policy=auto", "policy.largest_board=2"], "policy.smallest_board: found 5, allowed: 1 to largest_board = 2"),
    # losses, rollouts, what torch and Lightning build, what is kept
    (["algo.loss.gamma=2"], "algo.loss.gamma: found 2, allowed: 0 to 1"),
    (["algo.loss.clip_rho=0"], "algo.loss.clip_rho: found 0, allowed: more than 0"),
    (["algo=ppo", "algo.loss.clip_ratio=0"], "algo.loss.clip_ratio: found 0, allowed: more than 0"),
    (["algo=imitation", "algo.loss.max_states=0"], "algo.loss.max_states: found 0, allowed: at least 1"),
    (["algo=imitation", "+algo.loss.normalize_advantages=true"], "algo.loss.normalize_advantages: found True, allowed"),
    (
        ["algo=imitation", "env=gym", "env.id=CartPole-v1", "policy=mlp"],
        "env.id: found 'CartPole-v1', allowed: drc_lab/RicochetRobots-v0 | drc_lab/Sokoban-v0, as algo.loss ",
    ),
    (["checkpoint=nope.ckpt"], "checkpoint: found no file 'nope.ckpt', allowed: a .ckpt file that a training wrote"),
    ([*SWEEP, "checkpoint=[made.ckpt]"], "checkpoint: found ['made.ckpt'], allowed: one; only task=thinking takes se"),
    (["checkpoint=runs:/1"], "checkpoint: found 'runs:/1', allowed: a file, agents:/NAME, models:/NAME@ALIAS"),
    (["algo.optimizer.lr=-1"], "algo.optimizer.lr: found -1, allowed: at least 0"),
    (["algo.optimizer.betas=[0.9,1]"], "algo.optimizer.betas: found [0.9, 1], allowed: two numbers, each 0 or more"),
    (["algo.schedule.total_iters=0"], "algo.schedule.total_iters: found 0, allowed: at least 1, in frames"),
    (["algo.schedule.end_factor=3"], "algo.schedule.end_factor: found 3, allowed: 0 to 1"),
    (["algo.head_l2_coef=-1"], "algo.head_l2_coef: found -1, allowed: at least 0"),
    (["algo.log_every_rollouts=0"], "algo.log_every_rollouts: found 0, allowed: at least 1"),
    (["algo.rollouts.minibatches=7"], "algo.rollouts.minibatches: found 7, allowed: a divisor of num_envs = 64"),
    (["algo.rollouts.min_repeats=2"], "algo.rollouts.min_repeats: found 2, allowed: both min_repeats and max_repeats"),
    (["algo.rollouts.think_price=-1", "env.thinks=1"], "algo.rollouts.think_price: found -1, allowed: at least 0"),
    (["algo.rollouts.noops=[0,2]"], "algo.rollouts.noops: found [0, 2], allowed: null, as the env has no action that"),
    ([*WAITS, "algo.rollouts.noops=[0,16]"], "algo.rollouts.noops: found [0, 16], allowed: less than 16, as no step"),
    (
        ["algo=imitation", "algo.loss.max_positions=10_000_000_000"],
        "algo.loss.max_positions: found 10000000000, allowed: up to ",
    ),
    (
        ["algo.rollouts.think_price=0.1"],
        "algo.rollouts.think_price: found 0.1, allowed: 0, as the env has no action",
    ),
    (["trainer=ddp", "trainer.devices=3"], "algo.rollouts.num_envs: found 64, allowed: "),
    (["trainer.accelerator=abacus"], "trainer.accelerator: found 'abacus', allowed: auto | cpu | gpu | cuda | mps"),
    (["trainer.devices=0"], "trainer.devices: found 0, allowed: a number of devices"),
    (["trainer.precision=8-bit"], "trainer.precision: found '8-bit', allowed: 32-true | bf16-mixed"),
    (["trainer.max_time=soon"], "trainer.max_time: found 'soon', allowed: DD:HH:MM:SS, or null"),
    (["+trainer.strategy=ddp_spawn"], "trainer.strategy: found 'ddp_spawn', allowed: auto | ddp"),
    (["checkpoints.keep_best=0"], "checkpoints.keep_best: found 0, allowed: at least 1"),
    (["callbacks.videos.suffix=.avi"], "callbacks.videos.suffix: found '.avi', allowed: .gif | .mp4"),
    (["callbacks.early_stop.target=high"], "callbacks.early_stop.target: found 'high', allowed: float | null"),
    (["tracking.patience_seconds=-1"], "tracking.patience_seconds: found -1, allowed: at least 0"),
    # held-out levels
    (["evaluation.num_levels=0"], "evaluation.num_levels: found 0, allowed: at least 1"),
    (["evaluation.split=exam"], "evaluation.split: found 'exam', allowed: train | valid | test"),
    (["evaluation.board=[5]"], "evaluation.board: found [5], allowed: N for N x N, or [height, width]"),
    (["evaluation.board=300"], "evaluation.board: found 300, allowed: 1 to 255"),
    (["env=ricochet_v0", "evaluation.board=6"], "evaluation.board: found 6, allowed: null, as env.layout gives levels"),
    (["+evaluation.env.thinks=3"], "evaluation.env.thinks: found 3, allowed: null, as the policy cannot choose to thi"),
    (["env.thinks=3", "+evaluation.env.thinks=null"], "evaluation.env.thinks: found None, allowed: a number, as the "),
    (["+evaluation.env.hight=6"], "evaluation.env.hight: found 6, allowed: no such key, but height"),
    (
        ["+evaluation.env.observation=rgb"],
        "evaluation.env: found 'observations (3, 11, 11)', allowed: (8, 5, 5), which t",
    ),
    (
        ["evaluation.board=6"],
        "evaluation.board: found 'observations (8, 6, 6)', allowed: (8, 5, 5), which the policy r",
    ),
    (
        ["policy.head=pool", "+evaluation.env.num_robots=3"],
        "evaluation.env: found 'observations (9, 5, 5)', allowed: (",
    ),
    (
        ["env.observation=symbolic"],
        "policy.obs_shape: found (8,), allowed: (channels, height, width), each at least 1; f",
    ),
    # the tasks
    (["task=dream"], "task: found 'dream', allowed: train | evaluate"),
    (
        ["task=evaluate"],
        "checkpoint: found None, allowed: a .ckpt file that a training wrote, models:/NAME@ALIAS, or sev",
    ),
    (["task=evaluate", "checkpoint=/nope.ckpt"], "checkpoint: found no file '/nope.ckpt', allowed: a .ckpt file"),
    (["task=evaluate", "checkpoint=[made.ckpt,made.ckpt]"], "checkpoint: found ['made.ckpt', 'made.ckpt'], allowed: o"),
    (
        ["task=evaluate", "checkpoint=models:/one"],
        "checkpoint: found 'models:/one', allowed: a file, agents:/NAME, models:/NAME@ALIA",
    ),
    (["task=evaluate", "checkpoint=models:/one@best", "tracking=csv"], "tracking.uri: found None, allowed: MLflow's"),
    (["task=evaluate", TRAINED, "+env.num_boxes=99"], "env.num_boxes: found 99, allowed: 1 to 23 on this board"),
    (["task=thinking", TRAINED, "evaluation.board=90"], "evaluation.board: found 90, allowed: 3 to 50"),
    (["task=export", TRAINED, "env.height=0"], "env.height: found 0, allowed: 3 to 50"),
    (["task=play", TRAINED, "+env.boxes=1"], "env.boxes: found 1, allowed: no such key, but num_boxes"),
    ([*EVALUATE, "evaluation.confidence=1"], "evaluation.confidence: found 1, allowed: between 0 and 1"),
    ([*EVALUATE, "report.failures=-1"], "report.failures: found -1, allowed: at least 0"),
    ([*EVALUATE, "report.video=a.avi"], "report.video: found 'a.avi', allowed: a name that ends in .gif or .mp4"),
    ([*EVALUATE, "+thinking.worlds.wide={width: 9}"], "thinking.worlds.wide: found {'width': 9}, allowed: keys of eva"),
    ([*THINKING, "thinking.repeats=[0]"], "thinking.repeats: found 0, allowed: at least 1"),
    ([*THINKING, "thinking.controls=[luck]"], "thinking.controls: found 'luck', allowed: random | sampled | no_memo"),
    ([*THINKING, "thinking.run=folder"], "thinking.run: found 'folder', allowed: null, as checkpoint=made.ckpt says"),
    (
        ["task=thinking", "thinking.run=folder"],
        "thinking.run: found 'folder', allowed: a run's folder with checkpoints",
    ),
    (
        [*SWEEP, "thinking.controls=[never_thinks]"],
        "thinking.controls: found 'never_thinks', allowed: random | sampled",
    ),
    (
        [*SWEEP, "env.thinks=1", "+thinking.worlds.a={env: {thinks: null}}"],
        "thinking.worlds.a.env.thinks: found None, ",
    ),
    ([*SWEEP, "thinking.power=2"], "thinking.power: found 2, allowed: above 0, up to 0.999"),
    ([*SWEEP, "report.video_levels=[1000]"], "report.video_levels: found 1000, allowed: 0 to 999"),
    (
        [*SWEEP, "+thinking.worlds.dense={env: {wall_density: 1}}"],
        "thinking.worlds.dense.env.wall_density: found 1, all",
    ),
    ([*SWEEP, "env.id=CartPole-v1", "policy=mlp", "thinking.noops=[1]"], "thinking.noops: found [1], allowed: null or"),
    ([*PLAY, "play.fps=100"], "play.fps: found 100.0, allowed: more than 0, up to 50 in a .gif and 1000 in an .mp4"),
    ([*PLAY, "play.level=1000"], "play.level: found 1000, allowed: 0 to 999"),
    ([*PLAY, "env.num_robots=0"], "env.num_robots: found 0, allowed: 1 to 24 on this board"),
    ([*PLAY, "env.id=CartPole-v1"], "env.id: found 'CartPole-v1', allowed: drc_lab/RicochetRobots-v0 | drc_lab"),
    ([*PLAY, "checkpoint=[made.ckpt]"], "checkpoint: found ['made.ckpt'], allowed: one; only task=thinking takes"),
    (["task=export"], "checkpoint: found None, allowed: a .ckpt file that a training wrote, agents:/NAME or models:/"),
    ([*EXPORT, "format=gguf"], "export.format: found 'gguf', allowed: onnx | torch_export | state_dict | flax"),
    ([*EXPORT, "export.variants=[int4]"], "export.variants: found 'int4', allowed: float32 | bf16 | int8_dynamic"),
    ([*EXPORT, "export.batches=[0]"], "export.batches: found 0, allowed: at least 1"),
    (["task=make_bank", "env=sokoban"], "env.id: found 'drc_lab/Sokoban-v0', allowed: drc_lab/RicochetRobots-v0"),
    (["task=make_bank", "bank.per_bin=0"], "bank.per_bin: found 0, allowed: at least 1"),
    (["task=make_bank", "bank.path=made.ckpt"], "made.ckpt: there is a file already; choose another bank.path"),
    (["task=make_bank", "env.height=0"], "env.height: found 0, allowed: 1 to 255"),
    (["task=fetch_levels", "data.sha256=12"], "data.sha256: found '12', allowed: 64 hex digits, or null"),
    (["task=import_weights"], "path: found None, allowed: a folder or file of published weights"),
    (
        ["task=import_weights", "path=folder", "env=sokoban", "env.thinks=1"],
        "env.thinks: found 1, allowed: null, as p",
    ),
    (["task=import_weights", "path=nope"], "nope: no such file or folder"),
    (["task=benchmark", "benchmark.only=[all]"], "benchmark.only: found 'all', allowed: impala | a2c | ppo | drc33"),
    (["task=benchmark", "policy.proj_dim=0"], "policy.proj_dim: found 0, allowed: at least 1"),
    (["task=env_speed", "speed.steps=0"], "speed.steps: found 0, allowed: at least 1"),
    (["task=search_speed", "search_speed.seconds=0"], "search_speed.seconds: found 0, allowed: more than 0"),
    (["task=policy_speed", "policy_speed.device=tpu"], "policy_speed.device: found 'tpu', allowed: cpu | cuda"),
    (["task=policy_speed", "policy_speed.num_layers=0"], "policy_speed.num_layers: found 0, allowed: at least 1"),
    (["task=compare", "compare.confidence=0"], "compare.confidence: found 0, allowed: between 0 and 1"),
    (["task=register", "register.alias=v3"], "register.alias: found 'v3', allowed: letters, digits, '-' and '_', but"),
    (["task=sync", "folder=folder"], "folder: found no tracking.jsonl in '"),
]

# As the command line does it, but for Hydra's second composition. Whatever is not told before an import would end in a
# traceback here, and not begin a training.
CHILD = """
import contextlib, io, json, os, sys, traceback

HEAVY = {heavy}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            raise ImportError(f"{{name}} is asked for")

sys.meta_path.insert(0, Refuse())
import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from drc_lab.__main__ import arranged, run_task
from drc_lab.paths import CONF

def run(words):
    config = hydra.compose("config", arranged(words), return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.update(output_dir=config.folder, cwd=os.getcwd())
        HydraConfig.instance().set_config(config)
        del config["hydra"]
        run_task(config)

told = []
hydra.core.utils.setup_globals()
with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
    for words in json.load(sys.stdin):
        code, errors = 0, io.StringIO()
        with contextlib.redirect_stderr(errors):
            try:
                run(words)
            except SystemExit as stop:
                code = stop.code
            except BaseException:
                traceback.print_exc()
                code = 1
        told.append((code, errors.getvalue(), sorted(HEAVY & set(sys.modules))))
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each case comes to, all in one process: exit code, what it said, what it has imported; by its words."""
    folder = tmp_path_factory.mktemp("early")
    (folder / "folder").mkdir()
    (folder / "folder/notes.md").touch()
    (folder / "levels/easy").mkdir(parents=True)
    (folder / "levels/easy/000.txt").write_text("#####\n#@$.#\n#####\n")
    (folder / "made.ckpt").touch()
    (folder / "run/checkpoints").mkdir(parents=True)
    (folder / "run/checkpoints/best.ckpt").touch()
    (folder / "run/config.yaml").write_text(
        "env: {id: drc_lab/Sokoban-v0, width: 7}\npolicy: {_target_: drc_lab.models.drc.DRCPolicy}\n"
        "evaluation: {num_levels: 20}\n"
    )
    words = [words for words, _ in CASES]
    script = [sys.executable, "-c", CHILD.format(heavy=HEAVY)]
    child = subprocess.run(script, input=json.dumps(words), cwd=folder, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["folder", "levels", "made.ckpt", "run"]
    return dict(zip(map(tuple, words), json.loads(child.stdout), strict=True))


@pytest.mark.parametrize(("words", "line"), CASES, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_told_before_anything_heavy_is_imported(told, words, line):
    code, errors, heavy = told[tuple(words)]
    assert (code, heavy) == (2, []), errors
    assert errors.count("\n") == 1 and errors.startswith(f"drc_lab: {line}"), errors


@pytest.mark.parametrize("words", [["env.height=-1"], [*EVALUATE, "seed=-1"], ["task=benchmark", "algo.loss.lam=2"]])
def test_so_it_is_in_a_real_process(tmp_path, words):
    (tmp_path / "made.ckpt").touch()
    listed = [sys.executable, "-X", "importtime", *command(*words)[1:]]
    shown = subprocess.run(listed, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    imported = set(re.findall(r"^import time:.*\| +(\w+)$", shown.stderr, re.MULTILINE))
    said = [line for line in shown.stderr.splitlines() if not line.startswith("import time:")]
    assert shown.returncode == 2 and len(said) == 1 and "allowed: " in said[0]
    assert "hydra" in imported and not imported & HEAVY
