# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Looking inside an agent that plans
# Load an agent, record what it computes, probe it for its plan, write another plan into it, and see. Minutes on a CPU.
# `jupytext --to notebook look_inside.py` makes a notebook of this file; `python look_inside.py` runs it as it is.

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.interpretation.causal.alternatives import routes_of
from drc_lab.interpretation.causal.steering import followed, random_vectors, vectors_of
from drc_lab.interpretation.hooks import hooks, run_with_cache
from drc_lab.interpretation.labels import find_labels
from drc_lab.interpretation.pictures.plan_video import plan_frames
from drc_lab.interpretation.probes.bench import Bench
from drc_lab.interpretation.probes.targets import Split, targets
from drc_lab.interpretation.recorder import record
from drc_lab.interpretation.recording import Recording
from drc_lab.interpretation.spec import ProbeSpec
from drc_lab.learning.checkpoints import load_policy

torch.set_num_threads(1)
folder = Path(tempfile.mkdtemp())
policy, config = load_policy("agents:/sokoban-two-boxes")
config.evaluation.num_levels = 150
env = held_out_env(Settings(config), "test", autoreset=False, num_envs=150)

# %% [markdown]
# Step it by hand: the carry is a list of hidden and one of cell states, and every intermediate has a name.

# %%
obs, info = env.reset(seed=0)
(out, state), cache = run_with_cache(policy, torch.from_numpy(obs), None, ["0.1.c", "logits"])
print("actions", out.policy_logits.argmax(-1)[:10].tolist(), "cell states", tuple(cache["0.1.c"].shape))

# %% [markdown]
# What it does without its cell state after the first tick:

# %%
with hooks(policy, {"0.0.c": lambda c, point: torch.zeros_like(c)}):
    changed, _ = policy(torch.from_numpy(obs))
print("another first move on", (changed.policy_logits.argmax(-1) != out.policy_logits.argmax(-1)).float().mean().item())

# %% [markdown]
# Record whole episodes, and label each cell with the direction in which a box is next pushed off it.

# %%
about = {"game": str(config.env.id), "height": 7, "width": 7}
for done in record(policy, env, ["*.*.c"], 150, folder / "recording", about):
    print(done, "episodes recorded")
recording = Recording.read(folder / "recording")
labels = find_labels(str(config.env.id), ["box_push_direction", "agent_approach_direction"])
pushes, approaches = targets(recording, labels, (5, 5))

# %% [markdown]
# A 1x1 probe reads it from the cell state, on levels that it was not fitted to; from the observation it reads less.

# %%
spec = ProbeSpec()
bench = Bench(recording, pushes, Split.of(recording, spec.train_share, spec.seed), spec)
for name, maps in {
    "0.0.c": recording.tensor("0.0.c"),
    "0.1.c": recording.tensor("0.1.c"),
    "observation": recording.tensors["obs"] / np.float32(255),
}.items():
    score = bench.fit(maps, 1).score
    print(f"{name}: macro-F1 {score.value:.2f} [{score.interval().low:.2f}, {score.interval().high:.2f}]")

# %% [markdown]
# See the plan, and write another one into it: a move that it would not make.

# %%
bench = Bench(recording, approaches, Split.of(recording, spec.train_share, spec.seed), spec)
probes = [bench.fit(recording.tensor(name), 1).probe for name in ("0.0.c", "0.1.c")]
write_video(plan_frames(recording, env, probes, ["0.0.c", "0.1.c"], [0, 1]), folder / "plan.gif", fps=3)
env.reset(seed=0)
moves = routes_of(policy, env, "agent_approach_direction", (5, 5))
vectors = 4 * vectors_of(probes[1], moves)
for name, written in {"the probe's": vectors, "random": random_vectors(vectors, np.random.default_rng(0))}.items():
    made = followed(policy, env, moves, written, 0)
    print(f"with {name} vectors it makes {made[moves.there].mean():.1%} of these moves")
print("video", folder / "plan.gif")
