"""Water in soil: what a water potential says of the water content, how it is put on a scale, and what the surface says
of the depth."""

import numpy as np

from phenolib.errors import InputError, near

HPA = 10.0  # hPa in a kPa
CM = 10.197  # cm of water in a kPa
TEXTURES = {  # θ_r, θ_s [m³ m⁻³], α [cm⁻¹], n [-]: means of texture classes, Carsel & Parrish (1988), Table 3
    "sand": (0.045, 0.43, 0.145, 2.68), "loamy sand": (0.057, 0.41, 0.124, 2.28),
    "sandy loam": (0.065, 0.41, 0.075, 1.89), "loam": (0.078, 0.43, 0.036, 1.56), "silt": (0.034, 0.46, 0.016, 1.37),
    "silt loam": (0.067, 0.45, 0.020, 1.41), "sandy clay loam": (0.100, 0.39, 0.059, 1.48),
    "clay loam": (0.095, 0.41, 0.019, 1.31), "silty clay loam": (0.089, 0.43, 0.010, 1.23),
    "sandy clay": (0.100, 0.38, 0.027, 1.23), "silty clay": (0.070, 0.36, 0.005, 1.09),
    "clay": (0.068, 0.38, 0.008, 1.09),
}


def wetness(psi):
    """Water potential on the scale on which plants feel it, larger is wetter: M = −log₁₀(|ψ| / hPa) = −pF.

    psi      potential [kPa], negative; DataArray or numpy
    returns  like it [-]; wetter than −0.1 kPa counts as −0.1 kPa
    raises   InputError for a potential above zero

    >>> float(wetness(np.array(-100.0)))
    -3.0
    """
    if bool((psi > 0).any()):
        raise InputError(f"a water potential of {float(np.nanmax(psi)):g} kPa is above zero; potentials of soil are "
                         "negative, tensions have to be given a minus")
    return -np.log10(np.maximum(-psi, 0.1) * HPA)


def water_content(psi, texture):
    """Water content at a potential: θ = θ_r + (θ_s − θ_r)·[1 + (α|ψ|)ⁿ]^(1/n − 1).

    psi      potential [kPa], negative
    texture  class of the soil, one of ``TEXTURES``
    returns  like psi [m³ m⁻³]
    raises   InputError for another class

    van Genuchten (1980), Soil Sci. Soc. Am. J. 44:892; parameters of Carsel & Parrish (1988), Water Resour. Res.
    24:755.

    >>> round(float(water_content(np.array(-33.0), "silt loam")), 3)
    0.239
    """
    if texture not in TEXTURES:
        raise InputError(f"texture '{texture}' is not known{near(texture, TEXTURES)}; there are {', '.join(TEXTURES)}")
    residual, saturated, alpha, n = TEXTURES[texture]
    return residual + (saturated - residual) * (1 + (alpha * CM * abs(psi)) ** n) ** (1 / n - 1)


TIMES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100)  # days: characteristic times that ``fit_time`` tries


def exponential_filter(time, surface, T):
    """Moisture of a deeper layer as the exponential filter of that at the surface (soil water index).

    SWI_n = SWI_{n−1} + K_n (θ_n − SWI_{n−1}),   K_n = K_{n−1} / (K_{n−1} + e^{−Δt/T}),   K_0 = 1

    time     (time,) datetime64 in order, any steps
    surface  (…, time) moisture at the surface, any unit; NaN where missing: the filter waits, and the longer the gap
             the less the time before it counts
    T        characteristic time, one or (…,) [days]; the larger, the more slowly the deeper layer follows
    returns  (…, time) in the unit of the surface; NaN where the surface is missing
    raises   InputError for times out of order, or T that is not above zero

    Constant input stays constant; as T → 0 the result is the input. It has the mean of the surface, not of the depth.
    Wagner et al. (1999), Remote Sens. Environ. 70:191; recursive form of Albergel et al. (2008), Hydrol. Earth Syst.
    Sci. 12:1323.

    >>> days = np.datetime64("2020-01-01", "ns") + np.arange(4).astype("timedelta64[D]")
    >>> exponential_filter(days, [0.2, 0.2, np.nan, 0.2], T=10).round(3).tolist()
    [0.2, 0.2, nan, 0.2]
    >>> exponential_filter(days, [0.1, 0.4, 0.1, 0.1], T=1e-3).round(3).tolist()
    [0.1, 0.4, 0.1, 0.1]
    """
    at = (np.asarray(time, "datetime64[ns]") - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    surface, T = np.asarray(surface, float), np.asarray(T, float)
    if at.ndim != 1 or surface.shape[-1:] != at.shape or (np.diff(at) <= 0).any():
        raise InputError(f"{at.size} times and a surface of shape {surface.shape}; give as many values as times, the "
                         "times in order and each once")
    if not (T > 0).all():
        raise InputError(f"T = {float(np.min(T)):g} days is not above zero; give the characteristic time of the layer")
    lead = surface.shape[:-1]
    index, gain, last = np.full(lead, np.nan), np.ones(lead), np.full(lead, np.nan)
    found = np.full(surface.shape, np.nan)
    for k in range(at.size):
        now = surface[..., k]
        there, begun = np.isfinite(now), np.isfinite(index)
        with np.errstate(invalid="ignore"):
            gain_now = gain / (gain + np.exp(-(at[k] - last) / T))
        step = there & begun
        gain = np.where(step, gain_now, gain)
        index = np.where(step, index + gain * (now - index), np.where(there, now, index))
        last = np.where(there, at[k], last)
        found[..., k] = np.where(there, index, np.nan)
    return found


def fit_time(time, surface, deep, times=TIMES):
    """The characteristic time with which the filtered surface follows the depth best, one for all stations.

    T = argmax of the mean over stations of the correlation between SWI_T and the depth

    time     (time,) datetime64
    surface  (station, time) moisture at the surface
    deep     (station, time) that at depth; any unit
    times    that are tried [days]
    returns  T [days], and the mean correlation for each that was tried, (len(times),)
    raises   InputError where no station has both, and as ``exponential_filter``
    """
    surface, deep = np.atleast_2d(np.asarray(surface, float)), np.atleast_2d(np.asarray(deep, float))
    both = np.isfinite(surface) & np.isfinite(deep)
    kept = both.sum(1) >= 30
    if not kept.any():
        raise InputError("no station has 30 days with moisture at the surface and at depth; a characteristic time "
                         "cannot be fitted")
    surface, deep, both = surface[kept], np.where(both, deep, np.nan)[kept], both[kept]
    mean = np.empty(len(times))
    away = deep - np.nanmean(deep, 1, keepdims=True)
    for k, T in enumerate(times):
        index = np.where(both, exponential_filter(time, surface, T), np.nan)
        index -= np.nanmean(index, 1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.nansum(index * away, 1) / np.sqrt(np.nansum(index**2, 1) * np.nansum(away**2, 1))
        mean[k] = np.nanmean(r)
    return float(times[int(np.argmax(mean))]), mean
