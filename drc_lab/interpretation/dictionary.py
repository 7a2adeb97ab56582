"""A dictionary of features of single cells: a small top-k sparse autoencoder on the channel vectors of a state's cells
(Gao et al. 2024, arXiv 2406.04093)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.interpretation.pictures.galleries import board_picture, framed, show
from drc_lab.interpretation.probes.targets import Split, Target
from drc_lab.interpretation.recording import Recording
from drc_lab.progress import Advance, silent

STEPS, BATCH, RATE = 1500, 1024, 3e-3
TOLD = 100  # steps between two reports of progress
EXAMPLES = 5  # places listed for each feature, those that activate it most
SHOWN = 6  # features in a picture


@dataclass(frozen=True)
class Dictionary:
    """A top-k sparse autoencoder that approximates x by ``mean + features @ decoder``.

    Args:
        mean: float32 [C].
        encoder, decoder: float32 [C, F] and [F, C]; the decoder's rows have norm 1.
        bias: float32 [F].
        k: largest number of features that are active at a time.
    """

    mean: Tensor
    encoder: Tensor
    decoder: Tensor
    bias: Tensor
    k: int

    def features(self, x: Tensor) -> Tensor:
        """Encodes vectors [N, C] as features [N, F], 0 or more; all but the k largest are 0."""
        return _largest(torch.relu((x - self.mean) @ self.encoder + self.bias), self.k)

    def restored(self, features: Tensor) -> Tensor:
        """Decodes features [N, F] to vectors [N, C]."""
        return self.mean + features @ self.decoder


def _largest(x: Tensor, k: int) -> Tensor:
    values, at = x.topk(k, dim=1)
    return torch.zeros_like(x).scatter_(1, at, values)


def learn_dictionary(x: np.ndarray, features: int, k: int, seed: int = 0, advance: Advance = silent) -> Dictionary:
    """Learns a dictionary from vectors.

    Args:
        x: float32 [N, C].
        features: number of features, F.
        k: largest number of features that are active at a time.
        seed: of weights and batches.
        advance: called with 1 after every `TOLD` steps.
    """
    generator = torch.Generator().manual_seed(seed)
    data = torch.from_numpy(np.asarray(x, np.float32))
    mean, C = data.mean(0), data.shape[1]
    scale = (data - mean).norm(dim=1).mean().clamp(min=1e-6)
    decoder = torch.nn.functional.normalize(torch.randn(features, C, generator=generator), dim=1).requires_grad_()
    encoder = decoder.detach().t().clone().requires_grad_()
    bias = torch.zeros(features, requires_grad=True)
    optimizer = torch.optim.Adam([encoder, decoder, bias], lr=RATE)
    silent = torch.zeros(features)  # vectors since a feature was last active
    for step in range(STEPS):
        batch = (data[torch.randint(len(data), (BATCH,), generator=generator)] - mean) / scale
        dense = torch.relu(batch @ encoder + bias)
        active = _largest(dense, k)
        error = batch - active @ decoder
        loss = error.square().sum(1).mean()
        silent = torch.where(active.detach().sum(0) > 0, 0, silent + BATCH)
        if (dead := silent > 20 * BATCH).any():  # dead features learn to reconstruct the residual of the others
            spare = _largest(dense * dead, min(k, int(dead.sum())))
            loss = loss + (error.detach() - spare @ decoder).square().sum(1).mean() / 32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            decoder.copy_(torch.nn.functional.normalize(decoder, dim=1))
        if step % TOLD == TOLD - 1:
            advance(1)
    with torch.no_grad():
        return Dictionary(mean, encoder.clone(), decoder.clone(), bias * scale, k)


@torch.no_grad()
def dictionary_finding(
    recording: Recording,
    name: str,
    targets: Sequence[Target],
    split: Split,
    features: int,
    k: int,
    seed: int = 0,
    advance: Advance = silent,
    env: LevelVectorEnv | None = None,
) -> Finding:
    """Learns a dictionary of one recorded tensor on the training levels and describes its features on the test levels.

    Args:
        recording: of the policy.
        name: of a tensor [rows, C, H, W].
        targets: labels that features are compared with; only those of cells are used.
        split: of the rows into training and test levels.
        features, k, seed, advance: see `learn_dictionary`.
        env: of the game; its first board is overwritten to draw pictures. None for no pictures.
    """
    maps = recording.tensor(name).transpose(0, 2, 3, 1)  # (rows, H, W, C)
    with torch.enable_grad():
        learned = learn_dictionary(maps[split.train].reshape(-1, maps.shape[-1]), features, k, seed, advance)
    tested = torch.from_numpy(maps[split.test].reshape(-1, maps.shape[-1]))
    active = learned.features(tested)
    explained = 1 - (tested - learned.restored(active)).square().sum() / (tested - tested.mean(0)).square().sum()
    strength = active.numpy().reshape(*maps[split.test].shape[:3], -1)  # (rows, H, W, F)
    index = recording.index[split.test]
    on = strength > 0
    frequency = on.mean((0, 1, 2))
    rows = []
    excites: dict[int, list[tuple[int, int, int, int]]] = {}  # by feature: level, step, row and column
    for feature in np.argsort(-frequency):
        if frequency[feature] == 0:
            continue
        share, lift, label = _best_label(on[..., feature], targets, split.test)
        top = np.argsort(-strength[..., feature].ravel())[:EXAMPLES]
        found = [tuple(map(int, np.unravel_index(each, strength.shape[:3]))) for each in top.tolist()]
        places = [(int(index["level"].iat[row]), int(index["step"].iat[row]), y, x) for row, y, x in found]
        excites[int(feature)] = places
        where = "; ".join(f"level {level} step {step} cell {y},{x}" for level, step, y, x in places)
        rows.append(
            [
                int(feature),
                frequency[feature],
                strength[..., feature][on[..., feature]].mean(),
                label,
                share,
                lift,
                where,
            ]
        )
    columns = ["feature", "active", "strength", "says", "share", "lift", "most_at"]
    table = pd.DataFrame(rows, columns=columns)
    text = (
        f"A sparse autoencoder with {features} features on the cells of {name}, {k} active at a time at most, learned "
        f"on other levels than these: it explains {float(explained):.1%} of the variance with "
        f"{float(on.sum(-1).mean()):.1f} active features a cell; {int((frequency == 0).sum())} features are dead. "
        "active: share of cells; says: the class of a label that is most over-represented where the feature is "
        "active, share: of those cells, lift: times its share of all cells; most_at: where it is strongest. "
        f"The picture: the boards that excite most the {SHOWN} features with the largest lift."
    )
    draw = None
    if env is not None and len(table):
        most = table.sort_values("lift", ascending=False).head(SHOWN)
        episodes = {episode.level: episode for episode in recording.episodes}
        pictures = [
            [
                framed(board_picture(env, episodes[level], step), (y, x), recording.board)
                for level, step, y, x in excites[feature]
            ]
            for feature in most["feature"]
        ]
        names = [f"{row.feature}: {row.says or '?'}".replace("=", "=\n") for row in most.itertuples()]
        draw = lambda axis: show(axis, pictures, names)  # noqa: E731
    return Finding("dictionary", "What do its cells hold?", text, table, draw, in_terminal=False)


def _best_label(on: np.ndarray, targets: Sequence[Target], test: np.ndarray) -> tuple[float, float, str]:
    """Returns share, lift and name of the class that is most over-represented in the cells where a feature is active.

    Only classes that make up at least a tenth of these cells are considered.

    Args:
        on: bool [rows, H, W], where the feature is active in the test rows.
        targets: labels; those that are not of cells are skipped.
        test: bool [rows of the recording], which are the test rows.
    """
    best = (np.nan, 0.0, "")
    for target in targets:
        if not target.label.cells:
            continue
        truth = target.truth[test]
        known = truth >= 0
        for number, name in enumerate(target.label.classes):
            is_class = truth == number
            base = is_class[known].mean() if known.any() else 0
            here = is_class[known & on].mean() if (known & on).any() else 0
            if base > 0 and here >= 0.1 and here / base > best[1]:
                best = (float(here), float(here / base), f"{target.label.name}={name}")
    return best
