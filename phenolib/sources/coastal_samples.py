"""Soil samples with laboratory EC beside the six bands of a Landsat scene, as a CSV; and such a scene.

The layout is that of the public samples of coastal Odisha, India (repository garimajain2002/coastal_salinity_index,
CC0): one row a sample with `Name` (which ends in its date), `EC`, `pH`, and the bands `Blue` … `SWIR2` as whole numbers
of Landsat Collection 2 Level 2, or `Blue_R` … `SWIR2_R` as reflectance.

Known of EC: it is in µS/cm, for notes of the laboratory give some values again in mS/cm. Not known: the extract (1:5,
1:2 or saturated paste) and the depth. Without the extract EC says nothing of a salt content, and none is made of it.

Indices of such a file are not read: its `NDVI` is (red − green)/(red + green), its `SAVI` no SAVI. ``misnamed``
compares them with the formulas.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic, write_text

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
SENTINEL = dict(zip(BANDS, ("B02", "B03", "B04", "B08", "B11", "B12")))  # the bands that the indices are written for
CENTRES = dict(zip(BANDS, (482, 561, 655, 865, 1609, 2201)))  # of the Operational Land Imager [nm], from memory
FILE = dict(zip(BANDS, ("Blue", "Green", "Red", "NIR", "SWIR1", "SWIR2")))
SCALE, OFFSET = 2.75e-5, -0.2  # of Landsat Collection 2 Level 2
UNITS = {"uS/cm": 1.0, "mS/cm": 1e3, "dS/m": 1e3}  # in µS/cm
USUAL = (20.0, 5e4)  # within which the median of EC is expected [µS/cm]
NODATA = 65535
INDICES = {  # columns of a file that are held against their formulas, those of ``phenolib.indices``
    "NDVI": lambda v: (v["nir"] - v["red"]) / (v["nir"] + v["red"]),
    "NDWI": lambda v: (v["green"] - v["nir"]) / (v["green"] + v["nir"]),
    "SAVI": lambda v: 1.5 * (v["nir"] - v["red"]) / (v["nir"] + v["red"] + 0.5),
    "VSSI": lambda v: 2 * v["green"] - 5 * (v["red"] + v["nir"]),
}
BRIGHT = 1.6  # reflectance above this is a number that was not scaled


def read(path, *, units="uS/cm", reflectance="auto"):
    """Samples with reflectance, EC and what the file tells of their place.

    path         CSV in UTF-8 or Latin-1
    units        of EC in the file: "uS/cm", "mS/cm" or "dS/m"
    reflectance  "auto": columns Blue_R … if there are, else Blue … scaled by 2.75e-5 and −0.2 if they are whole numbers
                 of Landsat; "stored": Blue … must be such whole numbers; "as is": Blue … are reflectance
    returns      DataFrame, one row a sample with reflectance: sample, date, blue … swir2 [-], ec [µS/cm], ph, and as
                 far as the file has them area, cell (of a grid), strip (across the coast), sea (distance class, 1 is
                 nearest), land_cover, soil, moisture [%], repeats (whether the file marks it as one of a pair of
                 duplicates). attrs: asked (rows of the file), retrieved (share with reflectance), remarks (sentences)
    raises       InputError for a missing file, column or value, a date that cannot be read, EC that is negative or
                 implausible in its unit, a band out of range, or two columns of one band that contradict each other
    """
    path = Path(path)
    table = _text(path)
    if units not in UNITS:
        raise InputError(f"units = '{units}' of EC is not known{near(units, UNITS)}")
    remarks = []
    for name in ("Name", "EC"):
        if name not in table:
            raise InputError(f"{path.name}: there is no column '{name}'{near(name, table.columns)}")
    bands = _bands(path, table, reflectance)
    kept = bands.notna().all(axis=1)
    if not kept.any():
        raise InputError(f"{path.name}: no row has all six bands; give the file with the values of the scene")
    if not kept.all():
        remarks.append(f"{(~kept).sum()} of {len(kept)} samples have no reflectance (masked as water in the source)")
    made = pd.DataFrame({"sample": table["Name"], "date": _dates(path, table["Name"])})
    made[list(BANDS)] = bands
    made["ec"] = _numbers(path, table, "EC") * UNITS[units]
    _plausible(path, made["ec"], units)
    made["ph"] = _numbers(path, table, "pH") if "pH" in table else np.nan
    if "Grid_Cell_ID" in table:
        cell = table["Grid_Cell_ID"].str.strip()
        made = made.assign(area=cell.str[0], cell=cell, strip=cell.str[:2])
    if "Dist_Sea" in table:
        made["sea"] = _numbers(path, table, "Dist_Sea")
    for name, column in (("land_cover", "Land_cover"), ("soil", "Soil_Type")):
        if column in table:
            made[name] = table[column].str.strip().str.strip("'")
    if "Soil_Moisture_Lab" in table:
        made["moisture"] = _numbers(path, table, "Soil_Moisture_Lab")
    said = [c for c in ("RPD_EC", "Observations") if c in table]
    if said:
        marked = table[said[0]].ne("") if said[0] == "RPD_EC" else False
        noted = table["Observations"].str.contains("DUPLICATE", case=False) if "Observations" in table else False
        made["repeats"] = marked | noted
        remarks.append(f"{int(made['repeats'].sum())} samples are marked as duplicates (RPD_ columns are the relative "
                       "difference of such a pair, in per cent)")
    if "Time" in table:
        when = pd.to_datetime(table["Time"].where(table["Time"] != ""), errors="coerce", utc=True).dt.tz_localize(None)
        other = when.notna() & (when.dt.normalize() != made["date"])
        if other.any():
            remarks.append(f"{int(other.sum())} samples have a Time of another day than their name; the name is used")
    found = misnamed(table.assign(**{FILE[b] + "_R": bands[b] for b in BANDS})[kept])
    remarks += [f"the column '{r.column}' is not {r.column}: it holds {r.holds}" for r in found.itertuples()
                if not r.agrees]
    made = made[kept].reset_index(drop=True)
    made.attrs = {"asked": len(table), "retrieved": float(kept.mean()), "remarks": remarks, "ec_units": "uS cm-1",
                  "extract": "not stated", "depth": "not stated"}
    return made


def write(table, path):
    """Write samples as ``read`` reads them: bands as whole numbers of Landsat, EC in µS/cm.

    table    DataFrame with sample (which ends in its date), ``BANDS`` [-] (NaN: masked) and ec [µS/cm], and as far as
             it has them ph, cell, sea, land_cover, soil, moisture, repeats, and columns of ``INDICES`` as they are
    path     the file
    """
    made = pd.DataFrame({"Name": table["sample"]})
    for name, column in (("soil", "Soil_Type"), ("land_cover", "Land_cover"), ("ph", "pH"), ("ec", "EC"),
                         ("moisture", "Soil_Moisture_Lab"), ("sea", "Dist_Sea"), ("cell", "Grid_Cell_ID")):
        if name in table:
            made[column] = table[name]
    if "repeats" in table:
        made["Observations"] = np.where(table["repeats"], "DUPLICATE", "")
    for band in BANDS:
        made[FILE[band]] = numbers(table[band]).astype("Int64")
    made = made.assign(**{name: table[name] for name in INDICES if name in table})
    write_text(Path(path), made.to_csv(index=False, lineterminator="\n"))


def numbers(reflectance):
    """Reflectance [-] as whole numbers of Landsat Collection 2 Level 2; NaN stays.

    >>> float(numbers(np.array([0.053]))[0])
    9200.0
    """
    return np.round((reflectance - OFFSET) / SCALE)


def misnamed(table):
    """Which columns of indices hold what their name says.

    table    DataFrame with Blue_R … SWIR2_R [-] and columns NDVI, NDWI, SAVI, VSSI, as far as it has them
    returns  DataFrame: column, agrees (with its formula), away (largest difference), holds (what it is:
             the index, another normalised difference, or "something else")
    """
    values = {b: pd.to_numeric(table[f"{FILE[b]}_R"], errors="coerce").to_numpy(float) for b in BANDS}
    rows = []
    for name in [n for n in INDICES if n in table]:
        given = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        away, holds = float(np.nanmax(np.abs(given - INDICES[name](values)))), name
        if away > 1e-4:
            pairs = [(f"({a} - {b})/({a} + {b})", (values[a] - values[b]) / (values[a] + values[b]))
                     for a in BANDS for b in BANDS if a != b]
            holds = next((text for text, v in pairs if np.nanmax(np.abs(given - v)) < 1e-4), "something else")
        rows.append({"column": name, "agrees": away <= 1e-4, "away": away, "holds": holds})
    return pd.DataFrame(rows, columns=["column", "agrees", "away", "holds"])


def duplicates(samples):
    """Samples that share their pixel, two by two: how far EC differs where the satellite sees the same.

    samples  DataFrame of ``read``
    returns  DataFrame: first, second (samples), ratio (of EC, the larger over the smaller), log_ratio (ln), marked
             (whether the file calls them duplicates). attrs: sd, the SD of one value of ln EC from marked pairs,
             √(mean d² / 2); NaN without a pair
    """
    rows = []
    for _, some in samples.groupby(list(BANDS), sort=False):
        for a, b in zip(some.itertuples(), some.iloc[1:].itertuples()):
            away = abs(np.log(a.ec / b.ec))
            marked = bool(getattr(a, "repeats", False) or getattr(b, "repeats", False))
            rows.append({"first": a.sample, "second": b.sample, "ratio": np.exp(away), "log_ratio": away,
                         "marked": marked})
    made = pd.DataFrame(rows, columns=["first", "second", "ratio", "log_ratio", "marked"])
    some = made.loc[made["marked"], "log_ratio"]
    made.attrs = {"sd": float(np.sqrt((some**2).mean() / 2)) if len(some) else np.nan}
    return made


def merged(samples):
    """One row a pixel: samples of one pixel become one, with the geometric mean of EC and the first of all else.

    samples  DataFrame of ``read``
    returns  DataFrame with the column merged, the number of samples behind a row
    """
    groups = samples.groupby(list(BANDS), sort=False)
    ec = np.exp(np.log(samples["ec"]).groupby([samples[b] for b in BANDS], sort=False).mean()).to_numpy()
    # groupby.first skips what is missing: of a pair the one that was measured counts
    made = groups.first().reset_index().assign(ec=ec, merged=groups.size().to_numpy())
    made = made[[*samples.columns, "merged"]]
    made.attrs = samples.attrs
    return made


def dataset(samples):
    """The six bands as a Dataset with the names of Sentinel-2, for ``phenolib.indices``.

    samples  DataFrame, or Dataset, with ``BANDS`` [-]
    returns  Dataset of B02, B03, B04, B08, B11, B12 with their centre [nm]
    """
    made = {}
    for band, name in SENTINEL.items():
        value = samples[band]
        value = value if isinstance(value, xr.DataArray) else xr.DataArray(np.asarray(value, float), dims="sample")
        made[name] = value.astype(float).assign_attrs(wavelength=CENTRES[band], units="1")
    return xr.Dataset(made)


def scene(folder, *, scale=SCALE, offset=OFFSET):
    """A scene of six bands from one GeoTIFF each: Blue.tif, Green.tif, Red.tif, NIR.tif, SWIR1.tif, SWIR2.tif.

    folder   with the files
    scale, offset  reflectance = scale · number + offset; the default is that of Landsat Collection 2 Level 2. The
             files do not say of which level they are
    returns  Dataset (y, x) float32 of ``BANDS`` [-], NaN without a value, with spatial_ref
    raises   InputError for a missing file, bands on different grids, or reflectance that cannot be
    """
    import rioxarray

    folder, made = Path(folder), {}
    for band, stem in FILE.items():
        path = folder / f"{stem}.tif"
        if not path.is_file():
            beside = [p.name for p in folder.glob("*.tif")]
            raise InputError(f"{folder.name}: there is no {path.name}{near(path.name, beside)}")
        with rioxarray.open_rasterio(path) as opened:
            raw = opened.squeeze("band", drop=True).load()
        empty = raw == raw.attrs.get("_FillValue", raw.rio.nodata if raw.rio.nodata is not None else NODATA)
        value = (raw.astype(np.float32) * np.float32(scale) + np.float32(offset)).where(~empty)
        middle = float(value.median())
        if not 0.0 < middle < 1.0:
            raise InputError(f"{path.name}: has a median reflectance of {middle:.3g}; give the scale and offset of the "
                             "file, those of Landsat Collection 2 Level 2 are 2.75e-5 and -0.2")
        if made and (value.shape != made["blue"].shape or not np.allclose(value.x, made["blue"].x)
                     or not np.allclose(value.y, made["blue"].y)):
            raise InputError(f"{path.name}: does not lie on the grid of Blue.tif; bring the bands to one grid")
        made[band] = value.drop_attrs(deep=False).assign_attrs(units="1", wavelength=CENTRES[band])
    return xr.Dataset(made)


def write_scene(scene, folder):
    """Write a scene as ``scene`` reads it.

    scene    Dataset (y, x) of ``BANDS`` [-], NaN without a value, with its projection
    folder   of the six files
    """
    import rioxarray  # noqa: F401  the accessor

    from phenolib.sources import stac_catalog

    for band, stem in FILE.items():
        values = numbers(scene[band].values)
        with atomic(Path(folder) / f"{stem}.tif") as part:
            stac_catalog.write_cog(part, np.where(np.isnan(values), NODATA, values).astype(np.uint16),
                                   scene.rio.transform(), scene.rio.crs, NODATA)


def whole_scenes(paths):
    """The six files of each folder that one of these files lies in, as far as they are there; rising."""
    folders = {path.parent for path in paths}
    return sorted(f / f"{stem}.tif" for f in folders for stem in FILE.values() if (f / f"{stem}.tif").is_file())


def _text(path):
    """The table as text, the same whether written in UTF-8 or Latin-1."""
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise InputError(f"{path.name}: there is no such file{near(path.name, beside)}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # µ of a spreadsheet
        text = data.decode("latin-1")
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    table = table.replace({"NA": "", "NaN": ""})
    if table.empty:
        raise InputError(f"{path.name}: holds no rows; download it again")
    return table


def _numbers(path, table, name):
    """A column as numbers, NaN where it is empty."""
    text = table[name].str.strip()
    value = pd.to_numeric(text, errors="coerce")
    bad = value.isna() & (text != "")
    if bad.any():
        k = bad.idxmax()
        raise InputError(f"{path.name}: line {k + 2}, column '{name}': '{text[k]}' is no number")
    return value


def _bands(path, table, reflectance):
    """Reflectance of the six bands, DataFrame of ``BANDS``."""
    if reflectance not in ("auto", "stored", "as is"):
        raise InputError(f"reflectance = '{reflectance}' is not known{near(reflectance, ('auto', 'stored', 'as is'))}")
    scaled = reflectance == "auto" and all(f"{FILE[b]}_R" in table for b in BANDS)
    made = {}
    for band in BANDS:
        plain, name = FILE[band], FILE[band] + ("_R" if scaled else "")
        if name not in table:
            raise InputError(f"{path.name}: there is no column '{name}'{near(name, table.columns)}")
        value = _numbers(path, table, name)
        if not scaled and (reflectance == "stored" or reflectance == "auto" and value.median() > BRIGHT):
            value = value * SCALE + OFFSET
        elif scaled and plain in table:
            away = (_numbers(path, table, plain) * SCALE + OFFSET - value).abs().max()
            if away > 1e-4:
                raise InputError(f"{path.name}: the columns '{plain}' and '{name}' differ by {away:.2g} after scaling; "
                                 "correct one of them")
        outside = (value < -0.05) | (value > 1.2)
        if outside.any():
            k = outside.idxmax()
            raise InputError(f"{path.name}: line {k + 2}: the reflectance in '{name}' is {value[k]:.3g}; it should lie "
                             "between 0 and 1, or be stored as whole numbers of Landsat Collection 2")
        made[band] = value
    return pd.DataFrame(made)


def _dates(path, names):
    """The dates that names such as C-S01_20240213 end in."""
    found = names.str.extract(r"_(\d{8})\s*$")[0]
    date = pd.to_datetime(found, format="%Y%m%d", errors="coerce")
    if date.isna().any():
        k = date.isna().idxmax()
        raise InputError(f"{path.name}: line {k + 2}: the name '{names[k]}' does not end in a date such as _20240213")
    return date


def _plausible(path, ec, units):
    """Refuses EC that is missing, negative, or by its median in another unit."""
    if ec.isna().any():
        raise InputError(f"{path.name}: line {ec.isna().idxmax() + 2} has no EC; leave the row out")
    if (ec <= 0).any():
        k = (ec <= 0).idxmax()
        raise InputError(f"{path.name}: line {k + 2} has an EC of {ec[k]:g}; it is above 0")
    middle = float(ec.median())
    if not USUAL[0] <= middle <= USUAL[1]:
        other = "dS/m" if middle < USUAL[0] else "uS/cm"
        raise InputError(f"{path.name}: the median EC is {middle / UNITS[units]:g} {units}, which is implausible for "
                         f"soil; if the file is in {other}, give units='{other}'")
