"""Labels: what an agent is about to do, as classes and numbers that probes predict."""

from drc_lab.interpretation.labels import any_game, ricochet, sokoban
from drc_lab.interpretation.labels.registry import Label, find_labels, labels_of, register_label

__all__ = ["Label", "any_game", "find_labels", "labels_of", "register_label", "ricochet", "sokoban"]
