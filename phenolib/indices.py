"""Indices of optical and radar bands: vegetation, salinity, water, and the two polarisations of Sentinel-1.

Formulas come from the catalogue `spyndex` where it has the index under the same meaning, and from ``OWN`` where it has
not, or uses the name for something else: its NDSI is that of snow, its BI that of bare soil. ``TABLE`` lists those that
this book uses, with source and, where one index is only a function of another, of which one; such a pair tells the same
twice.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near

BANDS = {  # of Sentinel-2: letter in the catalogue, centre [nm]
    "B01": ("A", 443), "B02": ("B", 490), "B03": ("G", 560), "B04": ("R", 665), "B05": ("RE1", 705),
    "B06": ("RE2", 740), "B07": ("RE3", 783), "B08": ("N", 842), "B8A": ("N2", 865), "B11": ("S1", 1610),
    "B12": ("S2", 2190),
}
CONSTANTS = {"EVI": dict(g=2.5, C1=6.0, C2=7.5, L=1.0), "EVI2": dict(g=2.5, L=1.0), "SAVI": dict(L=0.5),
             "GDVI": dict(nexp=2.0)}
LETTERS = {letter: band for band, (letter, _) in BANDS.items()} | {"VV": "vv", "VH": "vh"}
FARTHEST = 25  # that the centre of a band may be off the one an index was made for [nm]
BRIGHT = 1.6  # reflectance above this is a number that was not scaled


class Index(NamedTuple):
    """One index: its group, formula as a function of bands (None: spyndex's), its name there, source, and the index
    that it is a function of ("" : none)."""

    group: str
    source: str
    bands: tuple = ()
    formula: object = None
    catalogue: str = ""
    function_of: str = ""


def own(group, source, bands, formula, function_of=""):
    return Index(group, source, tuple(bands.split()), formula, "", function_of)


def listed(group, source, name, function_of=""):
    return Index(group, source, catalogue=name, function_of=function_of)


def ratio(a, b):
    return (a - b) / (a + b)


TABLE = {
    "NDVI": listed("vegetation", "Rouse et al. 1974", "NDVI"),
    "SR": listed("vegetation", "Jordan 1969", "SR", "NDVI"),
    "DVI": listed("vegetation", "Tucker 1979", "DVI"),
    "EVI": listed("vegetation", "Huete et al. 2002", "EVI"),
    "EVI2": listed("vegetation", "Jiang et al. 2008", "EVI2"),
    "SAVI": listed("vegetation", "Huete 1988", "SAVI"),
    "OSAVI": listed("vegetation", "Rondeaux et al. 1996", "OSAVI"),
    "MSAVI": listed("vegetation", "Qi et al. 1994", "MSAVI"),
    "GNDVI": listed("vegetation", "Gitelson et al. 1996", "GNDVI"),
    "GDVI2": listed("vegetation", "Wu 2014", "GDVI", "NDVI"),
    "ARVI": own("vegetation", "Kaufman & Tanré 1992, γ = 1", "B02 B04 B08", lambda b, r, n: ratio(n, 2 * r - b)),
    "NLI": listed("vegetation", "Goel & Qin 1994", "NLI"),
    "NDRE": listed("vegetation", "Gitelson & Merzlyak 1994", "NDREI"),
    "RENDVI": listed("vegetation", "Gitelson & Merzlyak 1994", "RENDVI"),
    "CIre": listed("vegetation", "Gitelson et al. 2003", "CIRE", "NDRE"),
    "MTCI": own("vegetation", "Dash & Curran 2004; held between −10 and 10, for B05 − B04 is near 0 on bare soil",
                "B04 B05 B06", lambda r, e, f: xr.where(e == r, np.nan, ((f - e) / (e - r)).clip(-10, 10))),
    "kNDVI": own("vegetation", "Camps-Valls et al. 2021, σ = (B08 + B04)/2: tanh NDVI²", "B04 B08",
                 lambda r, n: np.tanh(ratio(n, r) ** 2), "NDVI"),
    "GCC": listed("vegetation", "Gillespie et al. 1987; Sonnentag et al. 2012", "GCC"),
    "LSWI": listed("water", "Xiao et al. 2004", "LSWI"),
    "NDWI": listed("water", "McFeeters 1996", "NDWI", "GNDVI"),
    "S1": own("salinity", "Abbas & Khan 2007", "B02 B04", lambda b, r: b / r),
    "S2": own("salinity", "Abbas & Khan 2007", "B02 B04", ratio, "S1"),
    "S3": own("salinity", "Abbas & Khan 2007", "B02 B03 B04", lambda b, g, r: g * r / b),
    "S5": own("salinity", "Abbas & Khan 2007", "B02 B03 B04", lambda b, g, r: b * r / g),
    "S6": own("salinity", "Abbas & Khan 2007", "B03 B04 B08", lambda g, r, n: r * n / g),
    "SI": own("salinity", "Khan et al. 2005; S4 of Abbas & Khan 2007", "B02 B04", lambda b, r: np.sqrt(b * r)),
    "SI1": own("salinity", "Douaoui et al. 2006", "B03 B04", lambda g, r: np.sqrt(g * r)),
    "SI2": own("salinity", "Douaoui et al. 2006", "B03 B04 B08", lambda g, r, n: np.sqrt(g**2 + r**2 + n**2)),
    "SI3": own("salinity", "Douaoui et al. 2006", "B03 B04", lambda g, r: np.sqrt(g**2 + r**2)),
    "SI_T": own("salinity", "Tripathi et al. 1997", "B04 B08", lambda r, n: 100 * r / n, "NDVI"),
    "NDSI": own("salinity", "Khan et al. 2005; not the index of snow", "B04 B08", ratio, "NDVI"),
    "BI": own("salinity", "Khan et al. 2005", "B04 B08", lambda r, n: np.sqrt(r**2 + n**2)),
    "Int1": own("salinity", "Douaoui et al. 2006", "B03 B04", lambda g, r: (g + r) / 2),
    "Int2": own("salinity", "Douaoui et al. 2006", "B03 B04 B08", lambda g, r, n: (g + r + n) / 2),
    "VSSI": own("salinity", "Dehni & Lounis 2012", "B03 B04 B08", lambda g, r, n: 2 * g - 5 * (r + n)),
    "CRSI": own("salinity", "Scudiero et al. 2014; 0 where the ratio is negative", "B02 B03 B04 B08",
                lambda b, g, r, n: np.sqrt(ratio(n * r, g * b).clip(0))),
    "COSRI": own("salinity", "Fernández-Buces et al. 2006", "B02 B03 B04 B08",
                 lambda b, g, r, n: (b + g) / (r + n) * ratio(n, r)),
    "SI_SWIR": own("salinity", "the formula of the tillage index", "B11 B12", ratio),
    "SSSI2": own("salinity", "Bannari et al. 2008", "B11 B12", lambda s, t: (s * t - t**2) / s),
    "CR": own("radar", "cross ratio VH/VV, of linear power", "vv vh", lambda vv, vh: vh / vv),
    "RVI": own("radar", "radar vegetation index for two polarisations, 4 VH/(VV + VH)", "vv vh",
               lambda vv, vh: 4 * vh / (vv + vh), "CR"),
}


def table():
    """The indices of this book as a DataFrame: group, bands, source and function_of, by name."""
    return pd.DataFrame([{"name": name, "group": i.group, "bands": " ".join(needs(name)), "source": i.source,
                          "function_of": i.function_of} for name, i in TABLE.items()]).set_index("name")


def needs(name):
    """The bands that an index is computed from, e.g. ('B04', 'B08')."""
    index = _index(name)
    if index.formula:
        return index.bands
    entry = _catalogue(index.catalogue or name)
    return tuple(LETTERS[b] for b in entry.bands if b in LETTERS)


def index(name, bands):
    """One index of a Dataset of bands.

    name     of ``TABLE``, or of the catalogue `spyndex`
    bands    Dataset with the bands that the index needs (``needs``): reflectance 0–1 (B02 … B12), or backscatter in
             linear power (vv, vh); any dimensions, numpy or dask. A band that tells its centre in the attribute
             ``wavelength`` [nm] must lie within 25 nm of the band the index was made for.
    returns  DataArray of the same dimensions, NaN where a band is missing or the index is not defined
    raises   InputError for an unknown index, a missing band, a wrong wavelength, backscatter in dB, or reflectance
             that was not scaled

    >>> index("NDVI", xr.Dataset({"B04": 0.05, "B08": 0.45})).item()
    0.8
    """
    known, wanted = _index(name), needs(name)
    missing = [b for b in wanted if b not in bands]
    if missing:
        raise InputError(f"index {name} needs the band {missing[0]}; there are {', '.join(map(str, bands.data_vars))}")
    for band in wanted:
        _check(name, band, bands[band])
    given = {b: bands[b] for b in wanted}
    with np.errstate(divide="ignore", invalid="ignore"):
        if known.formula:
            value = known.formula(*given.values())
        else:
            entry = _catalogue(known.catalogue or name)
            letters = {letter: given[band] for letter, band in LETTERS.items() if band in given}
            value = entry.compute({**letters, **CONSTANTS.get(known.catalogue or name, {})})
    value = xr.DataArray(value)
    value = value.where(np.isfinite(value))
    value.attrs = {"units": "%" if name == "SI_T" else "1", "long_name": name, "source": known.source}
    return value.rename(name)


def indices(names, bands):
    """Several indices as a Dataset; see ``index``."""
    return xr.Dataset({name: index(name, bands) for name in names})


def to_db(power):
    """Backscatter in dB of linear power; NaN where it is not positive."""
    return (10 * np.log10(power.where(power > 0))).assign_attrs({**power.attrs, "units": "dB"})


def from_db(level):
    """Linear power of backscatter in dB."""
    return (10 ** (level / 10)).assign_attrs({**level.attrs, "units": "1"})


def _index(name):
    if name in TABLE:
        return TABLE[name]
    _catalogue(name)
    return Index("catalogue", f"spyndex: {name}")


def _catalogue(name):
    import spyndex

    if name not in spyndex.indices:
        raise InputError(f"index '{name}' is not known{near(name, [*TABLE, *spyndex.indices])}")
    entry = spyndex.indices[name]
    strange = [b for b in entry.bands if b not in LETTERS and b not in CONSTANTS.get(name, {})]
    if strange:
        raise InputError(f"index {name} needs '{strange[0]}', which Sentinel-1 and 2 do not give")
    return entry


def _check(name, band, values):
    centre = values.attrs.get("wavelength")
    if centre is not None and band in BANDS and abs(float(centre) - BANDS[band][1]) > FARTHEST:
        raise InputError(f"index {name} needs {band} near {BANDS[band][1]} nm; the band given lies at {centre} nm")
    if values.attrs.get("units") == "dB":
        raise InputError(f"index {name} needs {band} in linear power, not in dB; see indices.from_db")
    if band in BANDS and not values.chunks and values.size:
        some = values.values.flat[:: max(1, values.size // 10_000)]
        middle = np.median(some[np.isfinite(some)]) if np.isfinite(some).any() else 0.0
        if middle > BRIGHT:
            raise InputError(f"{band} holds {middle:g}; give reflectance from 0 to 1 (stored whole numbers / 10000)")
