"""Makes an agent that comes with the package out of a training's checkpoint.

    python tools/ship_agent.py CHECKPOINT NAME --report FOLDER --what "Plans in Sokoban." --command "python -m ..."

FOLDER is what task=thinking wrote about that checkpoint. Writes drc_lab/agents/NAME.ckpt, the weights and the config
without anything of the machine, and beside it the model card NAME.md. Then `checkpoint=agents:/NAME` names it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from drc_lab.files import written
from drc_lab.learning.checkpoints import policy_of, read_checkpoint, write_checkpoint
from drc_lab.paths import AGENTS

GROUPS = ("seed", "study", "env", "policy", "algo", "evaluation")  # of a config; the others are of the machine
MOST_BYTES = 3 * 10**6
CONTROLS = {
    "random": "random policy",
    "distance": "the move that brings it nearest, one step ahead",
    "no_memory": "the agent without its memory",
}
CARD = """# {name}

{what}

```bash
python -m drc_lab task=play checkpoint=agents:/{name}          # watch it in the terminal
python -m drc_lab task=thinking checkpoint=agents:/{name}      # does more thinking help it?
python -m drc_lab task=export checkpoint=agents:/{name}        # as ONNX
```

| | |
|---|---|
| policy | {policy}, {weights:,} parameters, {ticks} ticks a step |
| trained for | {frames:,} frames, seed {seed}, on levels of the training split, drawn without end |
| command | `{command}` |
| licence | that of the project; the levels are generated, nothing of others is in it |

On {levels:,} levels of the test split, greedy; no mirrored or turned copy of them is in training, nor in what chose the
checkpoint. Intervals: {confidence:.0%}, over levels; p after Holm's correction over all settings that were tried.

| played by | solved |
|---|---|
{scores}

| thinking more than its own {ticks} ticks a step | gain in points | p |
|---|---|---|
{gains}

Env:

```json
{env}
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--report", type=Path, required=True, help="of task=thinking")
    parser.add_argument("--what", required=True, help="one sentence on what it does")
    parser.add_argument("--command", required=True, help="that trained it")
    args = parser.parse_args()
    state, path = stripped(read_checkpoint(args.checkpoint)), AGENTS / f"{args.name}.ckpt"
    text = card(args.name, args.what, args.command, state, pd.read_csv(args.report / "thinking.csv"))
    with written(path) as part:
        write_checkpoint(state, part)
        if part.stat().st_size > MOST_BYTES:
            parser.error(f"{args.checkpoint}: found {part.stat().st_size:,} bytes, allowed: {MOST_BYTES:,}")
    path.with_suffix(".md").write_text(text)
    print(path, f"{path.stat().st_size:,} bytes")


def stripped(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Weights, frames, and the config without folders, stores and trainers."""
    config = {key: checkpoint["config"][key] for key in GROUPS}
    weights = {key: value for key, value in checkpoint["state_dict"].items() if key.startswith("policy.")}
    return {"config": config, "state_dict": weights, "frames": checkpoint["frames"]}


def card(name: str, what: str, command: str, state: dict[str, Any], rows: pd.DataFrame) -> str:
    """The model card; rows: of thinking.csv."""
    config = state["config"]
    policy, _ = policy_of(state)
    rows = rows[rows["optimal"] == "all"]
    own = rows[(rows["kind"] == "first_passes") & (rows["amount"] == 0)].iloc[0]
    controls = rows[rows["kind"].isin(CONTROLS)].set_index("kind")
    settings = rows[rows["p_adjusted"].notna()].sort_values("difference", ascending=False)
    scores = [f"| **the agent** | **{percent(own, 'solve_rate')}** |"]
    scores += [f"| {CONTROLS[kind]} | {percent(row, 'solve_rate')} |" for kind, row in controls.iterrows()]
    gains = [
        f"| {row['kind']}={row['amount']:g} | {percent(row, 'difference')} | {row['p_adjusted']:.2g} |"
        for _, row in settings.iterrows()
    ]
    return CARD.format(
        name=name,
        what=what,
        command=command,
        policy=config["policy"]["_target_"].rsplit(".", 1)[-1],
        weights=sum(weight.numel() for weight in policy.parameters()),
        ticks=policy.repeats_per_step,
        frames=state["frames"],
        seed=config["seed"],
        levels=int(own["levels"]),
        confidence=config["evaluation"]["confidence"],
        scores="\n".join(scores),
        gains="\n".join(gains),
        env=json.dumps(config["env"], indent=1),
    )


def percent(row: pd.Series, column: str) -> str:
    """A share of levels or a difference of two, with its interval."""
    sign, low, high = ("+", "difference_low", "difference_high") if column == "difference" else ("", "low", "high")
    return f"{100 * row[column]:{sign}.1f} [{100 * row[low]:{sign}.1f}, {100 * row[high]:{sign}.1f}]"


if __name__ == "__main__":
    main()
