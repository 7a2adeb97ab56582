"""The envs of a rank in groups: while a GPU runs the policy for one group, the envs of another step on the CPU."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.learning.actor import Actor
from drc_lab.learning.rollout import EndedEpisodes
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models.policy import Policy


class Answer(NamedTuple):
    """The policy's output for one step of a group.

    Attributes:
        logits: float32 on the CPU, valid once ``arrived`` has completed.
        value: likewise.
        carry: the carry after the step, on the policy's device.
        arrived: marks the end of the copy from a GPU; None on a CPU.
    """

    logits: Float[Tensor, "B A"]
    value: Float[Tensor, "B"]
    carry: Any
    arrived: torch.cuda.Event | None


class Step(NamedTuple):
    """One step of a group's envs, on the CPU; or T of them, stacked.

    Attributes:
        actions: as sampled, also where a pass or a no-op took their place.
        values, logits: of the policy that acted.
        passes: true where the policy did not choose and the episode has not ended.
        optimal_actions: see `Group.optimal_actions`; None if the loss does not need them.
    """

    actions: Int64[Tensor, "*T B"]
    rewards: Float[Tensor, "*T B"]
    values: Float[Tensor, "*T B"]
    logits: Float[Tensor, "*T B A"]
    truncated: Bool[Tensor, "*T B"]
    passes: Bool[Tensor, "*T B"]
    optimal_actions: Bool[Tensor, "*T B K"] | None = None


class Group:
    """A batch env with the policy's carry, its next observations and the policy's pending answer to them.

    Tensors that are copied to or from a GPU are in pinned memory, in a new block each time. Torch's allocator reuses a
    block only after its copy has finished, so asynchronous copies need no further protection from being overwritten.

    Args:
        env: a batch env with same-step autoreset.
        policy: the policy that acts.
        seed: seeds the levels, the sampled actions and the drawn passes and no-ops.
        spec: says which passes and no-ops are drawn.
        judge: finds the optimal actions on the env's boards, if the loss needs them.

    Attributes:
        obs: [B, ...], on the CPU: the observations that the policy sees next.
        resets: bool [B], on the CPU: true where that observation is the first of its episode.
        carry: the carry before that observation, on the policy's device.
        passes: int64 [B], extra passes that are still to come before each env's next step.
        noops: int64 [B], no-ops that are still to come after those, before the first action that the policy chooses.
    """

    def __init__(self, env: BatchEnv, policy: Policy, seed: int, spec: RolloutSpec, judge: Judge | None = None):
        self.env, self.spec, self.judge = env, spec, judge
        self.passes_rng = np.random.default_rng([seed, 2])
        self.passes, self.noops = (np.zeros(env.num_envs, np.int64) for _ in range(2))
        self.generator = torch.Generator().manual_seed(seed)
        self.on_gpu = next(policy.parameters()).device.type == "cuda"
        self.obs = self._to_send(env.reset(seed=seed)[0])
        self.resets = self._to_send(np.ones(len(self.obs), bool))
        self.carry = policy.initial_carry(self.obs)
        self._asked: Answer | None = None
        self._draw(np.ones(env.num_envs, bool))

    def ask(self, actor: Actor, repeats: int) -> None:
        """Starts a step of the policy; on a GPU it returns before the result is computed."""
        with actor.profile("act"):
            out, carry = actor.act(self.obs, self.carry, self.resets, repeats)
        logits, value = (
            x.float().to("cpu", non_blocking=self.on_gpu) for x in (out.policy_logits[0], out.value[0, :, 0])
        )
        arrived = None
        if self.on_gpu:
            arrived = torch.cuda.Event()
            arrived.record()
        self._asked = Answer(logits, value, carry, arrived)

    def answer(self) -> Answer:
        """The result of the last `ask`; waits until it has arrived."""
        assert self._asked is not None
        if self._asked.arrived is not None:
            self._asked.arrived.synchronize()
        return self._asked

    def optimal_actions(self) -> Bool[Tensor, "B K"]:
        """The optimal ones of the game's own K actions on the current boards.

        A row is all false where the judge has no verdict, and where the policy does not choose (passes and no-ops).
        """
        assert self.judge is not None
        chooses = np.flatnonzero((self.passes == 0) & (self.noops == 0))
        optimal = np.zeros((self.env.num_envs, len(self.judge.game.action_names)), bool)
        if len(chooses):
            optimal[chooses] = self.judge.optimal_moves(chooses) == 1
        return torch.from_numpy(optimal)

    def step(self, actions: Int64[Tensor, "B"], ticks: int) -> tuple[Step, EndedEpisodes]:
        """Steps the env with the chosen actions, except where an extra pass or a no-op is due.

        An episode that ends with a no-op counts as truncated, whatever the env reports.

        Args:
            actions: sampled from the answer.
            ticks: ticks of the answer's step, for which ``spec.think_price`` is charged where the policy thinks.

        Returns:
            The step, without optimal actions; and the episodes that ended with it.
        """
        answer = self.answer()
        self.carry = answer.carry
        chosen, paused = actions.numpy(), self.passes > 0
        waits = ~paused & (self.noops > 0)
        if waits.any():
            assert self.env.noop_action is not None
            chosen = np.where(waits, self.env.noop_action, chosen)
        given = (paused,) if self.spec.draws_passes else ()
        obs, reward, terminated, truncated, info = self.env.step(chosen, *given)
        self.passes -= paused
        self.noops -= waits
        done, unchosen = terminated | truncated, paused | waits
        self._draw(done, ~(done | unchosen))
        ended = EndedEpisodes(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.int64))
        if done.any():
            self._forget(np.flatnonzero(done))
            final = info["final_info"]
            solved = final["solved"][done] if "solved" in final else ended.solved
            thinks = final["thinks"][done] if "thinks" in final else ended.thinks
            ended = EndedEpisodes(final["return"][done], final["length"][done], solved, thinks)
        rewards = torch.from_numpy(reward).float()
        if self.spec.think_price:
            thinks_on = torch.from_numpy((chosen == self.env.think_action) & ~paused)
            rewards -= self.spec.think_price * ticks * thinks_on
        self.obs, self.resets = self._to_send(obs), self._to_send(done)
        truncations, passes = torch.from_numpy(truncated | (done & waits)), torch.from_numpy(unchosen & ~done)
        return Step(actions, rewards, answer.value, answer.logits, truncations, passes), ended

    def _forget(self, envs: Int64[np.ndarray, "b"]) -> None:
        if self.judge is not None:
            self.judge.forget(envs)

    def _draw(self, first: Bool[np.ndarray, "B"], later: Bool[np.ndarray, "B"] | None = None) -> None:
        """Draws the extra passes and no-ops that come before the envs' next steps.

        Args:
            first: envs whose next step is the first of an episode.
            later: envs that took a chosen step that did not end the episode.
        """
        if self.spec.first_passes is not None:
            self.passes[first] = self._drawn(self.spec.first_passes, int(first.sum()))
        if self.spec.noops is not None:
            self.noops[first] = self._drawn(self.spec.noops, int(first.sum()))
        if later is not None and self.spec.later_passes is not None:
            later &= self.passes_rng.random(len(later)) < self.spec.later_chance
            self.passes[later] = self._drawn(self.spec.later_passes, int(later.sum()))

    def _drawn(self, between: Sequence[int], count: int) -> Int64[np.ndarray, "{count}"]:
        low, high = between
        return self.passes_rng.integers(low, high + 1, count)

    def _to_send(self, array: Shaped[np.ndarray, "B *obs"]) -> Shaped[Tensor, "B *obs"]:
        """A copy, pinned if the policy is on a GPU: the env overwrites the arrays that it returns."""
        return torch.from_numpy(array).pin_memory() if self.on_gpu else torch.from_numpy(array.copy())

    def get_state(self) -> dict[str, Any]:
        """The state of the env, of action sampling and of drawn passes, as tensors and plain types."""
        env = tree_map(lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x, self.env.get_state())
        passes = {
            "left": torch.from_numpy(self.passes.copy()),
            "noops": torch.from_numpy(self.noops.copy()),
            "rng": self.passes_rng.bit_generator.state,
        }
        return {"env": env, "generator": self.generator.get_state(), "passes": passes}

    def set_state(
        self, state: dict[str, Any], obs: Shaped[Tensor, "B *obs"], resets: Bool[Tensor, "B"], carry: Any
    ) -> None:
        """Restores a state from `get_state`, with the ``obs``, ``resets`` and ``carry`` that the group had then."""
        self.env.set_state(tree_map(lambda x: x.numpy() if isinstance(x, Tensor) else x, state["env"]))
        self._forget(np.arange(self.env.num_envs))
        self.generator.set_state(state["generator"])
        if "passes" in state:  # older checkpoints have neither passes nor no-ops
            self.passes = state["passes"]["left"].numpy().copy()
            self.passes_rng.bit_generator.state = state["passes"]["rng"]
            if "noops" in state["passes"]:
                self.noops = state["passes"]["noops"].numpy().copy()
        self.obs, self.resets, self.carry = self._to_send(obs.numpy()), self._to_send(resets.numpy()), carry


def group_seed(seed: int, rank: int, group: int) -> int:
    """The seed of a group: the training's for the first group of rank 0, a derived one for every other group."""
    if rank == group == 0:
        return seed
    place = [seed, rank, group] if group else [seed, rank]
    return int(np.random.SeedSequence(place).generate_state(1)[0])


def join(parts: Sequence[Any]) -> Any:
    """Concatenates the groups' trees of tensors along the first axis (envs)."""
    return parts[0] if len(parts) == 1 else tree_map(lambda *each: torch.cat(each), *parts)


def split(whole: Any, parts: int) -> list[Any]:
    """The inverse of `join`, for groups of equal size."""
    return [tree_map(lambda x, part=part: x.chunk(parts)[part], whole) for part in range(parts)]
