"""Path models: direct and indirect effects along a graph, with or without latent variables.

    model = path_models.fit("sm ~ soil_t + deep_sm" + chr(10) + "lp ~ sm + crop", data, cluster="plot_year")
    model.paths, model.fit, model.indirect            # estimates, measures of fit, routes and their sums
    path_models.bootstrap(model, seed=7)              # intervals from clusters drawn anew
    path_models.hints(model)                          # paths that the model leaves out
    path_models.equivalent(text)                      # models that no data can tell from this one
    path_models.piecewise(text, data, groups="year")  # the same graph as a set of mixed models

The largest likelihood is looked for here, by Fisher scoring of all data sets of a bootstrap at once: 2000 fits in the
time in which one of another library is set up. semopy fits the same text by other means; ``by_semopy`` puts its
estimates beside ours.
"""

from phenolib.path_models.equivalents import equivalent as equivalent
from phenolib.path_models.fitting import PathModel as PathModel
from phenolib.path_models.fitting import compare as compare
from phenolib.path_models.fitting import equality as equality
from phenolib.path_models.fitting import fit as fit
from phenolib.path_models.hints import hints as hints
from phenolib.path_models.opinion import by_semopy as by_semopy
from phenolib.path_models.pieces import Piecewise as Piecewise
from phenolib.path_models.pieces import piecewise as piecewise
from phenolib.path_models.resampling import Resampled as Resampled
from phenolib.path_models.resampling import bootstrap as bootstrap
