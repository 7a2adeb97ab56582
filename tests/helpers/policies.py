"""Small policies of every kind, for boards of 5 x 5 with 8 planes and 4 actions."""

from drc_lab.models.convlstm import ConvLSTMPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy
from drc_lab.models.resnet import ResNetPolicy
from drc_lab.models.transformer import LoopedTransformerPolicy

SHAPE = (8, 5, 5)
POLICIES = {
    "drc": lambda: DRCPolicy(SHAPE, 4, 4, 2, 2, proj_dim=8),
    "drc_top_to_bottom": lambda: DRCPolicy(SHAPE, 4, 4, 2, 2, proj_dim=8, top_to_bottom=True, head="pool"),
    "drc_unfused": lambda: DRCPolicy(SHAPE, 4, 4, 2, 2, proj_dim=8, top_to_bottom=True, residual="layers"),
    "drc_overall": lambda: DRCPolicy(SHAPE, 4, 4, 2, 2, proj_dim=8, pool_projection="overall", boundary_ring="outside"),
    "convlstm": lambda: ConvLSTMPolicy(SHAPE, 4, 4, 2, 2, proj_dim=8),
    "transformer": lambda: LoopedTransformerPolicy(SHAPE, 4, 8, 1, 2, num_heads=2, proj_dim=8),
    "resnet": lambda: ResNetPolicy(SHAPE, 4, (4,), (3,), proj_dim=8),
    "mlp": lambda: MLPPolicy(SHAPE, 4),
}
