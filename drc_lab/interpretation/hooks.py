"""Reading and replacing what a policy computes, by name.

    out, cache = run_with_cache(policy, obs, state, ["*.*.h", "value"])
    with hooks(policy, {"0.1.c": lambda c, point: c + shift}): ...

A name is ``layer.tick.what``, or only ``what`` for tensors before and after the ticks. Layers and ticks count from 0;
``*`` matches anything. The hook names of the published agents' PyTorch port
(``...cell_list.{layer}.hook_{what}.{step}.{tick}``) work too. That port calls the input gate j and the new content that
it multiplies i; here they are i and g.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from drc_lab.errors import ConfigError
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.models.taps import Point, Taps

Hook = Callable[[Tensor, Point], Tensor | None]  # tensor [B, ...] and its point -> its replacement, or None to leave it
PORT = re.compile(r"(?:.*\.)?cell_list\.(\d+|\*)\.hook_([a-z]+)\.(\d+|\*)\.(\d+|\*)")
PORT_WHATS = {"h": "h", "c": "c", "i": "g", "j": "i", "f": "f", "o": "o"}


@dataclass(frozen=True)
class Wanted:
    """The points that a name selects.

    Args:
        given: the name as the user wrote it.
        pattern: the same in the notation of this module, to match the names of points.
        step: the only step of a sequence that is selected; None selects all.
    """

    given: str
    pattern: str
    step: int | None = None

    @classmethod
    def read(cls, name: str) -> "Wanted":
        """Parses a name in the notation of this module or of the PyTorch port."""
        port = PORT.fullmatch(name)
        if port is None or port[2] not in PORT_WHATS:
            return cls(name, name)
        layer, what, step, tick = port.groups()
        return cls(name, f"{layer}.{tick}.{PORT_WHATS[what]}", None if step == "*" else int(step))

    def means(self, point: Point) -> bool:
        return fnmatchcase(point.name, self.pattern) and self.step in (None, point.step)


_POINTS: WeakKeyDictionary[Policy, dict[int | None, list[Point]]] = WeakKeyDictionary()  # by policy, then ticks


def points_of(policy: Policy, repeats: int | None = None) -> list[Point]:
    """Lists the named points of one step of a policy, in the order in which they are computed.

    Args:
        policy: any.
        repeats: number of ticks; None is the policy's own.
    """
    ticks = getattr(policy, "repeats_per_step", None) if repeats is None else repeats
    known = _POINTS.setdefault(policy, {})
    if ticks not in known:
        known[ticks] = _points(policy, repeats)
    return known[ticks]


@torch.no_grad()
def _points(policy: Policy, repeats: int | None) -> list[Point]:
    points: list[Point] = []

    def note(point: Point, value: Tensor) -> Tensor:
        points.append(point)
        return value

    weight, before = next(policy.parameters()), policy.taps
    policy.taps = Taps(note)  # replaces active taps: they must not see this dummy observation
    try:
        policy(torch.zeros(1, *policy.obs_shape, device=weight.device), repeats=repeats)
    finally:
        policy.taps = before
    return points


def last_states(policy: Policy, what: str) -> dict[int, str]:
    """Returns by layer the name of its state ``what`` (``h``, ``c``) after a step's last tick; {} if there is none."""
    return {point.layer: point.name for point in points_of(policy) if point.what == what and point.layer is not None}


def read_names(
    policy: Policy, names: Sequence[str], repeats: int | None = None, key: str = "names"
) -> tuple[list[Wanted], list[Point]]:
    """Parses names; returns what each one selects, and all selected points of a single step.

    Raises:
        ConfigError: about ``key``: a name selects no point of the policy.
    """
    points, wanted = points_of(policy, repeats), [Wanted.read(name) for name in names]
    for each in wanted:
        if not any(fnmatchcase(point.name, each.pattern) for point in points):
            raise ConfigError(key, each.given, _allowed(points))
    return wanted, [point for point in points if any(fnmatchcase(point.name, each.pattern) for each in wanted)]


