"""Fusion of a fine but rare image series with a coarse but frequent one: ESTARFM, STARFM, and daily series."""

from phenolib.fusion.images import CONVERSIONS, Pair, Scale, estarfm, starfm
from phenolib.fusion.scores import by_spread, hold_out, result, scores
from phenolib.fusion.series import METHODS, RESAMPLE, Resampling, fuse_series, in_time

__all__ = ["CONVERSIONS", "METHODS", "RESAMPLE", "Pair", "Resampling", "Scale", "by_spread", "estarfm", "fuse_series",
           "hold_out", "in_time", "result", "scores", "starfm"]
