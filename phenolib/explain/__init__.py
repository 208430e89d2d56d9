"""What a model reads: Shapley values, permutation, refits without a group, and attention, all by groups of inputs.

Bands, and indices made of them, tell the same twice: alone each looks unneeded, and credit moves between them by
chance. So all methods speak of groups of inputs that stay or go together. Every importance is in units of the target
(of log1p of the salt content where the networks learn that), so that nothing stays near nothing; shares are extra.

- ``shap_trees``, ``shap_network`` and ``shap_sampled`` say what inputs add to the predictions of a model;
- ``permutation`` what a model loses when a group tells nothing any more;
- ``refit`` what any model would lose without the group: on a simulated landscape that is the truth the others are
  measured by (``against_truth``);
- ``attention`` where the network looks, which is none of these.

Each gives an ``Importance`` with draws of whole spatial blocks, from which the intervals come.
"""

from phenolib.explain.attending import attention
from phenolib.explain.compare import against_truth, agreement
from phenolib.explain.grouping import INPUTS, NAMES, groups, shared
from phenolib.explain.rises import Importance, permutation, permuted, reference, refit, refitted, rise
from phenolib.explain.shapley import Attributions, by_group, predictor, shap_network, shap_sampled, shap_trees

__all__ = ["INPUTS", "NAMES", "Attributions", "Importance", "against_truth", "agreement", "attention", "by_group",
           "groups", "permutation", "permuted", "predictor", "reference", "refit", "refitted", "rise", "shap_network",
           "shap_sampled", "shap_trees", "shared"]
