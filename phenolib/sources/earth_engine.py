"""What Google Earth Engine exports to a folder: GeoTIFFs of Sentinel scenes, and tables of values at points.

GeoTIFFs hold the bands of one date or month, with the date in the name of the file (``field_20180605.tif``,
``field_2018-06.tif``), or those of many dates, with the name of the scene before that of the band, as ``toBands()``
makes them (``20180605T103021_20180605T103024_T32UPA_B4``). Large exports come in pieces
(``…-0000000000-0000008192.tif``), which are joined. Tables have a column ``system:index``, ``date`` or
``system:time_start`` and one per band.

Integers, and numbers of which the middle one exceeds 2, are reflectance times 10 000. Earth Engine writes masked pixels
of integer images as 0, which is therefore missing, as are −9999 and not-a-number.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources import tables
from phenolib.sources.rasters import Grid, Source, described, lazy, probe
from phenolib.sources.sentinel import CLEAR, WAVELENGTHS
from phenolib.sources.stac_items import NAMES

PIECE = re.compile(r"-\d{10}-\d{10}$")
BAND = re.compile(r"(?:(?P<scene>.*)_)?(?P<band>B\d{1,2}A?|SCL|VV|VH)(?:_(?:mean|median|first))?", re.IGNORECASE)
MOMENTS = (r"(?<!\d)(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?!\d)", r"(?<!\d)(\d{4})[-_](\d\d)[-_](\d\d)(?!\d)",
           r"(?<!\d)(\d{4})(\d\d)(\d\d)(?!\d)", r"(?<!\d)(\d{4})[-_]?(\d\d)(?!\d)")
TIMES = ("system:index", "date", "time", "system:time_start", "datetime")
SITES = ("site", "name", "station", "plot", "field", "point", "id")
HARMONIZED_FROM = pd.Timestamp("2022-01-25")  # when baseline 04.00 began
OTHERWISE = "move the file out of the folder"


def read_earth_engine(folder, *, harmonized=True, scale="auto", backscatter="auto", mask=CLEAR, site="", chunks=None):
    """Exports of Earth Engine in the names and units of this library.

    folder       of GeoTIFFs or of tables (CSV), or one such file
    harmonized   whether they come from S2_SR_HARMONIZED; of S2_SR, 1000 are subtracted from 25 January 2022 on
    scale        reflectance per number, or "auto": 0.0001 for integers and for numbers with a median over 2, else 1
    backscatter  "linear", "db", or "auto": decibels where the median is negative
    mask         classes of `scl` that are kept, where it was exported; None keeps all
    site         column of the sites in tables; by default one of ``SITES`` if there is one
    chunks       of GeoTIFFs, {"time": 1, "y": 1024, "x": 1024}
    returns      Dataset (time, y, x), read when it is computed, on the grid of the first file; of tables (time) or
                 (site, time). `B02` … `B12` reflectance [1], `vv`, `vh` linear power [1], `scl` uint8 (0 = missing);
                 NaN where missing. A month is dated to its first day. attrs: source, scale, files, ignored (bands and
                 columns that are of no use here)
    raises       InputError for a folder without exports or with both kinds, bands without names, a date that cannot be
                 found or is there twice, or a truncated file
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder}: there is no such file or folder; give the folder of the exports")
    files = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    rasters = [p for p in files if p.suffix.lower() in (".tif", ".tiff")]
    sheets = [p for p in files if p.suffix.lower() == ".csv"]
    if bool(rasters) == bool(sheets):
        what = "GeoTIFFs and CSV files; give the folder of one kind, or one file" if rasters else \
            "neither GeoTIFF nor CSV; give the folder into which Earth Engine exported"
        raise InputError(f"{folder}: holds {what}")
    if scale != "auto" and not (np.isscalar(scale) and np.isreal(scale) and scale > 0):
        raise InputError(f"scale is {scale!r}; 'auto' or a number such as 0.0001 is expected")
    if backscatter not in ("auto", "linear", "db"):
        raise InputError(f"backscatter = '{backscatter}' is unknown{near(backscatter, ('auto', 'linear', 'db'))}")
    if rasters:
        return _read_rasters(folder, rasters, harmonized, scale, backscatter, mask, chunks)
    return _read_tables(folder, sheets, harmonized, scale, backscatter, mask, site)


