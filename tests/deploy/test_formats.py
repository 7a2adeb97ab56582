"""What each file gives, against the policy it was written from, over steps and at more than one batch size."""

import subprocess
import sys

import pytest
import torch
from presets import OBS_SHAPE, PRESETS, policy_of
from torch.utils._pytree import tree_leaves

from drc_lab.deploy import onnx_files
from drc_lab.deploy.formats import runner, write
from drc_lab.deploy.spec import BF16, FLOAT32, INT8_DYNAMIC, INT8_STATIC, ExportSpec
from drc_lab.deploy.step import PolicyStep
from drc_lab.errors import ConfigError, UserError
from drc_lab.files import written
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy

STEPS = 5
SMALL = {"hidden_channels": 4, "num_layers": 1, "proj_dim": 8, "repeats_per_step": 2, "head_init": "orthogonal"}


def sequence(policy, batch, seed=0):
    torch.manual_seed(seed)
    obs = torch.randint(0, 256, (STEPS, batch, *policy.obs_shape), dtype=torch.uint8)
    return obs, torch.rand(STEPS, batch) < 0.3


def exported(policy, folder, format, *variants, repeats=None):
    """What runs each file of a policy, after writing it; and the files."""
    spec = ExportSpec(format, variants=list(variants) or None, repeats=repeats)
    step, paths = PolicyStep(policy, repeats=repeats), spec.paths(folder)
    write(format, step, paths, lambda: sequence(policy, 8, seed=1))
    return {variant: runner(format, path, step.interface, policy) for variant, path in paths.items()}, paths


def differences(policy, other, batch, repeats=None):
    """Greatest absolute differences of logits, values and the last carry, over a sequence with resets."""
    obs, resets = sequence(policy, batch)
    with torch.no_grad():
        (outs, carry), (wanted, state) = (p.unroll(obs, p.init_state(batch), resets, repeats) for p in (other, policy))
    pairs = [*zip(outs, wanted, strict=True), *zip(tree_leaves(carry), tree_leaves(state), strict=True)]
    return [float((a - b).abs().max()) for a, b in pairs]


@pytest.fixture
def onnx():
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("onnx")


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("format", ["onnx", "torch_export"])
def test_every_preset_gives_the_same_in_every_format_over_steps_and_batches(tmp_path, onnx, format, preset):
    policy = policy_of(preset)
    made, _ = exported(policy, tmp_path, format, FLOAT32)
    for batch in (1, 7):
        assert max(differences(policy, made[FLOAT32], batch)) < 1e-4


def test_a_torch_program_gives_the_same_over_steps_and_batches_and_has_no_paths_of_this_machine(tmp_path):
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL)
    made, paths = exported(policy, tmp_path, "torch_export", BF16, FLOAT32, repeats=1)
    for batch in (1, 7):
        assert max(differences(policy, made[FLOAT32], batch, repeats=1)) < 1e-5
    assert 0 < max(differences(policy, made[BF16], 7, repeats=1)) < 0.05
    assert b"step.py" not in paths[FLOAT32].read_bytes()
    program = torch.export.load(paths[BF16])
    assert {x.dtype for x in program.state_dict.values()} == {torch.bfloat16}
    with pytest.raises(ConfigError, match="repeats: found 3, allowed: 1, with which this step was exported"):
        differences(policy, made[FLOAT32], 7, repeats=3)


def test_an_onnx_file_has_free_batch_names_weights_and_no_paths_of_this_machine(tmp_path, onnx):
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL)
    made, paths = exported(policy, tmp_path, "onnx", FLOAT32)
    for batch in (1, 7):
        assert max(differences(policy, made[FLOAT32], batch)) < 1e-5
    model = onnx.load(paths[FLOAT32])
    onnx.checker.check_model(model, full_check=True)
    interface = PolicyStep(policy).interface
    for nodes, names in ((model.graph.input, interface.inputs), (model.graph.output, interface.outputs)):
        assert [node.name for node in nodes] == names
        assert {node.type.tensor_type.shape.dim[0].dim_param for node in nodes} == {"batch"}
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    ours = policy.head.proj.weight.detach()
    torch.testing.assert_close(torch.from_numpy(weights["policy.head.proj.weight"].copy()), ours, rtol=0, atol=0)
    assert b"step.py" not in paths[FLOAT32].read_bytes()


