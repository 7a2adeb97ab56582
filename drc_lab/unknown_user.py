"""Users that the system does not know, as with ``docker run --user 12345``. Light to import."""

import getpass
import os


def name_unknown_user() -> None:
    """Gives a user without a name or home those that libraries ask for: MLflow cannot be imported without a home, and
    warns of a missing name.

    The home is the root folder, which is what containers give such users, and the name is the number.
    """
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = os.sep
    try:
        getpass.getuser()
    except (ImportError, KeyError, OSError):  # OSError from Python 3.13 on
        os.environ["LOGNAME"] = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
