"""The DRC's recurrence for float32 on a CPU, compiled as a whole, so that no Python runs between ticks."""
