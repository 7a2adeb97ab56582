"""Pictures: size, what changes where, that things are told apart; the text form; the window."""

import itertools
import sys

import numpy as np
import pytest

from drc_lab.envs import render
from drc_lab.envs.render import COLOURS
from drc_lab.envs.ricochet.level import border, wall_bits
from drc_lab.envs.ricochet.render import picture as ricochet
from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, FLOOR, PLAYER, PLAYER_ON_TARGET, SYMBOLS, TARGET, WALL
from drc_lab.envs.sokoban.render import ansi
from drc_lab.envs.sokoban.render import picture as sokoban
from drc_lab.errors import ConfigError, UserError

SIZES = (8, 13, 32, 100)
H, W = 4, 5


WALLS = wall_bits(*border(H, W))


def board(robots=(7, 11), goal=13, target=0, cell_size=32, walls=WALLS):
    return ricochet(walls, np.array(robots), goal, target, cell_size)


def cell(picture, index, cell_size=32):
    r, c = divmod(index, W)
    return picture[r * cell_size : (r + 1) * cell_size, c * cell_size : (c + 1) * cell_size]


def changed(a, b, cell_size=32):
    """Indices of the cells in which two pictures differ."""
    pixels = (a != b).any(-1).reshape(H, cell_size, W, cell_size)
    return set(np.flatnonzero(pixels.any((1, 3))).tolist())


def clearly_different(a, b):
    """At least one pixel in twenty differs by a colour distance that nobody overlooks."""
    return (np.linalg.norm(a.astype(float) - b, axis=-1) > 60).mean() > 0.05


@pytest.mark.parametrize("cell_size", SIZES)
def test_pictures_have_the_size_asked_for(cell_size):
    tiles = np.arange(H * W).reshape(H, W).astype(np.uint8) % 7
    for shown in (board(cell_size=cell_size), sokoban(tiles, cell_size)):
        assert shown.shape == (H * cell_size, W * cell_size, 3) and shown.dtype == np.uint8
        shown[:] = 0  # a caller may draw into it
    assert board(cell_size=cell_size).any() and sokoban(tiles, cell_size).any()


@pytest.mark.parametrize("cell_size", [7, 129, 0])
def test_a_cell_size_that_cannot_be_drawn_is_refused(cell_size):
    for draw in (lambda: board(cell_size=cell_size), lambda: sokoban(np.zeros((2, 2), np.uint8), cell_size)):
        with pytest.raises(ConfigError, match=r"cell_size: found .* allowed: 8 to 128"):
            draw()


@pytest.mark.parametrize("cell_size", SIZES)
def test_each_sokoban_tile_is_drawn_in_its_cell_and_unlike_all_others(cell_size):
    empty = np.full((H, W), FLOOR, np.uint8)
    shown = {}
    for tile in (WALL, TARGET, BOX_ON_TARGET, BOX, PLAYER, PLAYER_ON_TARGET):
        tiles = empty.copy()
        tiles[2, 1] = tile
        shown[tile] = sokoban(tiles, cell_size)
        assert changed(shown[tile], sokoban(empty, cell_size), cell_size) == {11}
    for a, b in itertools.combinations([sokoban(empty, cell_size), *shown.values()], 2):
        assert clearly_different(cell(a, 11, cell_size), cell(b, 11, cell_size))


@pytest.mark.parametrize("cell_size", SIZES)
def test_robots_and_goal_change_their_cells_only(cell_size):
    shown = board(cell_size=cell_size)
    assert changed(shown, board(robots=(8, 11), cell_size=cell_size), cell_size) == {7, 8}
    assert changed(shown, board(goal=16, cell_size=cell_size), cell_size) == {13, 16}
    assert changed(shown, board(target=1, cell_size=cell_size), cell_size) == {7, 11, 13}
    assert changed(shown, board(robots=(7, -1), cell_size=cell_size), cell_size) == {11}


@pytest.mark.parametrize("cell_size", SIZES)
def test_whatever_can_be_in_a_cell_of_ricochet_is_told_apart(cell_size):
    """Nothing, goal, robots, target robot, and robots on the goal, for every pair."""
    states = [{"robots": (-1, -1), "goal": 0}, {"robots": (-1, -1), "goal": 7}]
    states += [{"robots": robots, "goal": goal} for robots in ((7, -1), (-1, 7)) for goal in (0, 7)]
    cells = [cell(board(cell_size=cell_size, **state), 7, cell_size) for state in states]
    cells.append(np.full_like(cells[0], render.INK))
    for a, b in itertools.combinations(cells, 2):
        assert clearly_different(a, b)


def test_the_goal_has_the_colour_of_its_robot():
    for target in range(4):
        shown = cell(ricochet(WALLS, np.arange(4), 13, target), 13).reshape(-1, 3)
        near = [(np.linalg.norm(shown - np.array(colour, float), axis=-1) < 1).sum() for colour in COLOURS[:4]]
        assert np.argmax(near) == target and near[target] > 50


