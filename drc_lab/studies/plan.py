"""What a thinking study of one policy will play."""

from collections.abc import Sequence
from dataclasses import dataclass

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.studies.levels import count_levels, report_env
from drc_lab.studies.shift import Shift, make_shifts
from drc_lab.studies.subjects import Subject


@dataclass(frozen=True)
class Plan:
    """What a study will play. It is checked before anything is played.

    Args:
        subject: the policy.
        env: with the base held-out levels, which are reported on in full.
        thinking_settings: amounts of thinking and controls to play there.
        shifts: levels to compare with the base.
    """

    subject: Subject
    env: BatchEnv
    thinking_settings: Sequence[Setting]
    shifts: Sequence[Shift]


def plan_study(subject: Subject) -> Plan:
    """Plans the thinking sweep that the settings of a policy's evaluation describe.

    Raises:
        ConfigError: it is not possible with these settings.
    """
    settings = subject.settings

    def settings_in(env: BatchEnv) -> list[Setting]:
        return settings.thinking.settings(subject.policy, env)

    env = report_env(settings, subject.policy)
    settings.report.check_levels(count_levels(env))
    return Plan(subject, env, settings_in(env), make_shifts(subject, settings_in))
