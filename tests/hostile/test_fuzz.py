"""A sample of what tools/fuzz.py loads: damaged files give a valid object or one line."""

import pytest
from tool import load_tool

FUZZ = load_tool("fuzz_kinds")
SEED = 1  # another than that of the figures in experiments/reliability


@pytest.mark.parametrize("kind", FUZZ.KINDS)
def test_damaged_files_are_valid_or_refused(tmp_path, kind):
    samples = FUZZ.samples_of(kind, tmp_path)
    assert {FUZZ.loaded(kind, path, SEED) for path in samples} == {"valid"}
    outcomes = {FUZZ.one_case(kind, samples, tmp_path / "case", SEED, number) for number in range(50)}
    assert "refused" in outcomes and outcomes <= {"valid", "refused"}