def _allowed(points: Sequence[Point]) -> str:
    around = " | ".join(dict.fromkeys(point.what for point in points if point.layer is None))
    inner = [point for point in points if point.layer is not None]
    if not inner:
        return f"{around}; this policy has no ticks" if around else "none: this policy names nothing that it computes"
    layers, ticks = (
        1 + max(int(number or 0) for number in numbers) for numbers in zip(*(p[1:3] for p in inner), strict=True)
    )
    whats = ", ".join(dict.fromkeys(point.what for point in inner))
    return f"{around} | LAYER.TICK.WHAT with layers 0 to {layers - 1}, ticks 0 to {ticks - 1}, and of what {whats}"


@contextmanager
def tapping(policy: Policy, taps: Taps) -> Iterator[None]:
    """Activates ``taps`` on the policy within this context. Taps that are active already run first."""
    before = policy.taps
    if before is not None:
        first, then = before.on, taps.on
        only = None if before.only_reads is None or taps.only_reads is None else before.only_reads | taps.only_reads
        taps = Taps(lambda point, value: then(point, first(point, value)), only)
    policy.taps = taps
    try:
        yield
    finally:
        policy.taps = before


@contextmanager
def hooks(policy: Policy, functions: Mapping[str, Hook], repeats: int | None = None) -> Iterator[None]:
    """Calls each function on the tensors that its name selects within this context, and uses what it returns instead.

    Meanwhile the policy runs operation by operation, not in its fused loop, which is slower. Functions are called in
    the order of the mapping.

    Args:
        policy: any; it may be evaluated or differentiated.
        functions: by name.
        repeats: largest number of ticks that it will be run for, if more than its own; names may refer to these ticks.

    Raises:
        ConfigError: a name selects nothing; or, while the policy runs, a function returned a tensor of another shape.
    """
    wanted = list(zip(read_names(policy, list(functions), repeats)[0], functions.values(), strict=True))

    def on(point: Point, value: Tensor) -> Tensor:
        for each, function in wanted:
            if each.means(point):
                new = function(value, point)
                if new is not None and new.shape != value.shape:
                    raise ConfigError(each.given, tuple(new.shape), f"a tensor {tuple(value.shape)} in its place")
                value = value if new is None else new
        return value

    with tapping(policy, Taps(on)):
        yield


def run_with_cache(
    policy: Policy,
    obs: Tensor,
    state: Any = None,
    names: Sequence[str] | None = None,
    repeats: int | None = None,
    resets: Tensor | None = None,
) -> tuple[tuple[PolicyValue, Any], dict[str, Tensor]]:
    """Runs the policy on a step or a sequence; returns its outputs and the intermediate tensors.

    Args:
        policy: any.
        obs: [B, ...] for a step, [T, B, ...] for a sequence.
        state: the carry before it; None starts an episode.
        names: of the tensors to keep; None keeps all. If they are only hidden and cell states, the policy still runs
            its fused loop, at full speed.
        repeats: ticks of each step; None is the policy's own number.
        resets: bool [T, B] for a sequence: where an episode begins; None is nowhere.

    Returns:
        what ``policy(obs, state)`` returns (for a sequence, what `Policy.unroll` returns), and the tensors by name,
        [B, ...] or [T, B, ...].

    Raises:
        ConfigError: a name selects nothing.
    """
    wanted, points = read_names(policy, list(names) if names is not None else [], repeats)
    sequence = obs.ndim == len(policy.obs_shape) + 2
    kept: dict[str, list[Tensor]] = {}

    def keep(point: Point, value: Tensor) -> Tensor:
        if names is None or any(each.means(point) for each in wanted):
            kept.setdefault(point.name, []).append(value)
        return value

    with tapping(policy, Taps(keep, frozenset(point.what for point in points) if names is not None else None)):
        if not sequence:
            return policy(obs, state, repeats), {name: values[0] for name, values in kept.items()}
        if state is None:
            state = policy.initial_carry(obs[0])
        resets = torch.zeros(obs.shape[:2], dtype=torch.bool, device=obs.device) if resets is None else resets
        out = policy.unroll(obs, state, resets, repeats)
    return out, {name: torch.stack(values) for name, values in kept.items()}
