"""Where files of the package lie."""

from pathlib import Path

PACKAGE = Path(__file__).parent
AGENTS = PACKAGE / "agents"  # trained agents, each a NAME.ckpt beside its model card NAME.md

# Inside the installed package; in a checkout conf/ lies beside it, where people edit it.
CONF = PACKAGE / "conf"
CONF = CONF if CONF.is_dir() else PACKAGE.parent / "conf"