@pytest.mark.slow
def test_quantised_onnx_files_run_are_small_and_stay_close(tmp_path, onnx):
    policy = DRCPolicy(OBS_SHAPE, 3, hidden_channels=16, num_layers=2, head_init="orthogonal")
    made, paths = exported(policy, tmp_path, "onnx")
    size = {variant: path.stat().st_size for variant, path in paths.items()}
    for variant, smaller, off in ((BF16, 1.8, 0.02), (INT8_DYNAMIC, 2.5, 0.2), (INT8_STATIC, 2.5, 0.2)):
        for batch in (1, 7):
            assert 0 < max(differences(policy, made[variant], batch)) < off, variant
        assert size[FLOAT32] / size[variant] > smaller, (variant, size)
    kinds = {variant: {node.op_type for node in onnx.load(path).graph.node} for variant, path in paths.items()}
    assert {"ConvInteger", "MatMulInteger"} <= kinds[INT8_DYNAMIC] and not {"Conv", "Gemm"} & kinds[INT8_DYNAMIC]
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds[INT8_STATIC]
    full = {w.name for w in onnx.load(paths[INT8_STATIC]).graph.initializer if len(w.dims) > 1 and w.data_type == 1}
    heads = {f"policy.head.{name}.weight.transposed" for name in ("policy", "value")}  # or logits would come in steps
    assert heads == {name for name in full if name.endswith(".weight.transposed")}


def test_bare_weights_need_nothing_of_the_project(tmp_path):
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL)
    made, paths = exported(policy, tmp_path, "state_dict")
    script = f"""if True:
        import sys, torch
        weights = torch.load({str(paths[FLOAT32])!r}, weights_only=True)
        assert not any(name.startswith("drc_lab") for name in sys.modules)
        print(sum(x.numel() for x in weights.values()), *weights)"""
    shown = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60)
    count, *names = shown.stdout.split()
    assert int(count) == sum(p.numel() for p in policy.parameters()), shown.stderr
    assert names == list(policy.state_dict())
    assert max(differences(policy, made[FLOAT32], 3)) == 0
    assert 0 < max(differences(policy, made[BF16], 3)) < 0.05


@pytest.mark.parametrize("preset", ["drc_taufeeque2024", "resnet"])
def test_a_flax_folder_reads_back_as_the_same_policy_with_the_ticks_asked_for(tmp_path, preset):
    policy = policy_of(preset)
    made, paths = exported(policy, tmp_path, "flax", repeats=2)
    assert {path.name for path in paths[FLOAT32].iterdir()} == {"cfg.json", "model"}
    assert max(differences(policy, made[FLOAT32], 3, repeats=2)) < 1e-5
    assert preset == "resnet" or made[FLOAT32].repeats_per_step == 2


def test_a_policy_that_a_format_has_no_words_for_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match=r"found a MLPPolicy, allowed in flax: DRCPolicy \| ResNetPolicy"):
        exported(MLPPolicy(OBS_SHAPE, 3), tmp_path, "flax")
    assert not list(tmp_path.iterdir())


def test_other_variants_have_their_name_before_the_suffix():
    spec = ExportSpec("onnx", file="there/a.onnx", variants=["int8_static", "float32", "float32"])
    assert {v: str(path) for v, path in spec.paths("here").items()} == {
        "int8_static": "there/a.int8_static.onnx",
        "float32": "there/a.onnx",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "tflite"}, "format: found 'tflite', allowed: onnx | torch_export | state_dict | flax"),
        (
            {"format": "torch_export", "variants": ["int8_static"]},
            "variants: found 'int8_static', allowed: float32 | bf16 as torch_export",
        ),
        ({"format": "flax", "variants": ["bf16"]}, "variants: found 'bf16', allowed: float32 as flax"),
        ({"format": "onnx", "variants": []}, "variants: found [], allowed: at least one of float32 | bf16"),
        ({"format": "onnx", "file": "a.pt2"}, "file: found 'a.pt2', allowed: a name that ends in .onnx"),
        ({"format": "onnx", "repeats": 0}, "repeats: found 0, allowed: at least 1"),
        ({"format": "onnx", "timings": 0}, "timings: found 0, allowed: at least 1"),
        ({"format": "onnx", "batches": [0]}, "batches: found 0, allowed: at least 1"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ConfigError) as error:
        ExportSpec(**settings)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_told_in_one_line(monkeypatch, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"onnx needs {package}: pip install 'drc-lab\[export\]'"):
        onnx_files.check_installed()


def test_one_variant_that_fails_leaves_no_file_of_any(tmp_path, onnx):
    """Here it is the calibration of int8 that does."""
    policy = MLPPolicy(OBS_SHAPE, 3, hidden_sizes=[4])
    spec = ExportSpec("onnx", variants=[FLOAT32, INT8_STATIC])

    def nobody_plays():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("onnx", PolicyStep(policy), spec.paths(tmp_path), nobody_plays)
    assert not list(tmp_path.iterdir())


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with pytest.raises(RuntimeError), written(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert not list(path.parent.iterdir())
    with written(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    with pytest.raises(UserError, match=r"b\.txt: File exists"), written(path / "b.txt"):
        pass
