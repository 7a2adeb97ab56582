"""Random Sokoban levels for tests."""

import numpy as np

from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, FLOOR, PLAYER, PLAYER_ON_TARGET, TARGET, WALL, Level


def random_level(rng, height=10, width=10, boxes=4) -> Level:
    """Any content inside a closed border; nobody says that it can be solved."""
    tiles = np.full((height, width), WALL, np.uint8)
    inner = rng.choice([WALL, FLOOR], (height - 2) * (width - 2), p=[0.3, 0.7]).astype(np.uint8)
    places = rng.choice(len(inner), 2 * boxes + 1, replace=False)
    content = [BOX] * boxes + [TARGET] * boxes + [PLAYER]
    if boxes > 1 and rng.random() < 0.5:
        content[0], content[boxes] = BOX_ON_TARGET, FLOOR
    if rng.random() < 0.5:
        content[-1], content[-2] = PLAYER_ON_TARGET, FLOOR
    inner[places] = content
    tiles[1:-1, 1:-1] = inner.reshape(height - 2, width - 2)
    return Level(tiles)


def boxoban_text(levels) -> str:
    """As Boxoban's files are."""
    return "".join(f"; {number}\n{level}\n\n" for number, level in enumerate(levels))
