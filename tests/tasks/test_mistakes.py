"""A wrong command of any kind gets one line that names key, value and what is allowed, and leaves nothing behind.

Each goes through the command line's own entry, in this process. What test_early_mistakes.py tells apart in detail is
here by kind: misspelt, of a wrong type, out of range, no number, huge, empty, missing, impossible together, unreadable,
and in one job of a sweep.
"""

import gc
import os

import pytest
from commands import run_fresh, run_here

DRC = "auto | convlstm | drc | drc_bush2025 | drc_taufeeque2024 | mlp | resnet | small_cnn | transformer"
CARTPOLE = ["env=gym", "env.id=CartPole-v1", "policy=mlp"]
LEVELS = ["env=sokoban", "env.levels=levels"]
SWEEP, THINKING = ["task=thinking_sweep"], ["task=thinking", "checkpoint=made.ckpt"]
PROBE, STEER = ["task=probe", "checkpoint=made.ckpt"], ["task=steer", "checkpoint=made.ckpt"]
SALIENCY, EXPORT = ["task=saliency", "checkpoint=made.ckpt"], ["task=export", "checkpoint=made.ckpt"]
MEMORY = "GiB are free, and half of them may be used"
INT64 = "at most 9,223,372,036,854,775,807"

CASES = [
    # misspelt keys, options and names
    (["policy=drcc"], f"policy: found 'drcc', allowed: {DRC}"),
    (["+algo.rollouts.num_env=3"], "algo.rollouts.num_env: found 3, allowed: no such key, but num_envs"),
    (["+algo.max_gradnorm=1"], "algo.max_gradnorm: found 1, allowed: no such key, but max_grad_norm"),
    (["+callbacks.videos.level=3"], "callbacks.videos.level: found 3, allowed: no such key, but levels"),
    ([*PROBE, "+probe.kernel=[1]"], "probe.kernel: found [1], allowed: no such key, but kernels"),
    ([*CARTPOLE, "env.kwargs={sutton: 1}"], "env.kwargs.sutton: no such key; closest: env.kwargs"),
    (["env.split=Train"], "env.split: found 'Train', allowed: train | valid | test"),
    (["checkpoint=agents:/nobody"], "checkpoint: found 'agents:/nobody', allowed: agents:/ricochet-6x6 | agents:/soko"),
    # a wrong type: text, booleans, fractions, lists, scalars, null
    (["env.height=null"], "env.height: found None, allowed: int, 1 to 255"),
    (["env.height={a: 1}"], "env.height: found {'a': 1}, allowed: int, 1 to 255"),
    (["env.wall_density=true"], "env.wall_density: found True, allowed: float, 0 or more and less than 1"),
    (["env.curriculum=5"], "env.curriculum: found 5, allowed: dict[str, Any] | null"),
    (["env.id=5"], "env.id: found 5, allowed: drc_lab/RicochetRobots-v0 | drc_lab/Sokoban-v0, or with env=gym an id"),
    (["policy.pool_and_inject=maybe"], "policy.pool_and_inject: found 'maybe', allowed: bool"),
    (["policy=resnet", "policy.channels=32"], "policy.channels: found 32, allowed: list[int], at least one"),
    (["policy=null"], f"policy: found 'null', allowed: {DRC}"),
    (["algo.rollouts=null"], "algo.rollouts: found None, allowed: keys and their values"),
    (["algo.rollouts.minibatches=true"], "algo.rollouts.minibatches: found True, allowed: int, at least 1"),
    (["algo.rollouts.first_passes=3"], "algo.rollouts.first_passes: found 3, allowed: [low, high] of at least 0, or "),
    (["algo.optimizer.lr='fast'"], "algo.optimizer.lr: found 'fast', allowed: float, at least 0"),
    (["algo.optimizer.betas=0.9"], "algo.optimizer.betas: found 0.9, allowed: two numbers, each 0 or more and less "),
    (["algo.schedule.total_iters=x"], "algo.schedule.total_iters: found 'x', allowed: int"),
    (["trainer.devices=true"], "trainer.devices: found True, allowed: a number of devices, their numbers, -1 or auto "),
    (["callbacks.probes=5"], "callbacks.probes: found 5, allowed: null, or keys of a callback with its _target_"),
    (["evaluation.live_first_passes=4"], "evaluation.live_first_passes: found 4, allowed: list[int], each at least 1"),
    ([*SWEEP, "thinking.controls=random"], "thinking.controls: found 'random', allowed: list[str] | null"),
    (["seed=true"], "seed: found True, allowed: int, 0 to 2^32 - 1"),
    (["tracking.uri=5"], "tracking.uri: found 5, allowed: str | null, where MLflow is"),
    (["resume=true"], "resume: found True, allowed: auto | never | the path of a checkpoint"),
    ([*SALIENCY, "saliency.methods=gradient"], "saliency.methods: found 'gradient', allowed: list[gradient | integra"),
    (["task=compare", "compare.study=5"], "compare.study: found 5, allowed: str | list[str] | null"),
    (["task=register", "register.alias=5"], "register.alias: found 5, allowed: str | null"),
    (["task=benchmark", "benchmark.only=impala"], "benchmark.only: found 'impala', allowed: list[str] | null"),
    # out of range
    (["algo.max_grad_norm=-1"], "algo.max_grad_norm: found -1, allowed: at least 0, or null"),
    (["algo=ppo", "algo.loss.target_kl=0"], "algo.loss.target_kl: found 0, allowed: more than 0, or null"),
    ([*STEER, "steer.alphas=[0]"], "steer.alphas: found 0, allowed: more than 0"),
    ([*PROBE, "probe.kernels=[2]"], "probe.kernels: found 2, allowed: odd numbers"),
    (["task=play", "play.level=-1"], "play.level: found -1, allowed: at least 0"),
    (["task=policy_speed", "policy_speed.envs=[]"], "policy_speed.envs: found [], allowed: one number or more, each "),
    # not a number, and no end
    (["env.wall_density=nan"], "env.wall_density: found nan, allowed: a finite number, 0 or more and less than 1"),
    (["policy.forget_bias=-inf"], "policy.forget_bias: found -inf, allowed: a finite number"),
    (["algo.optimizer._target_=torch.optim.SGD", "algo.optimizer.lr=nan"], "algo.optimizer.lr: found nan, allowed: a"),
    (["callbacks.early_stop.target=nan"], "callbacks.early_stop.target: found nan, allowed: a finite number | null"),
    (["checkpoints.every_minutes=inf"], "checkpoints.every_minutes: found inf, allowed: a finite number, more than "),
    ([*SWEEP, "thinking.adaptive=[nan]"], "thinking.adaptive: found [nan], allowed: a finite number"),
    (["task=search_speed", "search_speed.seconds=inf"], "search_speed.seconds: found inf, allowed: a finite number, "),
    # huge
    (["env.height=1_000_000"], "env.height: found 1000000, allowed: 1 to 255"),
    (["policy.hidden_channels=1e9"], "policy.hidden_channels: found 1000000000.0, allowed: at most 1,048,576"),
    (["policy.num_layers=1e9"], "policy.num_layers: found 1000000000.0, allowed: at most 1,000"),
    (["policy.repeats_per_step=1e12"], "policy.repeats_per_step: found 1000000000000, allowed: up to "),
    (["algo.rollouts.num_envs=1e12"], "algo.rollouts.num_envs: found 1000000000000, allowed: up to "),
    (["algo.rollouts.bptt_steps=1e12"], "algo.rollouts.bptt_steps: found 1000000000000, allowed: up to "),
    (["algo.rollouts.frames=1e30"], f"algo.rollouts.frames: found 1e+30, allowed: {INT64}"),
    (["threads=1e12"], "threads: found 1000000000000.0, allowed: at most 4,096"),
    (["task=env_speed", "speed.num_envs=1e12"], "speed.num_envs: found 1000000000000, allowed: up to "),
    (["task=policy_speed", "policy_speed.hidden_channels=1e6"], "policy_speed (number of weights): found 4110"),
    (["task=env_speed", "speed.steps=1e12"], "speed.steps: found 1000000000000, allowed: up to "),
    (["task=policy_speed", "policy_speed.envs=[1e12]"], "policy_speed.envs: found 1000000000000, allowed: up to "),
    (["task=policy_speed", "policy_speed.steps=1e12"], "policy_speed.steps: found 1000000000000, allowed: up to "),
    # empty, and in other alphabets
    (["study="], "study: found '', allowed: a name"),
    (["study=.."], "study: found '..', allowed: a name"),
    (["folder="], "folder: found '', allowed: a name"),
    (["tracking.uri="], "tracking.uri: found '', allowed: where MLflow is"),
    (["tracking.uri=sqlite://"], "tracking.uri: found 'sqlite://', allowed: sqlite:///FILE: what is kept in memory is"),
    (["env=sokoban", "env.levels="], "env.levels: found '', allowed: a file or folder of levels, or null"),
    (["task=import_weights", "path="], "path: found '', allowed: a folder or file of published weights"),
    (["task=make_bank", "bank.path="], "bank.path: found '', allowed: the name of a new file"),
    (["task=fetch_levels", "data.url="], "data.url: found '', allowed: text"),
    (["task=evaluate", "checkpoint='ünï.ckpt'"], "checkpoint: found no file 'ünï.ckpt', allowed: a .ckpt file that a"),
    # files, folders and addresses
    (["checkpoint="], "checkpoint: found no file '', allowed: a .ckpt file that a training wrote"),
    (["task=evaluate", "checkpoint=5"], "checkpoint: found no file '5', allowed: a .ckpt file that a training wrote"),
    (["task=evaluate", "checkpoint=runs:/nope"], "checkpoint: found 'runs:/nope', allowed: a file, agents:/NAME, "),
    (["task=thinking", "thinking.run=made.ckpt"], "thinking.run: found 'made.ckpt', allowed: a run's folder with "),
    (["task=fetch_levels", "data.url=nope"], "data.url: found 'nope', allowed: an address that begins with http:// or"),
    ([*THINKING[:1], "checkpoint=[made.ckpt,nope.ckpt]"], "checkpoint: found no file 'nope.ckpt', allowed: a .ckpt "),
    (["env.bank=folder"], "folder: found a folder, allowed: a bank, the file that task=make_bank "),
    (["env.bank=made.ckpt"], "made.ckpt: not a whole bank file (File is not a zip file), allowed: a file of task=make"),
    ([*SWEEP, "report.video=videos/a.gif"], "report.video: found 'videos/a.gif', allowed: a name without folders"),
    ([*EXPORT, "export.file=a.txt"], "export.file: found 'a.txt', allowed: a name that ends in .onnx, as onnx is"),
    # impossible together
    ([*CARTPOLE, "env.observation=board"], "env.observation: found 'board', allowed: null, because the observations "),
    (["env=gym", "env.id=Pendulum-v1", "policy=mlp"], "env.id: found 'Pendulum-v1', allowed: an env with Discrete ac"),
    (["env.bank=made.ckpt", "env.curriculum={stages: [{height: 3}]}"], "env.curriculum: found 'a curriculum', allowed"),
    ([*LEVELS, "env.curriculum={stages: [{height: 3}]}"], "env.curriculum: found 'a curriculum', allowed: null with "),
    (["env=ricochet_v0", "+env.bank=made.ckpt"], "env.bank: found 'made.ckpt', allowed: null, as layout gives the "),
    ([*LEVELS, "+env.level=nope"], "env.levels: found 'levels', allowed: null, as level gives the levels"),
    (["algo.rollouts.later_chance=0.5"], "algo.rollouts.later_chance: found 0.5, allowed: more than 0 with later_pas"),
    (["algo.rollouts.groups=7"], "algo.rollouts.groups: found 7, allowed: a divisor of the 64 envs of a rank, or null"),
    ([*STEER, "steer.moves=[2]"], "steer.moves: found [2], allowed: different numbers, 1 among them"),
    ([*SWEEP, "policy=drc", "+evaluation.env.num_robots=3"], "evaluation.env: found 'observations (9, 5, 5)', allow"),
    # what Hydra cannot read, or cannot find
    (["env.id=ünï-v0"], "env.id: found 'ünï-v0', which Hydra cannot read, allowed: a value, or text in quotes: "),
    (["env.height=[5"], "env.height: found '[5', which Hydra cannot read, allowed: a value"),
    (["env.height==5"], "env.height: found '=5', which Hydra cannot read, allowed: a value"),
    (["env.height"], "env.height: found no value, allowed: env.height=VALUE"),
    (["=5"], "found '=5', allowed: KEY=VALUE"),
    (["env.height=${nowhere}"], "env.height: found '${nowhere}', allowed: ${KEY} with a key that exists; Interpola"),
    (["env.height=${oc.env:NOWHERE}"], "env.height: found '${oc.env:NOWHERE}', allowed: ${KEY} with a key that exi"),
    (["~policy"], "policy: found None, allowed: keys and their values"),
    (["~task"], "task: found nothing, allowed: a value, as hydra.run.dir refers to it"),
    (["seed=1,2"], "seed: found '1,2', allowed: one value, seed=[1,2] for a list, or -m for a run with each"),
    (["experiment=boxoban"], "experiment: found 'boxoban' without +, allowed: +experiment=boxoban"),
    (["+policy=mlp"], "policy: found + before a group that is there already, allowed: policy=mlp"),
    (["+policy.head=mean"], "policy.head: found + before a key that is there already, allowed: policy.head=mean"),
    (["hydra/launcher=nope"], "hydra/launcher: found 'nope', allowed: basic | "),
    (["--config-dri", "configs"], "unrecognized arguments: --config-dri; allowed: what --hydra-help lists"),
    # one job of a sweep
    (["-m", "env.height=5,-1"], "env.height: found -1, allowed: 1 to 255"),
    (["-m", "algo.rollouts.minibatches=1,3"], "algo.rollouts.minibatches: found 3, allowed: a divisor of num_envs = 6"),
    (["-m", "policy=drc,mpl"], f"policy: found 'mpl', allowed: {DRC}"),
    (["-m", "env.height=${nowhere},5"], "env.height: found '${nowhere}', allowed: ${KEY} with a key that exists; "),
    (["-m", "seed=range(0)"], "-m: found no job in 'seed=range(0)', allowed: at least one value of each key"),
    (["-m", "seed=choice()"], "seed: found 'choice()', which Hydra cannot read, allowed: a value, or text in quotes"),
    (["-m", "seed=interval(0,1)"], "-m: found 'seed=interval(0,1)', allowed: values to try one by one, or hydra/swe"),
]

