"""Where cross-attention looks."""

import numpy as np
import xarray as xr

from phenolib.errors import InputError
from phenolib.explain.grouping import count
from phenolib.explain.shapley import evaluating, tensors
from phenolib.salinity import BANDS


def attention(model, inputs, *, batch=64, names=(*BANDS, "index"), call=None):
    """Where the cross-attention of the full network looks, averaged over its heads.

    Attention is not attribution: it tells from which spectral tokens a place of the window takes a mixture, not what
    the mixture does to the prediction; set it beside Shapley values or permutation (Jain & Wallace 2019). Without any
    preference each of 11 tokens has 1/11.

    model    torch module with attention(**inputs) to (m, head, query, token), queries by rows of a square
    inputs   {keyword: array} as in ``shap_network``
    names    of the tokens
    call     function of the model and a dict of tensors to the attention; default model.attention(**tensors)
    returns  Dataset: share (sample, token), mean over queries, and map (row, column, token), mean over samples; both
             sum to 1 over tokens
    raises   InputError where the number of tokens is another, or the queries are no square
    """
    import torch

    rows = []
    with evaluating(model), torch.no_grad():
        for s in range(0, count(inputs), batch):
            part = tensors(model, inputs, slice(s, s + batch))
            found = call(model, part) if call else model.attention(**part)  # (m, head, query, token)
            rows.append(found.mean(1).cpu().numpy())
    weights = np.concatenate(rows).astype(float)  # (n, query, token)
    side = round(weights.shape[1] ** 0.5)
    if weights.shape[2] != len(names) or side**2 != weights.shape[1]:
        raise InputError(f"attention of {weights.shape[1]} queries to {weights.shape[2]} tokens; {len(names)} names of "
                         "tokens were given, and queries must fill a square")
    return xr.Dataset({"share": (("sample", "token"), weights.mean(1)),
                       "map": (("row", "column", "token"), weights.mean(0).reshape(side, side, -1))},
                      {"token": list(names)})