def band_of(text):
    """Name of a band as this library has it, and what stands before it; ("", text) for anything else.

    >>> band_of("20180605T103021_20180605T103024_T32UPA_B4")
    ('B04', '20180605T103021_20180605T103024_T32UPA')
    >>> band_of("VV_mean"), band_of("NDVI")
    (('vv', ''), ('', 'NDVI'))
    """
    named = BAND.fullmatch(text)
    if not named:
        return "", text
    band = named["band"].upper()
    band = f"B{int(band[1:]):02d}" if band[1:].isdigit() else band if band == "B8A" else band.lower()
    return (band, named["scene"] or "") if band in NAMES else ("", text)


def moment_of(text):
    """The first date in a name, a month as its first day; None if there is none.

    >>> moment_of("20180605T103021_20180605T103024_T32UPA")
    Timestamp('2018-06-05 10:30:21')
    >>> moment_of("field_2018-06")
    Timestamp('2018-06-01 00:00:00')
    """
    for pattern in MOMENTS:
        for found in re.finditer(pattern, text):
            numbers = [int(n) for n in found.groups()]
            numbers += [1] * (3 - len(numbers))
            if 1980 <= numbers[0] <= 2100:
                try:
                    return pd.Timestamp(*numbers)
                except ValueError:
                    continue
    return None


# ---- GeoTIFFs

def _read_rasters(folder, files, harmonized, scale, backscatter, mask, chunks):
    import rioxarray  # noqa: F401  gives datasets their .rio

    sources, grids, ignored, names = {}, {}, set(), {}
    for path in files:
        grids[path] = _opened(path)
        stem = PIECE.sub("", path.stem)
        for number, (text, kind) in enumerate(_descriptions(path), 1):
            band, scene = band_of(text)
            if not band:
                ignored.add(text)
                continue
            time = moment_of(scene) or moment_of(stem)
            if time is None:
                raise InputError(f"{path.name}: neither its name nor the band '{text}' tells a date; name the file "
                                 f"e.g. {stem}_20180605.tif")
            if names.setdefault((time, band), (stem, scene)) != (stem, scene) and not scene:
                raise InputError(f"{path.name}: {band} of {time:%Y-%m-%d} is in {names[time, band][0]}.tif too; "
                                 "keep one of the files")
            about = Source(path.name, text, str(path), nodata=0, number=number, otherwise=OTHERWISE)
            sources.setdefault(band, {}).setdefault(time, []).append((about, kind))
    if not sources:
        raise InputError(f"{folder}: the bands are called {', '.join(sorted(ignored)[:8])}; B2 … B12, SCL, VV or VH "
                         "are expected")
    factor = _factor([s for band in sources if band in WAVELENGTHS for s in _flat(sources[band])], scale)
    unit = _unit([s for band in sources if band in ("vv", "vh") for s in _flat(sources[band])], backscatter)
    times = sorted({time for steps in sources.values() for time in steps})
    for band, steps in sources.items():
        for time, those in steps.items():
            for source, _ in those:
                source.kind = unit if band in ("vv", "vh") else "classes" if band == "scl" else "reflectance"
                if band in WAVELENGTHS:
                    source.scale, source.offset = factor, _offset(time, harmonized)
    grid = _joined(grids)
    keep = None if mask is None else tuple(int(c) for c in mask)
    classes = sources.get("scl", {})
    variables = {}
    for band in [name for name in NAMES if name in sources]:
        steps = []
        for time in times:
            masks = [s for s, _ in classes.get(time, [])] if band in WAVELENGTHS and keep is not None else []
            those = [s for s, _ in sources[band].get(time, [])]
            steps.append([(s, next((m for m in masks if _beside(s, m)), None)) for s in those])
        variables[band] = lazy(band, steps, grid, keep=keep, chunks=chunks)
    coordinates = {"time": ("time", np.array(times, "datetime64[ns]"), {"long_name": "date in the names"}),
                   **grid.middles()}
    cube = xr.Dataset(variables, coordinates).rio.write_crs(grid.crs)
    cube.attrs = {"source": f"Earth Engine export {folder.name}", "files": len(files), "scale": factor}
    return cube.assign_attrs(ignored=", ".join(sorted(ignored))) if ignored else cube


