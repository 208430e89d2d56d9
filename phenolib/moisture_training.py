"""What the training of the causal network of soil moisture reads, and what it makes small."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError

WINDOW = 728  # days of a sample of the training
SHIFT = 30, 180  # days that the second pass begins later, at least and at most
SHIFTED = 0.25  # share of the sites of a batch that the second pass is made for: it costs as much as the first
MEMORIES = 3, 10, 30, 100  # days: exponential means of rain and of demand that the networks read too
REMEMBERED = "precip", "pe"


def remembered(weather, variables):
    """Weather with exponential means of precipitation and demand over the days up to each, four of either.

        m(t) = Σ_{s ≤ t} e^{−(t−s)/τ} x(s) / Σ_{s ≤ t} e^{−(t−s)/τ},   τ = 3, 10, 30, 100 days

    weather    (time, cell, variable)
    variables  their names
    returns    (time, cell, variable and means) float32

    So that a network learns at once what else would take it long to find; the published counterpart has none.
    """
    chosen = [k for k, name in enumerate(variables) if name in REMEMBERED]
    days, cells, count = weather.shape
    made = np.empty((days, cells, count + len(MEMORIES) * len(chosen)), np.float32)
    made[..., :count] = weather
    keeps = np.repeat(np.exp(-1 / np.array(MEMORIES)), len(chosen)).astype(np.float32)
    np.multiply(np.tile(made[..., chosen], len(MEMORIES)), 1 - keeps, out=made[..., count:])
    for day in range(1, days):
        made[day, :, count:] += keeps * made[day - 1, :, count:]
    made[..., count:] /= (1 - keeps.astype(float) ** np.arange(1, days + 1)[:, None])[:, None].astype(np.float32)
    return made


def scales_of(series, parts):
    """Mean and SD of weather, soil and moisture in the training part: a dict of arrays for ``nets.moisture.Inputs``."""
    train, names = parts.train.values, list(series.weather["variable"].values)
    weather = remembered(series.weather.transpose("time", "site", "variable").values, names)
    weather = weather[train.T].astype(float)                                            # (n, variable)
    if "precip" in names:
        k = names.index("precip")
        weather[:, k] = np.log1p(np.maximum(weather[:, k], 0))
    static = series.static.to_numpy(float)[parts.known]
    theta = series.theta.values[train]
    theta = theta[np.isfinite(theta)].astype(float)

    def sd(values):
        found = values.std(0)
        return np.where(found > 1e-9, found, 1.0)

    return {"weather": weather.mean(0), "weather_sd": sd(weather), "static": static.mean(0), "static_sd": sd(static),
            "theta": theta.mean(), "theta_sd": sd(theta)}


def season(time):
    """Share of the year (time,) that is over, float32."""
    return ((pd.DatetimeIndex(time).day_of_year.to_numpy() - 1) / 365.25).astype(np.float32)


def tensors(series, parts, window):
    """What the training reads, days first; of the target only the training and validation parts."""
    import torch

    days = series.theta.sizes["time"]
    if window > days:
        raise InputError(f"windows of {window} days in series of {days}; give a shorter window")
    used = (parts.train | parts.validation).values & series.theta.notnull().values
    weather = series.weather.transpose("time", "site", "variable")
    found = {"weather": remembered(weather.values, list(weather["variable"].values)),
             "start": series.start.transpose("time", "site").values, "theta": np.where(used, series.theta.values, 0).T,
             "train": (parts.train.values & used).T, "validation": (parts.validation.values & used).T,
             "static": series.static.to_numpy(np.float32), "season": season(series.theta["time"].values)}
    found = {name: torch.from_numpy(np.array(v, bool if v.dtype == bool else np.float32)) for name, v in found.items()}
    if not found["validation"].any():
        raise InputError("the validation part has no day with soil moisture; the training needs it to stop")
    found["scale"] = float(found["theta"][found["train"]].std())
    return found


def windows(data, window, batch, steps):
    """``batches`` of the training: sites and a first day are drawn, days are the first dimension."""
    import torch

    known = torch.nonzero(data["train"].any(0))[:, 0]
    running = torch.cat([torch.zeros(1), data["train"].any(1).float().cumsum(0)])
    learnt = running[window:] - running[:-window]  # days of the training in the window that begins on each day
    first = torch.nonzero(learnt >= 0.5 * learnt.max())[:, 0]

    def batches(epoch, generator):
        for _ in range(steps):
            sites = known[torch.randperm(len(known), generator=generator)[:batch]]
            t = int(first[torch.randint(len(first), (), generator=generator)])
            past = torch.randint(SHIFT[0], SHIFT[1], (), generator=generator).clamp(max=window // 2)
            cut = {name: data[name][t:t + window][:, sites] for name in ("weather", "start", "theta", "train")}
            yield {**cut, "static": data["static"][sites], "season": data["season"][t:t + window], "past": past}

    return batches


def passed(model, batch, past=0, sites=None):
    """What a network says of a batch that begins ``past`` days later, with the state of that day."""
    import torch

    weather, start, season = batch["weather"][past:, :sites], batch["start"][past:, :sites], batch["season"][past:]
    state, age = state_of(model.inputs.start, start)
    return model(weather, batch["static"][:sites], season, state, torch.as_tensor(age, device=weather.device))[0]


def state_of(kind, start):
    """State that is given, (time, site), and its age (time,)."""
    import torch

    days = len(start)
    if kind == "series":
        return start, torch.zeros(days)
    return start[:1].expand(days, -1), torch.arange(days, dtype=torch.float32)


def loss_of(weights, scale):
    """The loss of the training: function (network, batch) to the terms of ``nets.moisture.losses``, weighted and added.

    The second pass is made for a quarter of the sites. Nearness to the state counts where it is that of the first day.
    """
    from phenolib.nets import moisture as nets

    def loss(model, batch):
        out = passed(model, batch)
        state, age = state_of(model.inputs.start, batch["start"])
        shifted, past, few = None, int(batch["past"]), max(1, round(SHIFTED * batch["theta"].shape[1]))
        if weights["shift"]:
            shifted = passed(model, batch, past, few)
        given = {"start": state, "age": age.to(state.device)} if model.inputs.start == "state" else {}
        terms = nets.losses(out, batch["theta"], batch["train"], scale=scale, shifted=shifted, past=past, **given)
        return terms.pop("likelihood") + sum(weights[name] * value for name, value in terms.items())

    return loss


def validation_of(data):
    """RMSE of the validation days in SDs, the network begun two years before the first of them, or at the start."""
    import torch

    days = torch.nonzero(data["validation"].any(1))[:, 0]
    sites = torch.nonzero(data["validation"].any(0))[:, 0]
    part = slice(max(0, int(days[0]) - WINDOW), int(days[-1]) + 1)
    cut = {name: data[name][part][:, sites] for name in ("weather", "start", "theta", "validation")}
    cut |= {"static": data["static"][sites], "season": data["season"][part]}

    def validate(model):
        device = next(model.parameters()).device
        batch = {name: value.to(device) for name, value in cut.items()}
        out = passed(model, batch)
        known = batch["validation"]
        away = ((out.mean - batch["theta"])[known] / data["scale"]).square()
        each = 0.5 * ((out.mean - batch["theta"]) / out.sigma)[known].square() + out.sigma[known].log()
        return {"error": float(away.mean().sqrt()), "likelihood": float(each.mean())}

    return validate
