"""Plays levels of a batch env once with any policy, at a given amount of thinking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.policy import Policy, PolicyValue

PerLevel = int | np.ndarray  # a number for all levels, or int64 [N], one for each
Choose = Callable[[Tensor, Tensor], Tensor]  # logits [n, A] and the numbers of the n envs -> actions int64 [n]
IMPOSSIBLE = -1e9  # as a logit: 0 as a probability, and finite, so that entropies and divergences are numbers
CHUNK = 512  # envs whose maps fit into a CPU's cache


@dataclass(frozen=True)
class Thinking:
    """How much more a policy thinks than it was trained to, and when.

    Args:
        first_passes: extra forward passes on the first observation, before the first action. The env does not move, so
            they take nothing off the step limit.
        passes: such passes before another step.
        noops: steps in which the env is told to do nothing while the policy goes on watching. They take as many off the
            step limit.
        at: the step of the episode before which ``passes`` and ``noops`` come, 0 being the first; -1 is never.
        repeats: ticks of every forward pass; None is the policy's own number.
        pass_ticks: ticks of an extra pass; None is as ``repeats``.
        agree: in nats: a level needs no further pass once the KL divergence of the policy after one from the policy
            after the pass before is below that. ``passes`` is then the most.
        every_step: whether the extra passes come before every step, and not only ``at`` one.
        drawn: mean of a random number of further passes before every step, 0 being the most probable (a geometric
            distribution), which depends on the seed, the level's place in the batch, and the step.
    """

    first_passes: PerLevel = 0
    noops: PerLevel = 0
    passes: PerLevel = 0
    at: PerLevel = 0
    repeats: int | None = None
    pass_ticks: int | None = None
    agree: float | None = None
    every_step: bool = False
    drawn: float = 0.0


@dataclass(frozen=True)
class Episodes:
    """One finished episode per level, all [N].

    level id, solved, length (steps, those told to do nothing included), return, optimal (-1 if unknown), passes (extra
    ones), ticks (of all passes); says_success: whether the env says which are solved, or else solved means nothing;
    thinks (times that the policy chose to) and moves (steps without those), None where the env has no such action.
    """

    level: np.ndarray
    solved: np.ndarray
    length: np.ndarray
    returns: np.ndarray
    optimal: np.ndarray
    passes: np.ndarray
    ticks: np.ndarray
    says_success: bool = True
    thinks: np.ndarray | None = None
    moves: np.ndarray | None = None

    @property
    def solve_rate(self) -> float:
        return float(self.solved.mean())

    def summary(self) -> dict[str, float]:
        """Means over levels. optimality_gap: steps beyond the optimum, over solved levels whose optimum is known; like
        solve_rate only where the env says success."""
        means = {"return": float(self.returns.mean()), "length": float(self.length.mean())}
        if self.thinks is not None:
            means["thinks"] = float(self.thinks.mean())
        if not self.says_success:
            return means
        known = self.solved & (self.optimal >= 0)
        gap = float((self.length - self.optimal)[known].mean()) if known.any() else float("nan")
        return {"solve_rate": self.solve_rate, **means, "optimality_gap": gap}


@torch.no_grad()
def evaluate(
    policy: Policy,
    env: BatchEnv,
    thinking: Thinking | None = None,
    greedy: bool = True,
    seed: int = 0,
    chunk: int | None = None,
    watchers: Sequence[Watcher] = (),
    choose: Choose | None = None,
    levels: range | None = None,
) -> Episodes:
    """Plays one episode of each level to its end.

    Boards that are done drop out of the forward pass. Random numbers come from ``seed`` alone, so that evaluating
    leaves no trace in a training that goes on around it.

    Args:
        policy: any policy.
        env: a batch env, with same-step autoreset or none, that deals its levels in order.
        thinking: default none beyond the policy's own.
        greedy: the most probable action, or else sampled.
        seed: of the env and of sampling.
        chunk: envs in one forward pass; None is as many as fit into a CPU's cache, or all on a GPU.
        watchers: see the evaluation go by.
        choose: the action from the logits, in place of ``greedy``.
        levels: which of the env's, at most as many as it has envs; None is the first ones.

    Raises:
        ConfigError: about ``noops``, in an env that has no action that does nothing.
    """
    thinking = thinking or Thinking()
    if np.any(np.asarray(thinking.noops) > 0) and env.noop_action is None:
        raise ConfigError("noops", thinking.noops, "none, as this env has no action that does nothing (env.noop=true)")
    levels = range(env.num_envs) if levels is None else levels
    obs, info = env.reset(seed=seed, options={"first_level": levels.start} if levels.start else None)
    choose = choose or (most_probable if greedy else sampled(seed))
    chunk = chunk or (CHUNK if next(policy.parameters()).device.type == "cpu" else len(levels))
    with policy.frozen():
        return _Evaluation(policy, env, thinking, choose, watchers, len(levels), seed).run(obs, info, chunk)


def most_probable(logits: Tensor, envs: Tensor) -> Tensor:
    return logits.argmax(-1)


def sampled(seed: int) -> Choose:
    """Chooses as the policy's probabilities say."""
    generator = torch.Generator().manual_seed(seed)
    return lambda logits, envs: torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)[:, 0]


