"""The one training loop of all networks, and the store of fitted models."""

from phenolib.training.around import combine, ensemble, predict, shuffled
from phenolib.training.loop import History, learning_curve, train
from phenolib.training.store import Fitted, fitted, sources

__all__ = ["Fitted", "History", "combine", "ensemble", "fitted", "learning_curve", "predict", "shuffled", "sources",
           "train"]
