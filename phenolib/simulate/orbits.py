"""When satellites pass over a place, on which track, and at which angle they look at it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near

RADIUS = 6371.0  # of the Earth [km]


@dataclass(frozen=True)
class Mission:
    """Orbit and swath of a pair of satellites on one repeating pattern of tracks.

    Repeat, number of orbits and heights are those of the missions, from memory. Which track passes where hangs on
    ``crossing``, a project default: the tracks look like the real ones but are not the real ones.
    """

    repeat: int  # days
    orbits: int  # in a repeat
    inclination: float  # [°]
    height: float  # [km]
    crossing: str  # UTC of the equator crossing northward of relative orbit 1
    hour: float  # local solar time of that crossing [h]
    swath: tuple[float, float]  # from the track to both sides [km], or near and far incidence angle [°]
    looks_right: bool = False
    ascending: bool = False  # whether northward passes are used


MISSIONS = {
    "sentinel-2": Mission(10, 143, 98.62, 786.0, "2015-06-28T01:12:00", 22.5, (-145.0, 145.0)),
    "sentinel-1": Mission(12, 175, 98.18, 693.0, "2014-09-29T02:36:00", 18.0, (29.1, 46.0), True, True),
}
SATELLITES = {  # name: mission, first and last day of data (None: still there), half a repeat behind the first
    "sentinel-2a": ("sentinel-2", "2015-07-04", None, False),
    "sentinel-2b": ("sentinel-2", "2017-07-01", None, True),
    "sentinel-1a": ("sentinel-1", "2014-10-03", None, False),
    "sentinel-1b": ("sentinel-1", "2016-09-26", "2021-12-23", True),
}


@dataclass(frozen=True)
class Track:
    """One relative orbit over a place.

    orbit      number, from 1
    direction  "ascending" or "descending"
    angle      incidence angle of a radar, view zenith angle of an optical sensor [°]
    minutes    from the equator crossing of relative orbit 1 to the pass, within a repeat
    """

    orbit: int
    direction: str
    angle: float
    minutes: float


def tracks(mission, lon, lat):
    """Relative orbits that see a place, from a circular orbit over a round, turning Earth.

    mission   "sentinel-1" or "sentinel-2"
    lon, lat  [°]
    returns   list of Track, by relative orbit
    raises    InputError for an unknown mission or a place beyond 80° of latitude

    Real ground tracks differ by some ten kilometres, angles by about a degree.
    """
    if mission not in MISSIONS:
        raise InputError(f"mission '{mission}' is not simulated{near(mission, MISSIONS)}")
    if not (-180 <= lon <= 360 and -80 <= lat <= 80):
        raise InputError(f"place {lon}, {lat} is out of range; give longitude, latitude within 80 degrees")
    facts = MISSIONS[mission]
    period = facts.repeat * 1440 / facts.orbits
    first = pd.Timestamp(facts.crossing)
    node = 15 * (facts.hour - first.hour - first.minute / 60)  # longitude of the first crossing
    number = np.arange(1, facts.orbits + 1)
    incline, phi = np.radians(facts.inclination), np.radians(lat)
    up = np.arcsin(np.clip(np.sin(phi) / np.sin(incline), -1, 1))  # angle along the orbit from the crossing northward
    found = []
    for direction, along in (("ascending", up), ("descending", np.pi - up)):
        if direction == "ascending" and not facts.ascending:
            continue
        along = along % (2 * np.pi)
        minutes = (number - 1) * period + along / (2 * np.pi) * period
        east = np.degrees(np.arctan2(np.cos(incline) * np.sin(along), np.cos(along)))
        offset = (lon - (node + east - minutes / 4) + 180) % 360 - 180  # the Earth turns a degree in four minutes
        sign = 1 if direction == "ascending" else -1
        north = sign * np.sqrt(np.clip(np.cos(phi) ** 2 - np.cos(incline) ** 2, 1e-9, None)) / np.cos(phi)
        eastward = np.cos(incline) / np.cos(phi) - period / 1440 * np.cos(phi)
        right = np.radians(offset) * RADIUS * np.cos(phi) * north / np.hypot(north, eastward)  # [km] right of the track
        for n, t, distance in zip(number, minutes, right):
            angle = _angle(distance, facts.height)
            seen = distance > 0 and facts.swath[0] <= angle <= facts.swath[1] if facts.looks_right else (
                facts.swath[0] <= distance <= facts.swath[1])
            if abs(distance) < 1500 and seen:
                found.append(Track(int(n), direction, round(float(angle), 2), float(t)))
    return sorted(found, key=lambda track: (track.orbit, track.minutes))


def _angle(distance, height):
    """Zenith angle at the ground of a satellite whose track is ``distance`` away [km]. returns [°]"""
    centre = abs(distance) / RADIUS
    return np.degrees(np.arctan2(np.sin(centre), np.cos(centre) - RADIUS / (RADIUS + height)))


def passes(mission, lon, lat, start, end, *, satellites=None):
    """Overpasses of a mission over a place.

    On one track Sentinel-2 comes every 10 days, every 5 from July 2017 with its second satellite; Sentinel-1 every
    12 days, every 6 from September 2016 until the second failed in December 2021. Between tracks it comes more often.

    mission     "sentinel-1" or "sentinel-2"
    lon, lat    [°]
    start, end  first and last day
    satellites  names, e.g. ("sentinel-1a",) where the second took no pictures, as over much of North America
    returns     DataFrame: time (UTC, datetime64[s]), satellite, orbit (relative), direction, angle [°]; in time order
    raises      InputError for an unknown mission or satellite, or an end before the start

    Dates of operation from memory; later satellites (1C, 2C) are not simulated. Every pass is taken to give data.
    """
    start, end = np.datetime64(start, "D"), np.datetime64(end, "D")
    if end < start:
        raise InputError(f"end = {end} lies before start = {start}")
    found = tracks(mission, lon, lat)
    facts = MISSIONS[mission]
    names = [n for n, (of, *_) in SATELLITES.items() if of == mission] if satellites is None else list(satellites)
    columns = {"time": [], "satellite": [], "orbit": [], "direction": [], "angle": []}
    for name in names:
        if name not in SATELLITES or SATELLITES[name][0] != mission:
            raise InputError(f"satellite '{name}' is not of {mission}{near(name, SATELLITES)}")
        _, first, last, behind = SATELLITES[name]
        begin = max(start, np.datetime64(first, "D"))
        stop = (end if last is None else min(end, np.datetime64(last, "D"))) + 1
        repeat = np.timedelta64(facts.repeat * 86400, "s")
        for track in found:
            seconds = round(track.minutes * 60) + behind * facts.repeat * 43200
            at = np.datetime64(facts.crossing, "s") + np.timedelta64(seconds, "s")
            low, high = int(np.ceil((begin - at) / repeat)), int(np.ceil((stop - at) / repeat))
            times = at + np.arange(low, max(low, high)) * repeat
            columns["time"].append(times)
            for key, value in (("satellite", name), ("orbit", track.orbit), ("direction", track.direction),
                               ("angle", track.angle)):
                columns[key].append(np.full(times.size, value))
    if not columns["time"]:
        return pd.DataFrame({key: [] for key in columns}).astype({"time": "datetime64[s]"})
    table = pd.DataFrame({key: np.concatenate(parts) for key, parts in columns.items()})
    return table.sort_values(["time", "satellite"], ignore_index=True)


def sun_zenith(lon, lat, time):
    """Angle of the sun from the vertical.

    cos ζ = sin φ·sin δ + cos φ·cos δ·cos h

    lon, lat  (...)  [°]
    time      (...)  datetime64, UTC
    returns   (...)  [°]; above 90 at night

    Declination and equation of time by the series of Spencer (1971), from memory; good to about half a degree.

    >>> round(float(sun_zenith(0.0, 45.0, np.datetime64("2019-06-21T12:00"))), 0)
    22.0
    """
    time = np.asarray(time, dtype="datetime64[s]")
    day = (time - time.astype("datetime64[Y]")).astype(float) / 86400
    hour = (time - time.astype("datetime64[D]")).astype(float) / 3600
    b = 2 * np.pi * (day - hour / 24) / 365.25
    delta = (0.006918 - 0.399912 * np.cos(b) + 0.070257 * np.sin(b) - 0.006758 * np.cos(2 * b)
             + 0.000907 * np.sin(2 * b) - 0.002697 * np.cos(3 * b) + 0.00148 * np.sin(3 * b))
    minutes = 229.18 * (0.000075 + 0.001868 * np.cos(b) - 0.032077 * np.sin(b) - 0.014615 * np.cos(2 * b)
                        - 0.040849 * np.sin(2 * b))
    angle = np.radians(15 * (hour + minutes / 60 - 12) + np.asarray(lon, dtype=float))
    phi = np.radians(np.asarray(lat, dtype=float))
    cos = np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.cos(angle)
    return np.degrees(np.arccos(np.clip(cos, -1, 1)))


def shift(rng, image, *, sd, pixel=10.0):
    """Move each image of a stack a little, as the geolocation of scenes is not exact.

    rng      numpy Generator
    image    (scene, ..., y, x); what lies between, such as bands, moves together
    sd       standard deviation of the shift in each direction [m]: 5 for Sentinel-2, 7 for Sentinel-1
    pixel    [m]
    returns  (scene, ..., y, x)  float32, bilinear; beyond the edge the nearest pixel holds
    raises   InputError for an image of fewer than three dimensions

    Project defaults.
    """
    image = np.asarray(image, dtype="float32")
    if image.ndim < 3:
        raise InputError(f"a shift needs images (scene, ..., y, x), not an array of {image.ndim} dimension(s)")
    moved = np.empty_like(image)
    for k, scene in enumerate(image):
        for axis, distance in zip((-2, -1), rng.normal(0, sd / pixel, 2)):
            whole, index = int(np.floor(distance)), np.arange(scene.shape[axis])
            low, high = (np.take(scene, np.clip(index + whole + up, 0, index.size - 1), axis) for up in (0, 1))
            scene = (1 - (distance - whole)) * low + (distance - whole) * high
        moved[k] = scene
    return moved
