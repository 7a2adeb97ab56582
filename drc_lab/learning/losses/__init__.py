"""Losses: an algorithm is a loss with coefficients and a number of epochs over each rollout."""

from drc_lab.learning.losses.a2c import A2CLoss
from drc_lab.learning.losses.base import ActorCriticLoss, Loss, Transitions
from drc_lab.learning.losses.imitation import ImitationLoss
from drc_lab.learning.losses.impala import VTraceLoss
from drc_lab.learning.losses.ppo import PPOLoss

__all__ = ["A2CLoss", "ActorCriticLoss", "ImitationLoss", "Loss", "PPOLoss", "Transitions", "VTraceLoss"]
