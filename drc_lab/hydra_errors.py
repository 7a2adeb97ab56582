"""Says errors of Hydra and OmegaConf about a config in one line each: the key, what was found, what is allowed.

Light to import.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from drc_lab.errors import ConfigError, UserError
from drc_lab.paths import CONF
from drc_lab.targets import taken


@contextmanager
def hydra_in_one_line(words: Sequence[str], folders: Sequence[Path]) -> Iterator[None]:
    """Turns errors of Hydra or OmegaConf about a config into one-line UserErrors within the context.

    Args:
        words, folders: see `one_line`.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error, words, folders)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override"):  # Hydra raises this for env=3, for example
            raise
        raise UserError(one_line(error, words, folders)) from error


def one_line(error: Exception, words: Sequence[str], folders: Sequence[Path]) -> str:
    """The message of an error of Hydra or OmegaConf in one line; its own where it is none of the common mistakes.

    Args:
        error: the error.
        words: the words of the command.
        folders: the folders of configs; ours is the last.
    """
    text = " ".join(str(error).split("Config search path")[0].split())
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    asked = [word for word in (one.replace("\\", "") for one in words) if "${" in word]  # a sweep's jobs have $\{
    if isinstance(error, InterpolationResolutionError) and asked:
        key, _, value = asked[0].partition("=")
        return f"{key}: found {value!r}, allowed: ${{KEY}} with a key that exists; {text.split(' full_key')[0]}"
    if isinstance(error, InterpolationKeyError) and (missing := re.match(r"Interpolation key '(.*?)'", text)):
        return f"{missing[1]}: found nothing, allowed: a value, as {error.full_key} refers to it"
    if append := re.search(r"No match in the defaults list\. To append .* use \+((.*?)=(.*))", text):
        return f"{append[2]}: found {append[3]!r} without +, allowed: +{append[1]}"
    if group := re.match(r"Multiple values for (\S+)\. To override a value use 'override \S+: (\S+)'", text):
        return f"{group[1]}: found + before a group that is there already, allowed: {group[1]}={group[2]}"
    if twice := re.match(r"Could not append to config\. An item is already at '(.*?)'\. .*: '(.*?)' Or add", text):
        return f"{twice[1]}: found + before a key that is there already, allowed: {twice[2]}"
    if text.startswith("Could not override '"):
        key, whole = text.split("'")[1], str(getattr(error.__cause__, "full_key", ""))
        return unknown_key(whole if whole.startswith(f"{key}.") else key, words, folders)  # inside of a dict
    if several := re.match(r"Ambiguous value for argument '(.*?)=(.*?)' 1\.", text):
        key, value = several.groups()
        return f"{key}: found {value!r}, allowed: one value, {key}=[{value}] for a list, or -m for a run with each"
    if "does not support sweep type" in text:
        sampled = [word for word in words if "interval(" in word]
        return f"-m: found {' '.join(sampled)!r}, allowed: values to try one by one, or hydra/sweeper=optuna"
    if unknown := re.match(r"In '.*?': Could not (?:load|find) '([\w/]+)/([^'/]*)'", text):
        listed = " | ".join(text.partition("Available options in ")[2].partition(": ")[2].split())
        return f"{unknown[1]}: found {unknown[2]!r}, allowed: {options(unknown[1], folders) or listed}"
    if text.startswith("Config group override"):
        for one in OverridesParser.create().parse_overrides(list(words)):
            if not one.key_or_group:
                return f"found {one.input_line!r}, allowed: KEY=VALUE"
            if not isinstance(one.value(), str | list) and (allowed := options(one.key_or_group, folders)):
                return f"{one.key_or_group}: found {str(one.input_line).partition('=')[2]!r}, allowed: {allowed}"
    if missing := re.match(r"Key '(\w+)' is not in struct full_key: (\S+)", text):
        return f"{missing[2]}: found nothing, allowed: {options(missing[1], folders) or 'a value, this task needs it'}"
    return text


def unknown_key(key: str, words: Sequence[str], folders: Sequence[Path]) -> str:
    """What is said about a key that the config does not have: the closest ones that it has, given the groups' options
    and the targets that the command chooses."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        groups = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
        choices = [word for word in words if word.split("=")[0].lstrip("+") in groups]
        said = OverridesParser.create().parse_overrides(choices)
        # A sweep over a group's options is left out, because a single config cannot have several of them.
        chosen = [str(one.input_line) for one in said if not one.is_sweep_override()]
        of_user = ",".join(f"'file://{folder}'" for folder in folders[:-1])
        config = hydra.compose("config", overrides=[*chosen, f"hydra.searchpath=[{of_user}]"])
        known = _keys(dict(OmegaConf.to_container(config, resolve=False)))  # type: ignore[arg-type]
    try:
        known = _with_own_targets(known, words)
    except ConfigError as error:  # a target does not exist
        return str(error)
    # Keys of the same group come first: another group may have a key of the very same name.
    same_group = [k for k in known if k.split(".")[0] == key.split(".")[0]]
    close = difflib.get_close_matches(key, same_group, 3) or difflib.get_close_matches(key, known, 3)
    close = close or [k for k in known if k.endswith(key.split(".")[-1])]
    hint = f"closest: {', '.join(close)}" if close else "see --help"
    return f"{key}: no such key; {hint} (a new key needs a leading +)"


def options(group: str, folders: Sequence[Path]) -> str:
    """The options of a config group, in words; "" if there is no such group."""
    return " | ".join(sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")}))


def unreadable(override: str) -> str:
    """What is said about a word of the command that Hydra's grammar refuses."""
    key, sign, value = override.partition("=")
    if not sign:
        return f"{key}: found no value, allowed: {key}=VALUE"
    return f"{key}: found {value!r}, which Hydra cannot read, allowed: a value, or text in quotes: \"{key}='...'\""


def _with_own_targets(known: list[str], arguments: Sequence[str]) -> list[str]:
    """The known keys, where those of a replaced target give way to those of the target that the command line names."""
    for argument in arguments:
        if override := re.fullmatch(r"\+*([\w.]+)\._target_=([^,]+)", argument):
            key, target = override.groups()
            names = taken(target, f"{key}._target_")
            if names is not None:
                known = [one for one in known if not one.startswith(f"{key}.")] + [f"{key}.{name}" for name in names]
    return known


def _keys(config: dict[Any, Any]) -> list[str]:
    keys = []
    for key, value in config.items():
        keys.append(str(key))
        if isinstance(value, dict):
            keys += [f"{key}.{inner}" for inner in _keys(value)]
    return keys
