"""The DRC's recurrence for float32 on a CPU, compiled as a whole: no Python between two ticks."""