def _opened(path):
    """The grid of a file, which has to be whole."""
    answer = probe(Source(path.name, "all bands", str(path), otherwise=OTHERWISE))
    if isinstance(answer, InputError):
        raise answer
    return Grid(*answer)


def _descriptions(path):
    """Name and type of number of every band."""
    import rasterio

    with rasterio.open(path) as file:
        if not any(file.descriptions):
            raise InputError(f"{path.name}: its bands have no names, or the end of the file is missing; export it "
                             "again, the names of the bands stand in the file")
        return list(zip((text or "" for text in file.descriptions), file.dtypes))


def _beside(source, mask):
    """Whether two bands are of the same scene: in one file, after the same name."""
    return source.href == mask.href and band_of(source.asset)[1] == band_of(mask.asset)[1]


def _flat(steps):
    return [pair for time in sorted(steps) for pair in steps[time]]


def _sample(pairs):
    """A few thousand numbers of a few bands, without what is missing."""
    import rasterio

    found = []
    for source, _ in pairs[:: max(1, len(pairs) // 8)]:
        with rasterio.open(source.href) as file:
            shape = tuple(min(n, 128) for n in file.shape)
            try:
                values = file.read(source.number, out_shape=shape).astype(float).ravel()
            except rasterio.errors.RasterioError as error:
                raise source.refuse("cannot be read, it may be truncated; export it again") from error
            found.append(values[np.isfinite(values) & (values != 0) & (values != -9999)])
    return np.concatenate(found) if found else np.empty(0)


def _factor(pairs, scale):
    """Reflectance per number."""
    if scale != "auto":
        return float(scale)
    if pairs and all(np.issubdtype(kind, np.integer) for _, kind in pairs):
        return 1e-4
    return _guess(_sample(pairs))


def _guess(values):
    values = values[np.isfinite(values)]
    return 1e-4 if len(values) and np.median(values) > 2 else 1.0


def _unit(pairs, backscatter):
    if backscatter != "auto" or not pairs:
        return backscatter
    return _decibels(_sample(pairs))


def _decibels(values):
    values = values[np.isfinite(values)]
    return "db" if len(values) and np.median(values) < 0 else "linear"


def _offset(time, harmonized):
    return 0.0 if harmonized or time < HARMONIZED_FROM else -0.1


def _joined(grids):
    """The grid of the first file, enlarged to hold the others, which have to be in step with it."""
    from affine import Affine

    (first, grid), *_ = grids.items()
    for path, other in grids.items():
        steps = [(other.transform.c - grid.transform.c) / grid.transform.a,
                 (other.transform.f - grid.transform.f) / grid.transform.e]
        same = other.crs == grid.crs and np.allclose(other.transform[:2] + other.transform[3:5],
                                                     grid.transform[:2] + grid.transform[3:5])
        if not same or max(abs(s - round(s)) for s in steps) > 1e-3:
            raise InputError(f"{path.name}: its pixels do not lie on those of {first.name}; export all with the same "
                             "crs and crsTransform (or region and scale)")
    left, bottom, right, top = (f(e) for f, e in zip((min, min, max, max), zip(*(g.bounds() for g in grids.values()))))
    at = grid.transform
    shape = round((bottom - top) / at.e), round((right - left) / at.a)
    return Grid(grid.crs, Affine(at.a, 0, left, 0, at.e, top), shape)


# ---- tables

def _read_tables(folder, files, harmonized, scale, backscatter, mask, site):
    parts, ignored = [], set()
    for path in files:
        part, others = _rows(path, site)
        parts.append(part)
        ignored |= others
    table = pd.concat(parts, ignore_index=True)
    bands = [name for name in NAMES if name in table]
    optical, radar = [b for b in bands if b in WAVELENGTHS], [b for b in bands if b in ("vv", "vh")]
    values = table[bands].where(table[bands] != 0)
    factor = float(scale) if scale != "auto" else _guess(values[optical].to_numpy())
    offset = np.array([_offset(time, harmonized) for time in table["time"]])
    for band in optical:
        values[band] = values[band] * factor + offset
    unit = backscatter if backscatter != "auto" else _decibels(values[radar].to_numpy())
    for band in radar:
        values[band] = 10 ** (values[band] / 10) if unit == "db" else values[band]
    if mask is not None and "scl" in bands:
        values.loc[~values["scl"].isin(list(mask)), optical] = np.nan
    keys = ["site", "time"] if "site" in table else ["time"]
    _once(table, keys)
    groups = pd.concat([table[keys], values], axis=1).groupby(keys, sort=True)
    means = groups.mean() if "scl" not in bands else groups.agg({b: "first" if b == "scl" else "mean" for b in bands})
    cube = xr.Dataset.from_dataframe(means)
    for band in bands:
        if band == "scl":
            known = cube[band].where(cube[band].isin(range(12)), 0)
            cube[band] = known.fillna(0).astype("uint8")
        cube[band].attrs = described(band)
    cube["time"].attrs = {"long_name": "date of the scene"}
    cube.attrs = {"source": f"Earth Engine export {folder.name}", "files": len(files), "scale": factor}
    return cube.assign_attrs(ignored=", ".join(sorted(ignored))) if ignored else cube


def _rows(path, site):
    """DataFrame with time, scene, the bands, file, line and, where there is one, site; names of the other columns."""
    table = tables.read(path)
    columns = {}
    for column in table:
        band, scene = band_of(column)
        if band and not scene:
            if band in columns:
                raise InputError(f"{path.name}: '{columns[band]}' and '{column}' hold the same; keep one of them")
            columns[band] = column
    if not columns:
        raise InputError(f"{path.name}: the columns are {', '.join(list(table)[:10])}; bands such as B4, B8 or VV are "
                         "expected")
    when = next((c for name in TIMES for c in table if c.lower() == name), None)
    if when is None:
        raise InputError(f"{path.name}: no column tells the date; one of {', '.join(TIMES)} is expected")
    where = site or next((c for name in SITES for c in table if c.lower() == name), "")
    if site and site not in table:
        raise InputError(f"{path.name}: the column '{site}' is missing{near(site, list(table))}")
    rows = pd.DataFrame({band: tables.numbers(path, table[column]) for band, column in columns.items()})
    rows["time"] = [_time(path, line, text) for line, text in table[when].items()]
    rows["scene"], rows["file"], rows["line"] = table[when].to_numpy(), path.name, table.index.to_numpy()
    if where:
        rows["site"] = table[where].str.strip().to_numpy()
    others = set(table) - set(columns.values()) - {when, where, ".geo"}
    return rows.reset_index(drop=True), others


def _time(path, line, text):
    text = text.strip()
    if re.fullmatch(r"-?\d{11,14}(\.0)?", text):  # milliseconds since 1970
        return pd.Timestamp(int(float(text)), unit="ms")
    if re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", text):
        try:
            time = pd.Timestamp(text)
            return time if time.tzinfo is None else time.tz_convert(None)
        except ValueError:
            pass
    time = moment_of(text)
    if time is None:
        raise InputError(f"{path.name}: line {line} has the date '{text}'; e.g. 2018-06-05 or "
                         "20180605T103021_20180605T103024_T32UPA is expected")
    return time


def _once(table, keys):
    """Refuse rows of one site and time that are not of different tiles."""
    tile = table["scene"].str.extract(r"_(T\d\d[A-Z]{3})", expand=False).fillna("")
    again = pd.concat([table[keys], tile], axis=1).duplicated()
    if again.any():
        row = table[again].iloc[0]
        more = "" if "site" in table else ", or name the column of the sites (site=)"
        raise InputError(f"{row['file']}: line {row['line']} has {row['time']:%Y-%m-%d} again; keep one row{more}")
