"""Compares exported files with the original policy: size, latency, solve rate, and difference of the logits."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.measures.criterion import Criterion
from drc_lab.evaluation.play.choices import as_env_counts
from drc_lab.files import written
from drc_lab.models.policy import Policy
from drc_lab.tables import Column, FittedTable


@dataclass(frozen=True)
class Row:
    """The results of one exported variant, or of the original policy.

    Args:
        variant, runtime: names of the variant and of what runs it.
        megabytes: size of the file; for the original policy the size of its weights, because its checkpoint also holds
            other things.
        milliseconds: median time of one step, by batch size.
        levels: number of held-out levels, played greedily.
        criterion, mean, low, high: solve rate, or return if the env does not report success; its mean over these
            levels, and the confidence interval.
        difference: largest absolute difference of a logit from the original policy's, on the same observations, where
            each of the two has its own carry.
    """

    variant: str
    runtime: str
    megabytes: float
    milliseconds: dict[int, float]
    levels: int
    criterion: Criterion
    mean: float
    low: float
    high: float
    difference: float


@torch.no_grad()
def play(
    policy: Policy, env: BatchEnv, steps: int, seed: int
) -> tuple[Shaped[Tensor, "T B *obs"], Bool[Tensor, "T B"]]:
    """Plays greedily for ``steps`` steps, and returns the observations and resets."""
    first, _ = env.reset(seed=seed)
    now, over, state = torch.from_numpy(first.copy()), torch.ones(len(first), dtype=torch.bool), None
    seen, resets = [], []
    for _ in range(steps):
        seen.append(now)
        resets.append(over)
        state = policy.initial_carry(now) if state is None else state
        out, state = policy.unroll(now[None], state, over[None])
        following, _, terminated, truncated, _ = env.step(as_env_counts(out.policy_logits[0], env).argmax(-1).numpy())
        now, over = torch.from_numpy(following.copy()), torch.from_numpy(terminated | truncated)
    return torch.stack(seen), torch.stack(resets)


@torch.no_grad()
def logits_of(
    policy: Policy, obs: Shaped[Tensor, "T B *obs"], resets: Bool[Tensor, "T B"], repeats: int | None
) -> Float[Tensor, "T B A"]:
    """The logits over a sequence, starting from the carry at the start of an episode in all envs."""
    return policy.unroll(obs, policy.initial_carry(obs[0]), resets, repeats)[0].policy_logits


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Writes a CSV file with one line for each variant, atomically."""
    batches = [f"milliseconds_batch_{batch}" for batch in rows[0].milliseconds]
    rates = [f"{rows[0].criterion.metric}{end}" for end in ("", "_low", "_high")]
    with written(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", "runtime", "megabytes", *batches, "levels", *rates, "max_logit_difference"])
        for row in rows:
            times = (round(x, 4) for x in row.milliseconds.values())
            rated = (round(x, 6) for x in (row.mean, row.low, row.high))
            size, off = round(row.megabytes, 4), f"{row.difference:.3g}"
            writer.writerow([row.variant, row.runtime, size, *times, row.levels, *rated, off])


def terminal_table(rows: Sequence[Row], confidence: float, file: str, caption: str) -> FittedTable:
    """The same rows as a table for the terminal; ``file`` is the name of the CSV file."""
    title = f"Exported, beside the policy itself: {rows[0].levels} held-out levels, greedy"
    columns = [Column("variant", words=True, name=True), Column("runs in", words=True, rank=1), Column("MB", rank=2)]
    columns += [Column(f"ms at B = {batch}", rank=3 + number) for number, batch in enumerate(rows[0].milliseconds)]
    criterion = rows[0].criterion
    columns += [Column(f"{criterion.column}{' in %' * criterion.is_rate} [{confidence:.0%}]"), Column("logits off by")]
    table = FittedTable(title, columns, file, caption)
    for row in rows:
        times = (f"{x:.2f}" for x in row.milliseconds.values())
        mean, low, high = (f"{criterion.scale * x:.1f}" for x in (row.mean, row.low, row.high))
        score = f"{mean} [{low}, {high}]"
        table.add(row.variant, row.runtime, f"{row.megabytes:.3f}", *times, score, f"{row.difference:.1g}")
    return table
