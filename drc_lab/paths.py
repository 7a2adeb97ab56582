"""Where files of the package lie."""

from pathlib import Path

# Inside the installed package; in a checkout conf/ lies beside it, where people edit it.
CONF = Path(__file__).parent / "conf"
CONF = CONF if CONF.is_dir() else Path(__file__).parent.parent / "conf"