# About files: what is wrong with them in place of what is allowed.
FILES = [
    (["folder=made.ckpt"], "folder: made.ckpt: File exists"),
    (["task=evaluate", "checkpoint=made.ckpt"], "checkpoint: 'made.ckpt' cannot be read, it is damaged or not one of"),
    (["env=sokoban", "env.levels=made.ckpt"], "made.ckpt: found no level"),
    (["--config-dir", "nowhere"], "Additional config directory '"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "folder").mkdir()
    (folder / "folder/notes.md").touch()
    (folder / "levels").mkdir()
    (folder / "levels/000.txt").write_text("#####\n#@$.#\n#####\n")
    (folder / "made.ckpt").touch()
    gc.freeze()  # what other tests have imported need not be searched for garbage in each composition
    return folder


def contents(folder):
    return sorted(os.path.join(at, name) for at, folders, files in os.walk(folder) for name in folders + files)


@pytest.mark.parametrize(
    ("words", "line"), [*CASES, *FILES], ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_it_is_told_in_one_line_and_leaves_nothing(place, monkeypatch, capfd, words, line):
    monkeypatch.chdir(place)
    before = contents(place)
    code, output, errors = run_here(monkeypatch, capfd, *words)
    assert (code, output) == (2, ""), errors
    assert errors.count("\n") == 1 and errors.startswith(f"drc_lab: {line}"), errors
    assert "allowed: " in errors or "; closest: " in errors or (words, line) in FILES
    assert "allowed: up to " not in line or MEMORY in errors
    assert contents(place) == before


@pytest.mark.parametrize("words", [["env.height=${nowhere}"], ["env.id=ünï-v0"]])
def test_so_it_is_in_a_process_of_its_own(place, words):
    before = contents(place)
    shown = run_fresh(place, *words)
    assert shown.returncode == 2 and shown.stderr.count("\n") == 1 and "allowed: " in shown.stderr, shown.stderr
    assert contents(place) == before
