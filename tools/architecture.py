"""Draws docs/architecture.svg, the packages of drc_lab and their imports of each other: python tools/architecture.py"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, PICTURE = ROOT / "drc_lab", ROOT / "docs/architecture.svg"
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 44, 40, 90, 24  # of a box, between boxes, around all
STYLE = """<style>
  text { font: 16px sans-serif; fill: #1b2733; text-anchor: middle; dominant-baseline: central; }
  rect.box { fill: #e8f0f8; stroke: #33618f; stroke-width: 1.5; }
  path { fill: none; stroke: #33618f; stroke-width: 1.6; marker-end: url(#tip); }
  path.implied { stroke: #c3ced9; stroke-width: 1.1; marker-end: url(#pale); }
</style>
<defs>
  <marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse"
    orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#33618f;stroke:none;marker-end:none"/></marker>
  <marker id="pale" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse"
    orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#c3ced9;stroke:none;marker-end:none"/></marker>
</defs>"""


def imported(path: Path) -> set[str]:
    """The modules of this package that a file names in its imports, wherever in it they stand."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith(f"{PACKAGE.name}.")}


def imports() -> dict[str, set[str]]:
    """Each package, and the others that it imports. Modules that lie beside the packages are left out."""
    packages = {path.parent.name: path.parent for path in PACKAGE.glob("*/__init__.py")}
    found = {}
    for name, folder in sorted(packages.items()):
        named = {module.split(".")[1] for path in sorted(folder.rglob("*.py")) for module in imported(path)}
        found[name] = (named & packages.keys()) - {name}
    return found


def layers(graph: dict[str, set[str]]) -> list[list[str]]:
    """Packages by how many others stand under them in a chain, the topmost first.

    Raises:
        graphlib.CycleError: packages import each other in a circle.
    """
    level: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        level[name] = 1 + max((level[other] for other in graph[name]), default=-1)
    return [sorted(name for name in graph if level[name] == n) for n in range(max(level.values()), -1, -1)]


def beneath(graph: dict[str, set[str]], name: str) -> set[str]:
    """All that a package imports, and what these import."""
    return graph[name].union(*(beneath(graph, other) for other in graph[name]))


def picture() -> str:
    """The whole of docs/architecture.svg. Pale arrows are those that others imply."""
    graph = imports()
    rows = layers(graph)
    width = 2 * MARGIN + max(len(row) * (WIDTH + GAP_X) - GAP_X for row in rows)
    height = 2 * MARGIN + len(rows) * (HEIGHT + GAP_Y) - GAP_Y
    place = {}  # the middle of each box's upper edge
    for i, row in enumerate(rows):
        for k, name in enumerate(row):
            x = width / 2 + (k - (len(row) - 1) / 2) * (WIDTH + GAP_X)
            place[name] = (x, MARGIN + i * (HEIGHT + GAP_Y))
    pale, dark = [], []
    for name, others in graph.items():
        for other in sorted(others):
            implied = any(other in beneath(graph, between) for between in others)
            (x, y), (end_x, end_y) = place[name], place[other]
            y, middle = y + HEIGHT, (y + HEIGHT + end_y) / 2
            curve = f'd="M{x:g} {y:g}C{x:g} {middle:g} {end_x:g} {middle:g} {end_x:g} {end_y:g}"/>'
            (pale if implied else dark).append("<path " + 'class="implied" ' * implied + curve)
    boxes = [
        f'<rect class="box" x="{x - WIDTH / 2:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x:g}" y="{y + HEIGHT / 2:g}">{name}</text>'
        for name, (x, y) in place.items()
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">'
    back = f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>'
    return "\n".join([head, STYLE, back, *pale, *dark, *boxes, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture())
