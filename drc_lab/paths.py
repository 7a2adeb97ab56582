"""Paths of files that belong to the package."""

from pathlib import Path

PACKAGE = Path(__file__).parent
AGENTS = PACKAGE / "agents"  # trained agents, each a NAME.ckpt beside its model card NAME.md

# The installed package contains conf/; in a checkout it is beside the package, where it is easier to edit.
CONF = PACKAGE / "conf"
CONF = CONF if CONF.is_dir() else PACKAGE.parent / "conf"
