"""Traces a policy's output over single ticks on a level's first observation, while the env stands still."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64, Shaped
from torch import Tensor
from torch.utils._pytree import tree_leaves

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.envs.vector import solver_of
from drc_lab.evaluation.measures.criterion import criterion_of
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.play.choices import as_env_counts
from drc_lab.evaluation.play.evaluator import CHUNK, divergence
from drc_lab.evaluation.play.sweep import batches
from drc_lab.evaluation.stats.intervals import mean_intervals
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy

BYTES_OF_A_TICK = 12 * 4  # per level: five numbers of 4 bytes, and copies while tables are made from them
SHOWN = (1, 2, 3, 6, 12, 24, 48, 96)  # ticks shown in the terminal


@dataclass(frozen=True)
class Trace:
    """A policy's output after each of T single ticks on N levels. Tick 1 is in column 0.

    Attributes:
        level, optimal: as in the records.
        entropy, value: in nats and in units of the return.
        kl: KL divergence of the policy from that at the previous tick, in nats; nan at the first tick.
        action: the most probable action.
        first_move: 1 if ``action`` is an optimal move, 0 if not, nan if it is a think or the optimal
            moves are unknown.
        carries: whether the policy has a carry. Without one its output is the same at all ticks.
    """

    level: Int64[np.ndarray, "N"]
    optimal: Int64[np.ndarray, "N"]
    entropy: Float32[np.ndarray, "N T"]
    value: Float32[np.ndarray, "N T"]
    kl: Float32[np.ndarray, "N T"]
    action: Int32[np.ndarray, "N T"]
    first_move: Float32[np.ndarray, "N T"]
    carries: bool


@torch.no_grad()
def trace(
    policy: Policy,
    env: BatchEnv,
    num_levels: int,
    ticks: int,
    solver_levels: int = 0,
    max_states: int = 100_000,
    threads: int = 1,
    seed: int = 0,
    chunk: int = CHUNK,
) -> Trace:
    """Runs single ticks on the first observation of each level.

    Args:
        policy: in evaluation mode.
        env: deals its levels in order, ``env.num_envs`` at a time.
        num_levels: N; the env's first ``num_levels`` levels are used.
        ticks: T, at least 1.
        solver_levels: the exact solver finds the optimal first moves of levels with numbers below this, if the env has
            one.
        max_states, threads: of the solver, see `Judge`.
        seed: of the env.
        chunk: levels in one forward pass.

    Raises:
        ConfigError: the trace would not fit into memory.
    """
    check_memory("trace_ticks", ticks, BYTES_OF_A_TICK * num_levels)
    device, game = next(policy.parameters()).device, solver_of(env)
    level, optimal = np.zeros(num_levels, np.int64), np.zeros(num_levels, np.int64)
    entropy, value, kl, first_move = (np.full((num_levels, ticks), np.nan, np.float32) for _ in range(4))
    action = np.zeros((num_levels, ticks), np.int32)
    for levels in batches(num_levels, env.num_envs):
        obs, info = env.reset(seed=seed, options={"first_level": levels.start} if levels.start else None)
        n, rows = len(levels), slice(levels.start, levels.stop)
        level[rows], optimal[rows] = info["level"][:n], info["optimal"][:n]
        for part in torch.arange(n).split(chunk):
            here = levels.start + part.numpy()
            seen = torch.from_numpy(obs[part.numpy()]).to(device)  # (n, ...)
            before: Tensor | None = None
            with policy.frozen():
                for tick, (log_probs, values) in enumerate(_ticks(policy, env, seen, ticks)):
                    entropy[here, tick] = -(log_probs.exp() * log_probs).sum(-1)
                    value[here, tick], action[here, tick] = values, log_probs.argmax(-1)
                    if before is not None:
                        kl[here, tick] = divergence(log_probs, before)
                    before = log_probs
        judged = np.flatnonzero(info["level"][:n] < solver_levels) if game else np.empty(0, np.int64)
        if game is not None and len(judged):
            is_optimal = Judge(game, max_states, threads).optimal_moves(judged)  # (n, A)
            if env.think_action is not None:
                is_optimal = np.pad(is_optimal, ((0, 0), (0, 1)), constant_values=np.nan)
            here = levels.start + judged
            first_move[here] = np.take_along_axis(is_optimal, action[here], axis=1)
    return Trace(level, optimal, entropy, value, kl, action, first_move, _has_carry(policy))


def _ticks(
    policy: Policy, env: BatchEnv, obs: Shaped[Tensor, "n *obs"], ticks: int
) -> Iterator[tuple[Float[Tensor, "n A"], Float[Tensor, "n"]]]:
    """Yields log-probabilities and values after each single tick.

    Without a carry the output never changes, so the policy is run only once.
    """
    carry = policy.initial_carry(obs)
    for tick in range(ticks):
        if tick == 0 or tree_leaves(carry):
            out, carry = policy(obs, carry, 1)
            log_probs = torch.log_softmax(as_env_counts(out.policy_logits, env), -1)
            values = out.value[:, 0].float().cpu()
        yield log_probs, values


def _has_carry(policy: Policy) -> bool:
    return bool(tree_leaves(policy.init_state(1)))


def trace_findings(trace: Trace, baseline: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """Means at each tick over all levels, and over groups of levels: solved or not, and by optimal length.

    Args:
        trace: from `trace`.
        baseline: records of the baseline policy on the same levels; the column ``solved`` is optional.
        confidence: of the intervals of the means.
    """
    assert (baseline["level"].to_numpy() == trace.level).all(), "records of other levels"
    groups = {"all": np.ones(len(baseline), bool)}
    if criterion_of(baseline).is_rate:
        solved = baseline["solved"].to_numpy()
        groups |= {"solved": solved, "not solved": ~solved}
    groups = {name: mask for name, mask in (groups | _thirds(trace.optimal)).items() if mask.any()}
    changes = np.full(trace.action.shape, np.nan, np.float32)
    changes[:, 1:] = trace.action[:, 1:] != trace.action[:, :-1]
    quantities = {  # name: (values, label of an axis, full description)
        "entropy": (trace.entropy, "entropy (nats)", "entropy of the policy, in nats"),
        "value": (trace.value, "value", "value of the level"),
        "kl": (trace.kl, "KL divergence (nats)", "KL divergence from the tick before, in nats"),
        "changed": (changes, "share changed", "share of levels whose greedy action is another than the tick before"),
        "first_move": (
            trace.first_move,
            "share optimal",
            "share of levels whose greedy action is an optimal first move",
        ),
    }
    quantities = {name: each for name, each in quantities.items() if not np.isnan(each[0]).all()}
    how = "Single ticks on the first observation, the env standing still; means over levels."
    if not trace.carries:
        how += " This policy has no carry: it says the same at each tick."
    tables = {name: _by_tick(x, groups, confidence) for name, (x, _, _) in quantities.items()}
    shown = [tick - 1 for tick in SHOWN if tick <= trace.action.shape[1]]
    summary = pd.DataFrame(
        {"tick": [tick + 1 for tick in shown]}
        | {name: table["all"].to_numpy()[shown] for name, table in tables.items()}
    )
    findings = [Finding("trace", "What does it come to think before its first move?", how, summary)]
    for name, (_, axis, label) in quantities.items():
        text = f"The {label}. {how} low and high: {confidence:.0%} interval over all levels."
        findings.append(
            Finding(
                f"trace_{name}",
                f"Tick by tick: {label}",
                text,
                tables[name],
                _drawer(tables[name], axis),
                in_terminal=False,
            )
        )
    return findings


def _thirds(optimal: Int64[np.ndarray, "N"]) -> dict[str, Bool[np.ndarray, "N"]]:
    """Splits levels of known optimal length into up to three groups of similar size: masks by name."""
    known = optimal[optimal >= 0]
    if not len(known) or known.min() == known.max():
        return {}
    edges = [known.min() - 1, *np.unique(np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf")), known.max()]
    masks = {}
    for below, last in pairwise(edges):
        mask = (optimal > below) & (optimal <= last)
        if mask.any():
            least, most = optimal[mask].min(), optimal[mask].max()
            masks[f"optimum {least} to {most}" if most > least else f"optimum {least}"] = mask
    return masks


def _by_tick(x: Float[np.ndarray, "N T"], groups: dict[str, Bool[np.ndarray, "N"]], confidence: float) -> pd.DataFrame:
    """Means of x over each group: a row for each tick, and the interval of the mean over all levels."""
    low, high = mean_intervals(x, confidence)
    table = pd.DataFrame({"tick": np.arange(1, x.shape[1] + 1)})
    for name, mask in groups.items():
        known = ~np.isnan(x[mask])
        count = known.sum(axis=0)
        table[name] = np.where(count, np.where(known, x[mask], 0).sum(axis=0) / np.maximum(count, 1), np.nan)
        if name == "all":
            table["low"], table["high"] = low, high
    return table


def _drawer(table: pd.DataFrame, label: str) -> Callable[..., Any]:
    def draw(axes: Any) -> None:
        for name in table.columns.drop(["tick", "low", "high"]):
            axes.plot(table["tick"], table[name], label=name, **({"color": "black"} if name == "all" else {}))
        axes.fill_between(table["tick"], table["low"], table["high"], color="black", alpha=0.15)
        axes.set(xlabel="tick on the first observation", ylabel=label)
        axes.legend(fontsize="small")

    return draw
