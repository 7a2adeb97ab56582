"""Passwords and tokens in URIs are neither written nor printed. Light to import.

What the command line gives is moved to an environment variable, from where Hydra reads it; in all other texts ``***``
stands for it.
"""

import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"
VARIABLE = "DRC_LAB_PASSWORD"  # environment variable; further ones end in _2, _3 ...
SECRETS = (  # the second of three groups is the secret; ${...}, which only names one, is not
    re.compile(r'(://[^/\s:@"$]*:)(?!\$\{|\*)([^/\s"?#]+)(@)'),  # ://user:password@
    re.compile(r'(https?://)(?!\$\{|\*)([^/\s:@"?#]+)(@)'),  # http://token@: without a password it is not just a name
    re.compile(r"""([?&][\w.-]*(?:pass|pwd|token|secret|key|cred|sig)[\w.-]*=)(?!\$\{|\*)([^&\s'"]+)()""", re.I),
)


def hidden(text: str) -> str:
    """A text with ``***`` in place of the passwords and tokens in its URIs."""
    if "://" in text:
        for pattern in SECRETS:
            text = pattern.sub(rf"\1{HIDDEN}\3", text)
    return text


def hidden_in(values: Any) -> Any:
    """Nested mappings and lists with `hidden` texts, as plain dicts and lists."""
    if isinstance(values, Mapping):
        return {key: hidden_in(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [hidden_in(value) for value in values]
    return hidden(values) if isinstance(values, str) else values


def moved_to_environment(words: Sequence[str]) -> list[str]:
    """The words of a command with ``${oc.env:DRC_LAB_PASSWORD}`` in place of each secret, which that variable gets.

    So neither what Hydra writes nor the commands of other processes have it, while the config has it.
    """

    def move(match: re.Match[str]) -> str:
        secret = re.sub(r"\\(.)", r"\1", match[2])  # escaped for Hydra's grammar
        for number in itertools.count(1):
            name = VARIABLE if number == 1 else f"{VARIABLE}_{number}"
            if os.environ.setdefault(name, secret) == secret:
                return f"{match[1]}${{oc.env:{name}}}{match[3]}"
        raise AssertionError

    moved = []
    for word in words:
        for pattern in SECRETS if "://" in word else ():
            word = pattern.sub(move, word)
        moved.append(word)
    return moved


def leave_process_list() -> None:
    """Starts this process again without the secrets in its command, which all users of the machine can list."""
    words = moved_to_environment(sys.orig_argv)
    if words != sys.orig_argv:
        os.execv(sys.executable, words)


def without_hidden(uri: str) -> str:
    """A URI without the credentials that were `hidden` in it: libraries then look for them in their own places, such as
    PGPASSWORD and ~/.pgpass, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""
    uri = re.sub(r"(?<=http://)[^/@]*\*\*\*@|(?<=https://)[^/@]*\*\*\*@|:\*\*\*(?=@)", "", uri)
    return re.sub(r"(?<=[?&])[\w.-]+=\*\*\*&?", "", uri).rstrip("?&")
