"""Galleries show the right board, channel and cell."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from drc_lab.envs.sokoban import SokobanVectorEnv
from drc_lab.interpretation.pictures.galleries import (
    CELL,
    FRAME,
    GAP,
    board_picture,
    channel_gallery,
    framed,
    heat,
    mosaic,
)
from drc_lab.interpretation.recording import DECIDES, Recording


def test_a_map_lies_over_the_cells_that_the_policy_sees():
    """A 2x3 map of a 4x5 board: the ring around it is white; above 0 is red, below blue."""
    picture = heat(np.array([[1.0, 0, -0.5], [0, 0, 2]]), (4 * CELL, 5 * CELL))
    middles = picture[CELL // 2 :: CELL, CELL // 2 :: CELL].astype(int)
    assert middles.shape == (4, 5, 3)
    assert middles[1, 1].tolist() == [255, 0, 0] and middles[1, 3].tolist() == [127, 127, 255]
    assert middles[2, 3].tolist() == [255, 0, 0]  # no redder than red
    middles[1, 1] = middles[1, 3] = middles[2, 3] = 255
    assert (middles == 255).all()


def test_a_frame_is_around_its_cell_alone():
    board = np.zeros((5 * CELL, 5 * CELL, 3), np.uint8)
    inside = framed(board, (0, 2), (3, 3))  # of maps without the border: row 1 and column 3 of the board
    rows, columns = np.nonzero((inside == FRAME).all(-1))
    assert (rows.min(), rows.max()) == (CELL, 2 * CELL - 1) and (columns.min(), columns.max()) == (
        3 * CELL,
        4 * CELL - 1,
    )
    assert not inside[CELL + 5, 3 * CELL + 5].any() and not board.any()


def test_rows_of_a_mosaic_may_be_shorter():
    small = np.zeros((4, 6, 3), np.uint8)
    whole = mosaic([[small, small], [small]])
    assert whole.shape == (8 + GAP, 12 + GAP, 3)
    assert not whole[-1, 5].any() and (whole[-1, 6:] == 255).all() and (whole[4 : 4 + GAP] == 255).all()


def test_the_channels_that_are_read_most_are_shown_on_the_episodes_steps():
    env = SokobanVectorEnv(num_envs=1, height=7, width=7, num_boxes=1, max_steps=8, autoreset=False, crop_border=True)
    env.reset(seed=0)
    steps, state = 3, []
    for _ in range(steps + 1):
        state.append(env.batch.get_state())
        env.step(np.array([0]))
    boards = {f"boards.{name}": np.concatenate([each[name] for each in state]) for name in env.batch.STATE}
    maps = np.zeros((steps, 12, 5, 5), np.float32)
    maps[1, 7, 2, 3], maps[2, 7, 2, 3] = 4, -2
    index = pd.DataFrame(
        {"level": 5, "step": np.arange(steps), "thought": DECIDES, "action": 0, "waits": False, "solved": True}
    )
    tensors = {"0.0.c": maps, "returns": np.zeros(steps + 1), **boards}
    recording = Recording(index, tensors, {"height": 7, "width": 7})
    weights = np.where(np.arange(12) == 7, 2.0, 1.0)
    finding = channel_gallery(recording, env, "0.0.c", weights, 5, "direction")
    assert finding.table["channel"].iloc[0] == 7 and len(finding.table) == 8
    assert "steps 1, 2, 3 of level 5" in finding.text
    axis = Figure().add_subplot()
    finding.draw(axis)
    whole = np.asarray(axis.get_images()[0].get_array())
    H = 7 * CELL
    episode = recording.episodes[0]
    for step in range(steps):
        left = step * (H + GAP)
        assert np.array_equal(whole[:H, left : left + H], board_picture(env, episode, step))
    first = whole[H + GAP : 2 * H + GAP]  # of channel 7; cell 2,3 of the maps is 3,4 of the board
    at = [first[3 * CELL + 5, step * (H + GAP) + 4 * CELL + 5].tolist() for step in range(steps)]
    assert at == [[255, 255, 255], [255, 0, 0], [127, 127, 255]]
