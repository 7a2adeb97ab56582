"""Sokoban: levels in the usual text formats, generators, exact solver, and the envs."""