def never(action: int | None, choose: Choose) -> Choose:
    """Chooses as if an action were not there: the best other one, or one of the others."""
    if action is None:
        return choose
    return lambda logits, envs: choose(logits.index_fill(-1, torch.tensor([action]), IMPOSSIBLE), envs)


def as_env_counts(logits: Tensor, env: BatchEnv) -> Tensor:
    """Logits [n, A] of the env's actions, on the CPU. Where a policy does not know of the no-op, which comes before
    "think", it never chooses it; without "think" it may be missing at the end."""
    logits = logits.float().cpu()
    if env.think_action is None or logits.shape[-1] > env.think_action:
        return logits
    game, think = logits[:, :-1], logits[:, -1:]
    return torch.cat([game, torch.full_like(think, IMPOSSIBLE), think], dim=-1)


@dataclass
class _Part:
    """Envs that share a forward pass: their numbers int64 [n], and their carry."""

    envs: Tensor
    carry: Any


class _Evaluation:
    def __init__(self, policy: Policy, env: BatchEnv, thinking: Thinking, choose: Choose,
                 watchers: Sequence[Watcher], N: int, seed: int):  # fmt: skip
        self.policy, self.env, self.thinking, self.choose, self.watchers, self.N, self.seed = (
            policy, env, thinking, choose, watchers, N, seed)  # fmt: skip
        self.device = next(policy.parameters()).device
        self.first, self.limit, self.noops, self.at = (
            torch.from_numpy(np.broadcast_to(np.asarray(number, np.int64), N).copy())
            for number in (thinking.first_passes, thinking.passes, thinking.noops, thinking.at)
        )
        self.passes, self.steps, self.thinks = (torch.zeros(N, dtype=torch.int64) for _ in range(3))
        self.drawn = torch.zeros(N, dtype=torch.int64)  # passes before the present step, besides the others

    def run(self, obs: np.ndarray, info: dict[str, Any], chunk: int) -> Episodes:
        env, N = self.env, self.N
        level, optimal = info["level"][:N].copy(), info["optimal"][:N].copy()
        solved, length, returns = np.zeros(N, bool), np.zeros(N, np.int64), np.zeros(N)
        parts = [_Part(envs, None) for envs in torch.arange(N).split(chunk)]
        playing, says_success = np.arange(N), False
        step = 0
        while True:
            for watcher in self.watchers:
                watcher.seen(playing, obs, info)
            if not parts:
                break
            actions = np.zeros(env.num_envs, np.int64)
            seen = torch.from_numpy(obs[:N].copy())  # (N, ...)
            if self.thinking.drawn:
                rng = np.random.default_rng([self.seed, step])
                self.drawn = torch.from_numpy(rng.geometric(1 / (1 + self.thinking.drawn), N) - 1)
            for part in parts:
                actions[part.envs.numpy()] = self._act(part, seen[part.envs].to(self.device), step)
            obs, _, terminated, truncated, info = env.step(actions)
            playing = np.concatenate([part.envs.numpy() for part in parts])
            obs, info = as_left(obs, info)
            done = (terminated | truncated)[:N]
            ended = playing[done[playing]]
            if len(ended):
                says_success |= "solved" in info
                for kept, key in ((solved, "solved"), (length, "length"), (returns, "return")):
                    kept[ended] = info[key][ended] if key in info else False
                parts = [still for part in parts if (still := _playing_on(part, torch.from_numpy(~done)))]
            step += 1
        own = self.thinking.repeats or self.policy.repeats_per_step
        ticks = self.steps * own + self.passes * (self.thinking.pass_ticks or own)
        episodes = Episodes(level, solved, length, returns, optimal, self.passes.numpy(), ticks.numpy(), says_success)
        if env.think_action is None:
            return episodes
        return replace(episodes, thinks=self.thinks.numpy(), moves=(self.steps - self.thinks).numpy())

    def _act(self, part: _Part, obs: Tensor, step: int) -> np.ndarray:
        """Thinks if it is time to, then decides: actions int64 [n]."""
        envs, thinking = part.envs, self.thinking
        now = self.at[envs] == step
        limit = self.limit[envs] * (now | thinking.every_step) + self.drawn[envs]
        if step == 0:
            limit = limit + self.first[envs]
        if limit.any():
            part.carry = self._think(part, obs, limit)
        out, part.carry = self.policy(obs, part.carry, thinking.repeats)
        self.steps[envs] += 1
        out = PolicyValue(as_env_counts(out.policy_logits, self.env), out.value.float().cpu())
        actions = self.choose(out.policy_logits, envs)
        waits = (self.at[envs] >= 0) & (self.at[envs] <= step) & (step < self.at[envs] + self.noops[envs])
        if waits.any():
            actions = torch.where(waits, self.env.noop_action or 0, actions)
        if self.env.think_action is not None:
            thinks = actions == self.env.think_action
            self.thinks[envs] += thinks
            waits |= thinks
        for watcher in self.watchers:
            watcher.decided(envs.numpy(), out, actions.numpy(), waits.numpy())
        return actions.numpy()

    def _think(self, part: _Part, obs: Tensor, limit: Tensor) -> Any:
        """The carry after the extra passes; limit int64 [n] is the most for each env. Only those that go on are run."""
        carry, thinking = part.carry, self.thinking
        if carry is None:
            H, W = obs.shape[2:] if obs.ndim == 4 else (None, None)
            carry = self.policy.init_state(len(obs), H, W, obs.device, next(self.policy.parameters()).dtype)
        made, before = torch.zeros_like(limit), None
        active = limit.nonzero()[:, 0]
        while len(active):
            everyone = len(active) == len(limit)
            rows = active.to(obs.device)
            own = carry if everyone else tree_map(lambda x: x[rows], carry)  # noqa: B023 - used at once
            out, new = self.policy(obs[rows], own, thinking.pass_ticks or thinking.repeats)
            carry = new if everyone else tree_map(lambda x, y: x.index_copy(0, rows, y), carry, new)  # noqa: B023
            made[active] += 1
            out = PolicyValue(as_env_counts(out.policy_logits, self.env), out.value.float().cpu())
            for watcher in self.watchers:
                watcher.thought(part.envs[active].numpy(), out)
            go_on = made[active] < limit[active]
            log_probs = torch.log_softmax(out.policy_logits.double(), -1)
            if thinking.agree is not None and before is not None:
                divergence = (log_probs.exp() * (log_probs - before)).sum(-1)
                go_on &= divergence.clamp(min=0) >= thinking.agree
            before, active = log_probs[go_on], active[go_on]
        self.passes[part.envs] += made
        return carry


def as_left(obs: np.ndarray, info: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Observations and info as ended episodes left them, where autoreset has put the next episode's in their place."""
    if "final_info" not in info:
        return obs, info
    obs, ended, final = obs.copy(), info["_final_info"], info["final_info"]
    for env in np.flatnonzero(ended):
        obs[env] = info["final_obs"][env]
    keys = [key for key in ("solved", "length", "return", "level") if key in info]
    return obs, info | {key: np.where(ended, final[key], info[key]) for key in keys}


def _playing_on(part: _Part, on: Tensor) -> _Part | None:
    """Takes the finished envs out of a part and its carry; on: bool [N]. None if that leaves nothing."""
    keep = on[part.envs]
    if keep.all():
        return part
    if not keep.any():
        return None
    return _Part(part.envs[keep], tree_map(lambda x: x[keep.to(x.device)], part.carry))
