"""Writes ONNX files of a step (float32, bf16 weights, int8), and runs them in onnxruntime (extra ``export``)."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from drc_lab.deploy.policy import ExportedPolicy
from drc_lab.deploy.step import Interface, PolicyStep
from drc_lab.deploy.torch_files import free_axes, traced
from drc_lab.errors import UserError

Feed = dict[str, Any]  # input name to numpy array


def check_installed() -> None:
    """Checks that the packages of the extra ``export`` can be imported.

    Raises:
        UserError: one of them is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(package)
        except ImportError as error:
            raise UserError(f"format: onnx needs {package}: pip install 'drc-lab[export]'") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the warnings of the exporter and quantizer, which do not concern the user.

    They are about their own deprecations, about other packages, and about steps that this module does.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def write_float32(step: PolicyStep, path: Path) -> None:
    """Writes the step in float32; inputs, outputs and weights keep their names, and the batch size is free."""
    import onnx

    inputs, outputs = step.interface.inputs, step.interface.outputs
    with quiet():
        program = torch.onnx.export(
            traced(step),
            (),
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=free_axes(step.interface),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # source lines and paths of the machine that exports
    onnx.save(model, path)


def write_bfloat16(float32: Path, path: Path) -> None:
    """Writes a file with weights stored in bfloat16, which halves its size.

    Runtimes without bfloat16 kernels, as on most CPUs, compute in float32.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(float32)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            array, stored = numpy_helper.to_array(weight), f"{weight.name}.bfloat16"
            halves = torch.from_numpy(array.copy()).bfloat16().view(torch.int16).numpy().tobytes()
            casts.append(helper.make_node("Cast", [stored], [weight.name], to=TensorProto.FLOAT))
            weight.CopyFrom(helper.make_tensor(stored, TensorProto.BFLOAT16, array.shape, halves, raw=True))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def write_int8_dynamic(float32: Path, path: Path) -> None:
    """Writes a file with 8-bit weights; the scale of activations is computed in every call.

    Convolutions run as ConvInteger.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():  # unsigned, because a ConvInteger with signed weights is several times slower on a CPU
        quantize_dynamic(_quantizable(float32), path, weight_type=QuantType.QUInt8, per_channel=True)


def write_int8_static(float32: Path, path: Path, feeds: Sequence[Feed]) -> None:
    """Writes a file with 8-bit weights and activations, whose scales are measured on ``feeds``.

    The output layers stay float32. Weights are unsigned: with signed weights, CPUs without VNNI add two products in 16
    bits, which overflows if they are large.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Feeds(CalibrationDataReader):
        left = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self.left, None)

    model = _quantizable(float32)
    last = _last_products(model, ["logits", "value"])
    with quiet():
        quantize_static(
            model,
            path,
            Feeds(),
            weight_type=QuantType.QUInt8,
            activation_type=QuantType.QUInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            nodes_to_exclude=last,
        )


def _last_products(model: Any, outputs: Sequence[str]) -> list[str]:
    """Names of the last matrix products before the outputs, from which they follow without another one."""
    makers = {name: node for node in model.graph.node for name in node.output}
    products, left = set(), [makers[name] for name in outputs]
    while left:
        node = left.pop()
        if node.op_type in ("Gemm", "MatMul"):
            products.add(node.name)
        else:
            left += [makers[name] for name in node.input if name in makers]
    return sorted(products)


def _quantizable(float32: Path) -> Any:
    """The model without transposed matrices, and with its constants folded, so that the quantizer sees every weight."""
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, quiet():
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(float32, folded, skip_symbolic_shape=True)
        model = onnx.load(folded)
    # The quantizer transposes such a matrix in place once for each node that reads it, but all ticks share it.
    weights = {weight.name: weight for weight in model.graph.initializer}
    turned = set()
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Gemm" and attribute.name == "transB" and attribute.i and node.input[1] in weights:
                turned.add(node.input[1])
                node.input[1] += ".transposed"
                attribute.i = 0
    for name in turned:
        array = numpy_helper.to_array(weights[name]).T.copy()
        weights[name].CopyFrom(numpy_helper.from_array(array, f"{name}.transposed"))
    return model


class OnnxProgram:
    """Runs an ONNX file in onnxruntime on the CPU, with as many threads as torch uses."""

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [node.name for node in self.session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Takes `Interface.inputs` in that order, returns `Interface.outputs`."""
        return tuple(torch.from_numpy(x) for x in self.session.run(None, self.feed(*inputs)))

    def feed(self, *inputs: Tensor) -> Feed:
        """The inputs as numpy arrays by name."""
        return {name: x.numpy() for name, x in zip(self.inputs, inputs, strict=True)}


def feeds(path: Path, interface: Interface, obs: Shaped[Tensor, "T B *obs"], resets: Bool[Tensor, "T B"]) -> list[Feed]:
    """The inputs of each step, including the carry, when the file at ``path`` runs over a sequence.

    Args:
        path: an ONNX file in float32.
        interface: its interface.
        obs: observations.
        resets: true where an episode begins.
    """
    program, seen = OnnxProgram(path), []

    def noting(*inputs: Tensor) -> tuple[Tensor, ...]:
        seen.append(program.feed(*inputs))
        return program(*inputs)

    policy = ExportedPolicy(noting, interface)
    policy.unroll(obs, policy.init_state(obs.shape[1]), resets)
    return seen
