"""Config keys that have a new name. The old names work for one release, with one line that says so. Light to import."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from drc_lab.errors import note

RENAMED = {"algo.rollouts.passes": "epochs"}  # old key -> new name in the same group


def renamed_words(words: Sequence[str]) -> list[str]:
    """The words of a command, with the new names of keys in place of the old ones."""
    new = []
    for word in words:
        key, sign, value = word.partition("=")
        old = key.lstrip("+")
        new.append(f"{_said(old)}={value}" if sign and old in RENAMED else word)
    return new


def rename_keys(config: DictConfig) -> None:
    """Gives the values of old keys, which the user's own config files may have, to the new ones, in place."""
    for old in RENAMED:
        group, name = old.rsplit(".", 1)
        node = OmegaConf.select(config, group)
        if OmegaConf.is_dict(node) and name in node:
            _said(old)
            with open_dict(node):
                node[RENAMED[old]] = node.pop(name)


def with_new_names(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    """The values of a group that an earlier version recorded, by the new names of its keys."""
    return {RENAMED.get(f"{group}.{name}", name): value for name, value in values.items()}


def _said(old: str) -> str:
    """Tells the user, once, that a key has a new name; returns the new key."""
    new = f"{old.rsplit('.', 1)[0]}.{RENAMED[old]}"
    note(f"{old} is called {new} now; the old name still works in this release")
    return new
