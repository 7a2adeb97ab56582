"""Plays every level of a batch env once with any policy, at a given amount of thinking."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.models.policy import Policy


@dataclass(frozen=True)
class Thinking:
    """How much more a policy thinks than it was trained to.

    Args:
        first_passes: extra forward passes on the first observation before the first action. The env does not move, so
            they take nothing off the step limit.
        repeats: ticks of every forward pass; None is the policy's own number.
    """

    first_passes: int = 0
    repeats: int | None = None

    def __post_init__(self) -> None:
        if self.first_passes < 0:
            raise ConfigError("first_passes", self.first_passes, "0 or more")
        if self.repeats is not None and self.repeats < 1:
            raise ConfigError("repeats", self.repeats, "at least 1")


@dataclass(frozen=True)
class Episodes:
    """One finished episode per level, all [N]: level id, solved, length (steps), return, optimal (-1 if unknown)."""

    level: np.ndarray
    solved: np.ndarray
    length: np.ndarray
    returns: np.ndarray
    optimal: np.ndarray

    @property
    def solve_rate(self) -> float:
        return float(self.solved.mean())

    def summary(self) -> dict[str, float]:
        """Means over levels. optimality_gap: steps beyond the optimum, over solved levels whose optimum is known."""
        known = self.solved & (self.optimal >= 0)
        gap = float((self.length - self.optimal)[known].mean()) if known.any() else float("nan")
        return {
            "solve_rate": self.solve_rate,
            "return": float(self.returns.mean()),
            "length": float(self.length.mean()),
            "optimality_gap": gap,
        }


@torch.no_grad()
def evaluate(
    policy: Policy,
    env: BatchEnv,
    thinking: Thinking | None = None,
    greedy: bool = True,
    seed: int = 0,
    chunk: int = 512,
    watch: Callable[[np.ndarray, dict[str, Any]], None] | None = None,
) -> Episodes:
    """Plays the first episode of every env in the batch to its end.

    Boards that are done drop out of the forward pass. Random numbers come from ``seed`` alone, so that evaluating
    leaves no trace in a training that goes on around it.

    Args:
        policy: any policy.
        env: a batch env, with same-step autoreset or none, whose first N levels are the levels to play.
        thinking: default none beyond the policy's own.
        greedy: the most probable action, or else sampled.
        seed: of the env and of sampling.
        chunk: envs in one forward pass; more do not fit into the CPU's cache.
        watch: is called with the numbers of the envs that play and the env's info, at the start and after each step.
            What it raises ends the evaluation.
    """
    with policy.frozen():
        return _evaluate(
            policy, env, thinking or Thinking(), greedy, seed, chunk, watch or (lambda playing, info: None)
        )


def _evaluate(
    policy: Policy,
    env: BatchEnv,
    thinking: Thinking,
    greedy: bool,
    seed: int,
    chunk: int,
    watch: Callable[[np.ndarray, dict[str, Any]], None],
) -> Episodes:
    device, generator = next(policy.parameters()).device, torch.Generator().manual_seed(seed)
    first, info = env.reset(seed=seed)
    N = len(first)
    obs = torch.from_numpy(first.copy())
    level, optimal = info["level"].copy(), info["optimal"].copy()
    solved, length, returns = np.zeros(N, bool), np.zeros(N, np.int64), np.zeros(N)
    parts = list(torch.arange(N).split(chunk))
    carries: list[Any] = [None] * len(parts)
    watch(np.arange(N), info)
    for i, part in enumerate(parts):
        for _ in range(thinking.first_passes):
            _, carries[i] = policy(obs[part].to(device), carries[i], thinking.repeats)
    while parts:
        actions = np.zeros(N, np.int64)
        for i, part in enumerate(parts):
            out, carries[i] = policy(obs[part].to(device), carries[i], thinking.repeats)
            logits = out.policy_logits.float().cpu()
            if greedy:
                chosen = logits.argmax(-1)
            else:
                chosen = torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)[:, 0]
            actions[part.numpy()] = chosen.numpy()
        following, _, terminated, truncated, info = env.step(actions)
        done = terminated | truncated
        obs = torch.from_numpy(following.copy())
        playing = np.concatenate([part.numpy() for part in parts])
        watch(playing, info)
        ended = playing[done[playing]]
        if len(ended):
            final = info.get("final_info", info)  # without autoreset it is still there
            for kept, key in ((solved, "solved"), (length, "length"), (returns, "return")):
                kept[ended] = final[key][ended]
            parts, carries = _drop(parts, carries, torch.from_numpy(done))
    return Episodes(level, solved, length, returns, optimal)


def _drop(parts: list[torch.Tensor], carries: list, done: torch.Tensor) -> tuple[list[torch.Tensor], list]:
    """Takes the finished envs out of each part and its carry; empty parts go."""
    kept_parts, kept_carries = [], []
    for part, carry in zip(parts, carries, strict=True):
        keep = ~done[part]
        if keep.any():
            kept_parts.append(part[keep])
            kept_carries.append(tree_map(lambda x, keep=keep: x[keep.to(x.device)], carry))
    return kept_parts, kept_carries
