"""Exports trained policies to files; ONNX and torch.export files run without drc_lab."""
