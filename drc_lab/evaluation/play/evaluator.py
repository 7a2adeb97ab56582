"""Plays each level of a batch env once, with any policy and a given amount of thinking."""

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

PerLevel = int | np.ndarray  # one number for all levels, or int64 [N], one per level
Choose = Callable[[Tensor, Tensor], Tensor]  # logits [n, A] and indices of the n envs -> actions int64 [n]
IMPOSSIBLE = -1e9  # a logit with probability 0; finite, so that entropies and KL divergences are not nan
CHUNK = 512  # envs per forward pass whose feature maps fit into a CPU's cache


@dataclass(frozen=True)
class Thinking:
    """How much a policy thinks beyond its own amount, and when.

    Args:
        first_passes: extra passes on the first observation, before the first action. The env stands still, so they do
            not count towards the step limit.
        passes: extra passes before step ``at``.
        noops: number of steps, from step ``at`` on, in which the env gets the no-op while the policy keeps observing.
            They count towards the step limit.
        at: the step of the episode (0 is the first) at which ``passes`` and ``noops`` start; -1 for never.
        repeats: ticks of every forward pass; None for the policy's own number.
        pass_ticks: ticks of an extra pass; None for the same as ``repeats``.
        agree: threshold in nats: extra passes on a level stop early once the KL divergence between the policy after a
            pass and after the previous pass is below it. The numbers of passes above are then upper limits.
        every_step: whether ``passes`` are made before every step, and not only before step ``at``.
        drawn: mean of a random number of further passes before every step. It has a geometric distribution, whose mode
            is 0, and depends on the seed, the level's place in the batch, and the step.
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
    """One finished episode per level.

    Attributes:
        level: int64 [N], level numbers.
        solved: bool [N]; meaningless unless ``says_success``.
        length: int64 [N], steps that count towards the step limit, including no-ops.
        returns: float64 [N], undiscounted.
        optimal: int64 [N], optimal lengths in steps, -1 if unknown.
        passes: int64 [N], extra passes.
        ticks: int64 [N], ticks of all passes.
        says_success: whether the env reports which episodes are solved.
        thinks: int64 [N], how often the policy chose to think; None in an env without the action "think".
        moves: int64 [N], decisions other than thinks; None in an env without the action "think".
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
        """Means over levels, by metric name.

        ``solve_rate`` and ``optimality_gap`` are included only if ``says_success``. The gap is the number of steps
        beyond the optimum, averaged over the solved levels whose optimum is known; nan if there are none.
        """
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

    Envs whose episodes have ended drop out of the forward pass. All random numbers come from ``seed``, so an evaluation
    during training does not change the training's random state.

    Args:
        policy: any policy.
        env: a batch env that deals its levels in order, with same-step autoreset or without autoreset.
        thinking: extra thinking; None for none beyond the policy's own.
        greedy: whether to take the most probable action; otherwise actions are sampled.
        seed: of the env, of sampled actions, and of drawn passes.
        chunk: envs per forward pass; None for as many as fit into the CPU's cache, or all of them on a GPU.
        watchers: observers, called as the evaluation proceeds.
        choose: maps logits to actions, in place of ``greedy``.
        levels: numbers of the levels to play, at most ``env.num_envs``; None for the first ``env.num_envs``.

    Returns:
        one episode per level.

    Raises:
        ConfigError: ``noops`` is above 0, but the env has no no-op.
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
    """Samples actions from the policy's probabilities, with a random generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    return lambda logits, envs: torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)[:, 0]


def never(action: int | None, choose: Choose) -> Choose:
    """Makes ``choose`` ignore one action by setting its logit to IMPOSSIBLE; None leaves ``choose`` as it is."""
    if action is None:
        return choose
    return lambda logits, envs: choose(logits.index_fill(-1, torch.tensor([action]), IMPOSSIBLE), envs)


def as_env_counts(logits: Tensor, env: BatchEnv) -> Tensor:
    """Aligns a policy's logits with the env's action numbers: float32 [n, A], on the CPU.

    A policy trained without the no-op has one logit fewer. In an env with the action "think", which is the last one,
    the no-op comes just before it and gets IMPOSSIBLE as its logit. In an env without "think" the no-op is the last
    action, and its logit stays missing.
    """
    logits = logits.float().cpu()
    if env.think_action is None or logits.shape[-1] > env.think_action:
        return logits
    game, think = logits[:, :-1], logits[:, -1:]
    return torch.cat([game, torch.full_like(think, IMPOSSIBLE), think], dim=-1)


@dataclass
class _Part:
    """Envs that share a forward pass: their indices int64 [n], and their carry (None before the first pass)."""

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
        self.drawn = torch.zeros(N, dtype=torch.int64)  # random passes before the current step, on top of the others

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
            obs, info = with_final_values(obs, info)
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
        """Makes the extra passes due before this step, then chooses actions: int64 [n]."""
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
        """Makes up to ``limit`` (int64 [n]) extra passes on each env and returns the carry after them.

        Each pass runs only the envs that still have passes to make.
        """
        carry, thinking = part.carry, self.thinking
        if carry is None:
            carry = self.policy.initial_carry(obs)
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


def with_final_values(obs: np.ndarray, info: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Observations and info with the final values of ended episodes.

    With autoreset these have been replaced by the values of the next episode, and are restored from ``final_obs`` and
    ``final_info``; without autoreset nothing changes.
    """
    if "final_info" not in info:
        return obs, info
    obs, ended, final = obs.copy(), info["_final_info"], info["final_info"]
    for env in np.flatnonzero(ended):
        obs[env] = info["final_obs"][env]
    keys = [key for key in ("solved", "length", "return", "level") if key in info]
    return obs, info | {key: np.where(ended, final[key], info[key]) for key in keys}


def _playing_on(part: _Part, on: Tensor) -> _Part | None:
    """The part without its finished envs, or None if no env is left; on: bool [N], whether an env is still playing."""
    keep = on[part.envs]
    if keep.all():
        return part
    if not keep.any():
        return None
    return _Part(part.envs[keep], tree_map(lambda x: x[keep.to(x.device)], part.carry))
