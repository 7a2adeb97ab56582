"""A small convolutional policy without memory, for comparison with the DRC: extra thinking cannot change it."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.arguments import takes
from drc_lab.models.grid import GridPolicy
from drc_lab.models.init import init_conv
from drc_lab.models.specs import SmallCNNSpec


class SmallCNNPolicy(GridPolicy):
    """3 x 3 convolutions with a ReLU after each, then a head (by default with global average pooling).

    The convolutions are padded, so that even boards of 1 x 1 work, unlike with CNNs designed for large images.

    See `SmallCNNSpec` for the arguments.
    """

    @takes(SmallCNNSpec)
    def __init__(self, spec: SmallCNNSpec):
        super().__init__(spec.obs_shape, spec.num_actions)
        stride = spec.stride
        _, height, width = self.obs_shape
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([self.obs_shape[0], *spec.channels]):
            conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=stride, padding=1)
            init_conv(conv, spec.conv_init)
            layers += [conv, nn.ReLU()]
            height, width = -(-height // stride), -(-width // stride)
        self.convs = nn.Sequential(*layers)
        shape = (spec.channels[-1], height, width)
        self.attach_head(spec, shape)

    def encode(self, x: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N C H_out W_out"]:
        return self.convs(x)
