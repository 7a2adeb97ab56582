"""Writes docs/config.md from the comments in conf/: python tools/config_docs.py"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONF, PAGE = ROOT / "conf", ROOT / "docs/config.md"
FULLEST = ("default", "impala", "drc", "ricochet", "sokoban", "mlflow", "generated")  # come first in their groups
LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?P<value>(?:\s+[^#\n]*)?)(?:#\s*(?P<comment>.*))?$")
INTRO = """# Config

Every key, from the comments in [conf](../conf), which `python tools/config_docs.py` collects here. `key=value`
overrides a key, `group=file` chooses a file of a group, `python -m drc_lab --help` shows the config that comes of it.
A key that several files of a group have is explained with the first of them.
"""


def entries(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """What a file says of itself, and of each of its keys: dotted key, value, comment ("" where there is none)."""
    about: list[str] = []
    found: list[tuple[str, str, str]] = []
    block: list[str] = []  # comment lines above a key
    parents: list[tuple[int, str]] = []
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("#"):
            (block if found or parents else about).append(line.strip("# "))
            continue
        match = LINE.match(line)
        if match is None:
            block = []
            continue
        if match["key"] == "hydra":  # its own docs explain it
            break
        indent = len(match["indent"])
        parents = [parent for parent in parents if parent[0] < indent]
        key = ".".join([name for _, name in parents] + [match["key"]])
        comment = " ".join([*block, match["comment"] or ""]).strip()
        block = []
        value = match["value"].strip()
        if not value or value.endswith(("{", "[")):
            parents.append((indent, match["key"]))
        if match["key"] not in ("defaults", "_target_", "_partial_") and (value or comment):
            found.append((key, value.rstrip(" {["), comment))
    return " ".join(line for line in about if not line.startswith("@")), found


def page() -> str:
    """The whole of docs/config.md."""
    lines = [INTRO]
    _, top = entries(CONF / "config.yaml")
    lines += ["## Top level\n", *table(top), ""]
    for group in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "experiment"):
        lines.append(f"## {group.name}\n")
        files = sorted(group.glob("*.yaml"), key=lambda path: (path.stem not in FULLEST, path.stem))
        known: dict[str, str] = {}
        for base in sorted(group.glob("base/*.yaml")):  # what files of the group begin with
            about, found = entries(base)
            known |= {key: comment for key, _, comment in found}
            users = [f"`{path.stem}`" for path in files if f"base/{base.stem}@" in path.read_text()]
            lines += [f"In {', '.join(users)}: {about}\n", *table(found), ""]
        for path in files:
            about, found = entries(path)
            new = [one for one in found if one[0] not in known]
            known |= {key: comment for key, _, comment in found}
            name = f"{'+' * (group.name == 'debug')}{group.name}={path.stem}"
            lines += [f"`{name}`: {about}\n", *(table(new) if new else []), ""]
    lines.append("## experiment\n")
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        about, _ = entries(path)
        lines.append(f"- `+experiment={path.stem}`: {re.sub(r' *python -m drc_lab.*', '', about)}")
    return "\n".join(lines).rstrip() + "\n"


def table(found: list[tuple[str, str, str]]) -> list[str]:
    """Markdown, a row for each key."""
    rows = [
        f"| `{key}` | {f'`{value}`' if value else ''} | {comment.replace('|', chr(92) + '|')} |"
        for key, value, comment in found
    ]
    return ["| key | default | |", "|---|---|---|", *rows]


if __name__ == "__main__":
    PAGE.write_text(page())
