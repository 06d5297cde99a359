"""Distributions: where each of them wants the audit flags written, each a small table.

Here live `Distribution` (the columns), one table a distribution, `interpret`, which does what a table says with a file,
and the editing of YAML in place (`merging`). What never lives here: a branch on a distribution's name; what differs is
data. Nothing is run and nothing is written: the answer is bytes and sentences.
"""

from decklog.enable.distributions.interpreter import NAMES, Recipe, distribution, interpret
from decklog.enable.distributions.tables import Distribution

__all__ = ["NAMES", "Distribution", "Recipe", "distribution", "interpret"]
