"""The specs that check the arguments of config targets without importing these."""

from collections.abc import Callable
from typing import Any

from drc_lab.interpretation import spec as interpretation
from drc_lab.learning import library_specs as library
from drc_lab.learning import specs as learning
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models import specs as models

Spec = Callable[..., Any]

# Specs that have all arguments of their targets.
SPECS: dict[str, Spec] = {
    "drc_lab.models.drc.DRCPolicy": models.DRCSpec,
    "drc_lab.models.convlstm.ConvLSTMPolicy": models.ConvLSTMSpec,
    "drc_lab.models.transformer.LoopedTransformerPolicy": models.TransformerSpec,
    "drc_lab.models.cnn.SmallCNNPolicy": models.SmallCNNSpec,
    "drc_lab.models.resnet.ResNetPolicy": models.ResNetSpec,
    "drc_lab.models.mlp.MLPPolicy": models.MLPSpec,
    "drc_lab.models.auto.choose_policy": models.AutoSpec,
    "drc_lab.learning.losses.A2CLoss": learning.LossSpec,
    "drc_lab.learning.losses.ImitationLoss": learning.ImitationSpec,
    "drc_lab.learning.losses.VTraceLoss": learning.VTraceSpec,
    "drc_lab.learning.losses.PPOLoss": learning.PPOSpec,
    "drc_lab.learning.rollouts.RolloutSpec": RolloutSpec,
    "drc_lab.learning.nan_guard.NaNGuard": learning.NothingSpec,
    "drc_lab.learning.early_stop.EarlyStop": learning.EarlyStopSpec,
    "drc_lab.learning.videos.EpisodeVideos": learning.VideosSpec,
    "drc_lab.interpretation.probes.live.ProbeCurves": interpretation.ProbeCurvesSpec,
}
# Specs that have only those arguments for which configs have keys; the targets take more.
OF_LIBRARIES: dict[str, Spec] = {
    "torch.optim.Adam": library.AdamSpec,
    "torch.optim.AdamW": library.AdamSpec,
    "torch.optim.lr_scheduler.LinearLR": library.LinearLRSpec,
    "lightning.Trainer": library.TrainerSpec,
}
