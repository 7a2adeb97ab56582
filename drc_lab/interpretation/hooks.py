"""Reading and replacing what a policy computes, by name.

    out, cache = run_with_cache(policy, obs, state, ["*.*.h", "value"])
    with hooks(policy, {"0.1.c": lambda c, point: c + shift}): ...

Names are ``layer.tick.what``, or ``what`` for what comes before and after the ticks, all counted from 0; ``*`` stands
for anything. The hook names of the published agents' PyTorch port
(``...cell_list.{layer}.hook_{what}.{step}.{tick}``) are understood, too. There the gate that multiplies the new content
is called j, and the content i: ours are i and g.
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

Hook = Callable[[Tensor, Point], Tensor | None]  # [B, ...] and where it is -> what takes its place; None leaves it
PORT = re.compile(r"(?:.*\.)?cell_list\.(\d+|\*)\.hook_([a-z]+)\.(\d+|\*)\.(\d+|\*)")
PORT_WHATS = {"h": "h", "c": "c", "i": "g", "j": "i", "f": "f", "o": "o"}


@dataclass(frozen=True)
class Wanted:
    """Which points a name means.

    Args:
        given: as the user wrote it.
        pattern: of our names.
        step: of the sequence, or None for all.
    """

    given: str
    pattern: str
    step: int | None = None

    @classmethod
    def read(cls, name: str) -> "Wanted":
        """A name of ours or of the PyTorch port."""
        port = PORT.fullmatch(name)
        if port is None or port[2] not in PORT_WHATS:
            return cls(name, name)
        layer, what, step, tick = port.groups()
        return cls(name, f"{layer}.{tick}.{PORT_WHATS[what]}", None if step == "*" else int(step))

    def means(self, point: Point) -> bool:
        return fnmatchcase(point.name, self.pattern) and self.step in (None, point.step)


_POINTS: WeakKeyDictionary[Policy, dict[int | None, list[Point]]] = WeakKeyDictionary()  # of policies, by ticks


def points_of(policy: Policy, repeats: int | None = None) -> list[Point]:
    """All that a step of the policy computes and names, in that order.

    Args:
        policy: any.
        repeats: ticks; None is the policy's own number.
    """
    ticks = getattr(policy, "repeats_per_step", None) if repeats is None else repeats
    known = _POINTS.setdefault(policy, {})
    if ticks not in known:
        known[ticks] = _points(policy, repeats)
    return known[ticks]


@torch.no_grad()
def _points(policy: Policy, repeats: int | None) -> list[Point]:
    found: list[Point] = []

    def note(point: Point, value: Tensor) -> Tensor:
        found.append(point)
        return value

    weight, before = next(policy.parameters()), policy.taps
    policy.taps = Taps(note)  # alone: hooks that are in place are not told of a board that nobody plays
    try:
        policy(torch.zeros(1, *policy.obs_shape, device=weight.device), repeats=repeats)
    finally:
        policy.taps = before
    return found


def last_states(policy: Policy, what: str) -> dict[int, str]:
    """The name of each layer's state (``h``, ``c``) after a step's last tick; {} of a policy that has none."""
    return {point.layer: point.name for point in points_of(policy) if point.what == what and point.layer is not None}


def read_names(
    policy: Policy, names: Sequence[str], repeats: int | None = None, key: str = "names"
) -> tuple[list[Wanted], list[Point]]:
    """What each name means, and all points that are meant, those of step 0.

    Raises:
        ConfigError: about ``key``: a name means none of the policy's.
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
    """Within, ``taps`` see what the policy computes, after those that do already."""
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
    """Within, each function sees the points that its name means, and may return something else in their place.

    The policy runs operation by operation meanwhile. Functions are called in the order of the mapping.

    Args:
        policy: any; its steps may be part of an evaluation or of a gradient.
        functions: by name.
        repeats: the most ticks that it will be run for, where these are more than its own.

    Raises:
        ConfigError: a name means nothing; or, when the policy runs, something of another shape was returned.
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
    """A step or a sequence, and what was computed on the way.

    Args:
        policy: any.
        obs: [B, ...], a step, or [T, B, ...].
        state: the carry before it; None starts an episode.
        names: of what is kept; None is all. Hidden and cell states alone come from the fused loop, at its speed.
        repeats: ticks of each step; None is the policy's own number.
        resets: bool [T, B] of a sequence: where an episode begins.

    Returns:
        what ``policy(obs, state)`` returns (of a sequence what `Policy.unroll` does), and the tensors by name, [B, ...]
        or [T, B, ...].

    Raises:
        ConfigError: a name means nothing.
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
            H, W = obs.shape[3:] if obs.ndim == 5 else (None, None)
            state = policy.init_state(obs.shape[1], H, W, obs.device, next(policy.parameters()).dtype)
        resets = torch.zeros(obs.shape[:2], dtype=torch.bool, device=obs.device) if resets is None else resets
        out = policy.unroll(obs, state, resets, repeats)
    return out, {name: torch.stack(values) for name, values in kept.items()}
