"""Plays each level of a batch env once, with any policy and a given amount of thinking."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.choices import Choose, as_env_counts, most_probable, sampled
from drc_lab.evaluation.play.episodes import Episodes
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.watcher import Observations, Watcher
from drc_lab.models.policy import Policy, PolicyValue

CHUNK = 512  # envs per forward pass whose feature maps fit into a CPU's cache


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


@dataclass
class _Part:
    """Envs that share a forward pass: their indices, and their carry (None before the first pass)."""

    envs: Int64[Tensor, "n"]
    carry: Any = None


class _Evaluation:
    """One evaluation in progress. Its counters have one entry for each of the N envs, int64 [N]."""

    def __init__(
        self,
        policy: Policy,
        env: BatchEnv,
        thinking: Thinking,
        choose: Choose,
        watchers: Sequence[Watcher],
        N: int,
        seed: int,
    ):
        self.policy, self.env, self.thinking, self.choose, self.watchers, self.N, self.seed = (
            policy, env, thinking, choose, watchers, N, seed)  # fmt: skip
        self.device = next(policy.parameters()).device
        self.first_passes, self.passes, self.noops, self.at = (
            torch.from_numpy(np.broadcast_to(np.asarray(number, np.int64), N).copy())
            for number in (thinking.first_passes, thinking.passes, thinking.noops, thinking.at)
        )
        self.passes_made, self.steps, self.thinks = (torch.zeros(N, dtype=torch.int64) for _ in range(3))

    def run(self, obs: Observations, info: dict[str, Any], chunk: int) -> Episodes:
        env, N = self.env, self.N
        level, optimal = info["level"][:N].copy(), info["optimal"][:N].copy()
        solved, length, returns = np.zeros(N, bool), np.zeros(N, np.int64), np.zeros(N)
        parts = [_Part(envs) for envs in torch.arange(N).split(chunk)]
        playing, says_success = np.arange(N), False
        step = 0
        while True:
            for watcher in self.watchers:
                watcher.seen(playing, obs, info)
            if not parts:
                break
            actions = np.zeros(env.num_envs, np.int64)
            seen = torch.from_numpy(obs[:N].copy())  # (N, ...)
            due = self._passes_due(step)
            for part in parts:
                actions[part.envs.numpy()] = self._act(part, seen[part.envs].to(self.device), due[part.envs], step)
            obs, _, terminated, truncated, info = env.step(actions)
            playing = np.concatenate([part.envs.numpy() for part in parts])
            obs, info = with_final_values(obs, info)
            done = (terminated | truncated)[:N]
            ended = playing[done[playing]]
            if len(ended):
                says_success |= "solved" in info
                for values, key in ((solved, "solved"), (length, "length"), (returns, "return")):
                    values[ended] = info[key][ended] if key in info else False
                remaining = (_without_finished(part, torch.from_numpy(done)) for part in parts)
                parts = [part for part in remaining if len(part.envs)]
            step += 1
        episodes = Episodes(
            level, solved, length, returns, optimal, self.passes_made.numpy(), self._ticks(), says_success
        )
        if env.think_action is None:
            return episodes
        return replace(episodes, thinks=self.thinks.numpy(), moves=(self.steps - self.thinks).numpy())

    def _ticks(self) -> Int64[np.ndarray, "{self.N}"]:
        """Ticks of all passes of each episode."""
        of_a_step = self.thinking.repeats or self.policy.repeats_per_step
        return (self.steps * of_a_step + self.passes_made * (self.thinking.pass_ticks or of_a_step)).numpy()

    def _passes_due(self, step: int) -> Int64[Tensor, "{self.N}"]:
        """How many extra passes each env may make before this step."""
        due = self.passes * ((self.at == step) | self.thinking.every_step)
        if step == 0:
            due = due + self.first_passes
        if self.thinking.drawn:
            rng = np.random.default_rng([self.seed, step])
            due = due + torch.from_numpy(rng.geometric(1 / (1 + self.thinking.drawn), self.N) - 1)
        return due

    def _act(
        self, part: _Part, obs: Shaped[Tensor, "n *obs"], due: Int64[Tensor, "n"], step: int
    ) -> Int64[np.ndarray, "n"]:
        """Makes the ``due`` extra passes before this step, then chooses actions."""
        envs = part.envs
        self._make_passes(part, obs, due)
        out = self._pass(part, obs, torch.arange(len(envs)), self.thinking.repeats)
        self.steps[envs] += 1
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

    def _make_passes(self, part: _Part, obs: Shaped[Tensor, "n *obs"], due: Int64[Tensor, "n"]) -> None:
        """Makes ``due`` extra passes on each env of a part, fewer where ``thinking.agree`` stops them.

        Each pass runs only the envs that still have passes to make: ``rows``, int64 [m], are their places in the
        part. ``before`` has their log-probabilities [m, A] after the pass before.
        """
        made = torch.zeros_like(due)
        rows, before = due.nonzero()[:, 0], None
        while len(rows):
            out = self._pass(part, obs, rows, self.thinking.pass_ticks or self.thinking.repeats)
            made[rows] += 1
            for watcher in self.watchers:
                watcher.thought(part.envs[rows].numpy(), out)
            log_probs = torch.log_softmax(out.policy_logits.double(), -1)
            unfinished = made[rows] < due[rows]
            if self.thinking.agree is not None and before is not None:
                unfinished &= divergence(log_probs, before) >= self.thinking.agree
            rows, before = rows[unfinished], log_probs[unfinished]
        self.passes_made[part.envs] += made

    def _pass(
        self, part: _Part, obs: Shaped[Tensor, "n *obs"], rows: Int64[Tensor, "m"], ticks: int | None
    ) -> PolicyValue:
        """Runs the policy on some rows of a part (ascending), and replaces their carry by the new one."""
        if part.carry is None:
            part.carry = self.policy.initial_carry(obs)
        if len(rows) == len(obs):  # all of them: nothing has to be copied
            out, part.carry = self.policy(obs, part.carry, ticks)
        else:
            rows = rows.to(self.device)
            out, carry = self.policy(obs[rows], tree_map(lambda x: x[rows], part.carry), ticks)
            part.carry = tree_map(lambda x, new: x.index_copy(0, rows, new), part.carry, carry)
        return PolicyValue(as_env_counts(out.policy_logits, self.env), out.value.float().cpu())


def divergence(log_probs: Float[Tensor, "n A"], before: Float[Tensor, "n A"]) -> Float[Tensor, "n"]:
    """KL(new || before) in nats, from the log-probabilities of two policies."""
    return (log_probs.exp() * (log_probs - before)).sum(-1).clamp(min=0)


def with_final_values(obs: Observations, info: dict[str, Any]) -> tuple[Observations, dict[str, Any]]:
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


def _without_finished(part: _Part, done: Bool[Tensor, "N"]) -> _Part:
    """The part without the envs whose episodes have ended, ``done`` of all envs."""
    keep = ~done[part.envs]
    if keep.all():
        return part
    return _Part(part.envs[keep], tree_map(lambda x: x[keep.to(x.device)], part.carry))
