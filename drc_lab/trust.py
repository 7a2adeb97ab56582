"""Which policies and envs a config that comes with a file may name.

A file is data, but its config names a class and an env, and whoever builds them imports their modules, which runs the
code of these. What the command itself names may run; what only a file names may not, unless it is part of this package
or the user trusts its module. Light to import.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from drc_lab.arguments import join, plain
from drc_lab.errors import ConfigError
from drc_lab.targets import TARGET, locate
from drc_lab.untrusted import as_mapping

OWN_POLICIES = "drc_lab.models."


@dataclass(frozen=True)
class Trust:
    """What configs in files may name besides the policies of drc_lab and the envs that Gymnasium knows.

    Args:
        modules: their classes and envs may be named, and those of their submodules.
        names: import paths and env ids that may be named, word by word.
    """

    modules: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def __contains__(self, module: object) -> bool:
        """Whether a module, or one that it is a part of, is trusted."""
        parts = str(module).split(".")
        return any(".".join(parts[:length]) in self.modules for length in range(1, len(parts) + 1))


def trusted(modules: Any, key: str = "trust") -> Trust:
    """Trust in modules that the user lists.

    Raises:
        ConfigError: about ``key``: not a list of names of modules.
    """
    listed = list(modules) if isinstance(modules, Sequence) and not isinstance(modules, str) else [modules]
    if not all(isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in listed):
        raise ConfigError(key, modules, "names of modules, as in trust=[mine]")
    return Trust(frozenset(listed))


def trusted_by(config: DictConfig) -> Trust:
    """What a command trusts: the modules in ``trust``, and the classes and env ids that its own config names."""
    policy = plain(config.policy) if OmegaConf.is_dict(config.get("policy")) else {}
    named = {str(name) for _, name in _targets(policy, "policy")}
    envs = (OmegaConf.select(config, key) for key in ("env.id", "evaluation.env.id"))
    return Trust(trusted(config.get("trust") or []).modules, frozenset(named | {str(name) for name in envs if name}))


def check_config(config: Mapping[str, Any], trust: Trust) -> None:
    """Checks the config of a file, plain and not yet an OmegaConf, before anything is built from it.

    Raises:
        ConfigError: it names a policy or an env that is not trusted, or refers to anything outside of it (``${...}``).
        UserError: it is no config.
    """
    _check_text(config, "")
    for group in ("env", "policy"):
        as_mapping(config.get(group), group)
    _check_env(config["env"].get("id"), "env.id", trust)
    changed = as_mapping(config.get("evaluation", {}), "evaluation").get("env")
    if isinstance(changed, Mapping) and "id" in changed:
        _check_env(changed["id"], "evaluation.env.id", trust)
    _check_policy(config["policy"], trust)
    for key, kind, allowed in (("seed", int, "a whole number"), ("folder", str, "the name of a folder")):
        if config.get(key) is not None and type(config[key]) is not kind:
            raise ConfigError(key, config[key], allowed)


def _check_env(env_id: Any, key: str, trust: Trust) -> None:
    module, _, name = str(env_id).rpartition(":")
    if not isinstance(env_id, str) or not name:
        raise ConfigError(key, env_id, "the id of an env")
    if module and env_id not in trust.names and module not in trust:
        raise ConfigError(key, env_id, f"an env that needs no import; {_advice(module)}")


def _check_policy(policy: Mapping[str, Any], trust: Trust) -> None:
    from drc_lab.specs import SPECS  # it imports the specs of everything

    key = f"policy.{TARGET}"
    target = policy.get(TARGET)
    shipped = {name for name in SPECS if name.startswith(OWN_POLICIES)}
    if not isinstance(target, str):
        raise ConfigError(key, target, "the import path of a policy")
    if target in shipped:
        # Hydra would follow these keys, and what they name, wherever they stand among the arguments.
        for at, name in _keys(policy, "policy"):
            if name.startswith("_") and at != key:
                raise ConfigError(at, "a key of Hydra", f"arguments of {target}")
        return
    for at, name in _targets(policy, "policy"):
        if name not in trust.names and name not in shipped:
            module = str(name).rpartition(".")[0]
            if not module or module not in trust:
                raise ConfigError(at, name, f"a policy of drc_lab; {_advice(module or 'MODULE')}")
            # ``mine.subprocess.run`` is no function of mine
            place = getattr(locate(name, at), "__module__", None)
            if place not in trust:
                raise ConfigError(at, name, f"what trusted modules define themselves; {_advice(str(place))}")


def _advice(module: str) -> str:
    return f"trust=[{module}] lets files name what is in {module}, whose code then runs"


def _targets(node: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Keys and values of all ``_target_`` in a node."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == TARGET:
                yield join(at, TARGET), value
            yield from _targets(value, join(at, str(name)))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _targets(value, f"{at}[{number}]")


def _keys(node: Any, at: str) -> Iterator[tuple[str, str]]:
    """All keys in a node, each with its place."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield join(at, str(name)), str(name)
            yield from _keys(value, join(at, str(name)))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _keys(value, f"{at}[{number}]")


def _check_text(node: Any, at: str) -> None:
    if isinstance(node, Mapping):
        for name, value in node.items():
            _check_text(value, join(at, str(name)))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            _check_text(value, f"{at}[{number}]")
    elif isinstance(node, str) and "${" in node:
        raise ConfigError(at, node, "a value: a training saves no ${...}")