@pytest.mark.parametrize("cell_size", SIZES)
@pytest.mark.parametrize("side", range(4))
def test_a_wall_is_dark_on_its_edge_and_nowhere_else(cell_size, side):
    """A wall between cell 7 and its neighbour: the whole edge is dark, nothing else in the picture changes."""
    r, c = divmod(7, W)
    dr, dc = ((-1, 0), (1, 0), (0, -1), (0, 1))[side]
    walled = WALLS.copy()
    walled[r, c] |= 1 << side
    walled[r + dr, c + dc] |= 1 << (side ^ 1)
    shown = board(robots=(-1,), goal=18, walls=walled, cell_size=cell_size)
    difference = (shown != board(robots=(-1,), goal=18, cell_size=cell_size)).any(-1)
    s = cell_size
    if side < 2:
        line, across = slice(c * s, (c + 1) * s), (r + (side == 1)) * s
        edge, dark = difference[:, line], shown[across - 1 : across + 1, line]
    else:
        line, across = slice(r * s, (r + 1) * s), (c + (side == 3)) * s
        edge, dark = difference[line].T, shown[line, across - 1 : across + 1]
    assert (dark == render.INK).all()
    thickness = np.flatnonzero(edge.any(1))
    assert thickness.min() >= across - max(1, s // 10) and thickness.max() < across + max(1, s // 10)
    assert difference.sum() <= len(thickness) * (s + len(thickness))  # the edge and its ends


@pytest.mark.parametrize("cell_size", SIZES)
@pytest.mark.parametrize("side", [1, 3])
def test_walls_that_meet_join_without_a_notch(cell_size, side):
    """Both ends of a wall are dark in all four cells that meet there, so whatever joins it leaves no gap."""
    walled = WALLS.copy()
    walled[1, 1] |= 1 << side
    walled[(2, 1) if side == 1 else (1, 2)] |= 1 << (side - 1)
    shown = board(robots=(-1,), goal=18, walls=walled, cell_size=cell_size)
    for y, x in ((2, 2), (2, 1) if side == 1 else (1, 2)):
        y, x = y * cell_size, x * cell_size
        assert (shown[y - 1 : y + 1, x - 1 : x + 1] == render.INK).all()


@pytest.mark.parametrize("cell_size", SIZES)
def test_the_border_is_closed_and_cells_outside_the_board_are_solid(cell_size):
    walled = WALLS.copy()
    walled[1, 2] = 15
    shown = board(robots=(-1,), goal=13, walls=walled, cell_size=cell_size)
    for line in (shown[0], shown[-1], shown[:, 0], shown[:, -1]):
        assert (line == render.INK).all()
    assert (cell(shown, 7, cell_size) == render.INK).all()
    assert (cell(shown, 12, cell_size)[cell_size // 2, cell_size // 2] != render.INK).all()


def test_a_state_looks_the_same_at_all_sizes():
    """A picture three times as large, averaged over 3 x 3 pixels, is the smaller one."""
    tiles = np.arange(H * W).reshape(H, W).astype(np.uint8) % 7
    for draw in (lambda s: board(robots=(7, 11, 13), cell_size=s), lambda s: sokoban(tiles, s)):
        small, large = draw(32), draw(96).reshape(H * 32, 3, W * 32, 3, 3).mean((1, 3))
        difference = np.abs(small - large).reshape(H, 32, W, 32, 3)
        assert difference.mean((1, 3, 4)).max() < 3  # in every cell


def test_26_robots_have_26_colours_and_the_first_seven_stay_apart_for_the_colour_blind():
    """Colour vision deficiencies after Machado et al. 2009 (protan, deutan), in linear RGB."""
    protan = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    deutan = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    linear = (np.array(COLOURS) / 255) ** 2.2
    for vision, count, least in ((np.eye(3), 26, 40), (protan, 7, 40), (deutan, 7, 40)):
        seen = 255 * (linear @ np.transpose(vision)).clip(0, 1) ** (1 / 2.2)
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen[:count], 2)) > least
    assert len(COLOURS) == 26


def test_sokoban_as_text_is_its_symbols():
    tiles = np.array([[WALL, FLOOR, TARGET, BOX_ON_TARGET], [BOX, PLAYER, PLAYER_ON_TARGET, WALL]], np.uint8)
    assert ansi(tiles) == "# .*\n$@+#" and set(ansi(tiles)) == {*SYMBOLS, "\n"}


@pytest.fixture
def window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pytest.importorskip("pygame")
    opened = render.Window(fps=1000)
    yield opened
    opened.close()


def test_the_window_shows_the_picture(window):
    import pygame

    for cell_size in (16, 32):  # it follows the picture's size
        shown = board(cell_size=cell_size)
        window.show(shown)
        on_screen = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
        np.testing.assert_array_equal(on_screen, shown)


def test_the_window_hands_on_each_key_and_can_be_closed_by_hand(window):
    import pygame

    window.show(board())
    for key, text in ((pygame.K_UP, ""), (pygame.K_LSHIFT, ""), (pygame.K_a, "A")):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=text, mod=0, scancode=0))
    assert (window.key(), window.key()) == ("up", "A") and window.is_open
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.show(board())
    assert not window.is_open and window.key() == ""
    window.show(board())  # nothing happens
    window.close()


def test_without_pygame_the_window_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UserError, match=r"^pygame is not installed, .*: pip install 'drc-lab\[play\]'$"):
        render.Window()


def test_without_a_screen_the_window_says_so(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "no such driver")
    pytest.importorskip("pygame")
    with pytest.raises(UserError, match=r"^no window can be opened here"):
        render.Window()
