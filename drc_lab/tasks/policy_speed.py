"""task=policy_speed: the speed of the DRC compared with a plain implementation of the same net, the speed of every
policy of conf/policy, and a profile.

    python -m drc_lab task=policy_speed
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.global_hydra import GlobalHydra
from torch.profiler import ProfilerActivity, profile

from drc_lab.app.settings import Settings
from drc_lab.app.specs import PolicySpeedSpec
from drc_lab.app.start import start
from drc_lab.building import build
from drc_lab.errors import ConfigError
from drc_lab.models.flops import hoisted_flops
from drc_lab.models.policy import Policy
from drc_lab.process import machine_name
from drc_lab.speed.looking import LOOKING_COLUMNS, looking_rows
from drc_lab.speed.policy_memory import can_measure, peak_memory
from drc_lab.speed.policy_runs import (
    GRAPHS,
    LAYOUTS,
    PASSES,
    SAVING,
    Ours,
    convolutions,
    implementations,
)
from drc_lab.speed.timing import Run, report, rounded, timed

STEP, GRADIENT = "step", "gradient"
COLUMNS = ("what", "batch", *LAYOUTS, "ours", "ratio", "conv_share")
OPERATORS = 15  # rows of the profile


def main(settings: Settings, folder: Path) -> None:
    """Runs all measurements, prints the tables and writes policy_speed.csv, convolution.csv, policies.csv, looking.csv
    and profile.csv."""
    start(settings)
    spec = settings.policy_speed
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("policy_speed.device", spec.device, "cpu, or cuda where torch sees such a device")
    nets = implementations(spec)
    policies_by_name = dict(policies(spec))
    machine = machine_name(spec.device)
    caption = f"{machine}, {torch.get_num_threads()} torch threads, median of {spec.timings}"

    speeds, throughput = compare(nets, spec)
    rows = speed_rows(speeds, throughput, spec) + memory_rows(nets, spec)
    title = f"DRC({spec.num_layers}, {spec.repeats_per_step}), {spec.hidden_channels} channels, env-steps/s"
    report(title, COLUMNS, rows, folder / "policy_speed.csv", caption)
    rows = [(name, batch, rounded(flops / 1e9)) for (name, batch), flops in throughput.items()]
    report("The recurrent convolution alone", ("pass", "batch", "gflops"), rows, folder / "convolution.csv", caption)
    sizes = f"env-steps/s: a step of {spec.envs[0]} envs; a gradient of {spec.steps} steps of {spec.batches[0]}"
    columns = ("policy", "parameters", STEP, GRADIENT)
    report("Policies", columns, policy_rows(policies_by_name, spec), folder / "policies.csv", sizes)
    title = f"Looking inside, env-steps/s of {spec.envs[0]} envs"
    report(title, LOOKING_COLUMNS, looking_rows(nets["ours"], spec), folder / "looking.csv", caption)
    columns = ("operator", "calls", "milliseconds", "share")
    title = f"Forward and backward pass of {spec.steps} steps of {spec.batches[0]} envs"
    report(title, columns, profile_rows(nets["ours"], spec), folder / "profile.csv", "own time, one thread")


def compare(nets: dict[str, Ours], spec: PolicySpeedSpec) -> tuple[dict[Any, Any], dict[tuple[str, int], float]]:
    """Returns env-steps/s by (what, batch, implementation), and operations/s of the bare convolution by (pass, batch).

    All are timed in turns, so that a busy moment of the machine affects both sides of every ratio.
    """
    runs: dict[Any, Run] = {}
    for name, net in nets.items():
        runs |= {(GRADIENT, batch, name): net.learning(spec.steps, batch) for batch in spec.batches}
        if name != SAVING:  # a step without gradient keeps no activations, so that recomputing saves nothing
            runs |= {(STEP, envs, name): net.stepping(envs) for envs in spec.envs}
    alone = convolutions(spec)
    speeds = timed(runs | alone, spec.timings)
    return {key: speeds[key] for key in runs}, {key: speeds[key] for key in alone}


def speed_rows(
    speeds: dict[Any, Any], throughput: dict[tuple[str, int], float], spec: PolicySpeedSpec
) -> list[tuple[Any, ...]]:
    """Returns rows for each of the library's implementations: its speed, its ratio to the faster plain one, and the
    share of its time that the machine would need for the convolutions alone."""
    best = {name: max(flops for (of, _), flops in throughput.items() if of == name) for name in PASSES}
    seconds = {name: flops / best[name] for name, flops in hoisted_flops(spec.drc())._asdict().items()}
    least = {STEP: seconds["forward"], GRADIENT: sum(seconds.values())}
    rows = []
    for (what, batch, name), ours in speeds.items():
        if name not in LAYOUTS:
            naive = [speeds[what, batch, plain_one] for plain_one in LAYOUTS]
            figures = (*naive, ours, ours / max(naive), ours * least[what])
            rows.append((_row(what, name), batch, *map(rounded, figures)))
    return sorted(rows, key=lambda row: not row[0].startswith(STEP))


def memory_rows(names: Iterable[str], spec: PolicySpeedSpec) -> list[tuple[Any, ...]]:
    """Returns rows with the MB that a gradient adds at its peak, and the ratio to the plain one that takes less; no
    rows if that cannot be measured here."""
    rows: list[tuple[Any, ...]] = []
    for batch in spec.batches if can_measure(spec.device) else ():
        megabytes = {name: peak_memory(spec, name, batch) / 1e6 for name in names if GRAPHS not in name}
        naive = [megabytes.pop(name) for name in LAYOUTS]
        for name, ours in megabytes.items():
            rows.append((f"{_row(GRADIENT, name)} MB", batch, *map(rounded, (*naive, ours, ours / min(naive))), ""))
    return rows


def _row(what: str, name: str) -> str:
    return name if name == SAVING else what if name == "ours" else f"{what} {name}"


def policies(spec: PolicySpeedSpec) -> Iterator[tuple[str, Policy]]:
    """Yields name and policy for every file of the ``policy`` group that reads images, including those in the user's
    own config folder."""
    for name in GlobalHydra.instance().config_loader().get_group_options("policy"):
        node = hydra.compose("config", [f"policy={name}"]).policy
        try:
            policy = build(node, "policy", obs_shape=tuple(spec.obs_shape), num_actions=spec.num_actions)
        except ConfigError as error:
            if error.key != "policy.obs_shape":
                raise
            continue
        yield name, policy.to(spec.device)


def policy_rows(policies_by_name: dict[str, Policy], spec: PolicySpeedSpec) -> list[tuple[Any, ...]]:
    """Returns rows of name, number of parameters, and env-steps/s of a step and of a gradient."""
    nets = {name: Ours(policy, spec.obs_shape) for name, policy in policies_by_name.items()}
    runs = {(name, STEP): net.stepping(spec.envs[0]) for name, net in nets.items()}
    runs |= {(name, GRADIENT): s.learning(spec.steps, spec.batches[0]) for name, s in nets.items()}
    speeds = timed(runs, spec.timings)
    return [
        (name, sum(p.numel() for p in policy.parameters()), *(rounded(speeds[name, what]) for what in (STEP, GRADIENT)))
        for name, policy in policies_by_name.items()
    ]


def profile_rows(net: Ours, spec: PolicySpeedSpec) -> list[tuple[Any, ...]]:
    """Returns the operators of a forward and backward pass by their own time, longest first.

    It is measured on one thread, as the profiler does not see threads that a policy starts itself. Compiled loops and
    the Python code around them are counted under the autograd function that contains them (_Ticks, _TicksBackward).
    """
    run, threads = net.learning(spec.steps, spec.batches[0]), torch.get_num_threads()
    cuda = spec.device == "cuda"
    torch.set_num_threads(1)
    try:
        run()
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
            run()
    finally:
        torch.set_num_threads(threads)
    own_time = "self_device_time_total" if cuda else "self_cpu_time_total"
    times = sorted(((getattr(each, own_time), each.key, each.count) for each in profiler.key_averages()), reverse=True)
    total = sum(microseconds for microseconds, _, _ in times)
    return [
        (name, calls, rounded(microseconds / 1e3), rounded(microseconds / total))
        for microseconds, name, calls in times[:OPERATORS]
    ]
