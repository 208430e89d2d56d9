"""What a field camera sees without noise: greenness of the canopy top, and which part of a field is in its picture."""

import numpy as np

from phenolib.errors import InputError

GROUND, LEAVES = 0.33, 0.45  # greenness of bare soil c₀ and of a closed green canopy c₁, project defaults
ZENITH = 75.0  # of the line of sight [°], project default: cameras look 70-80° from the vertical
EXTINCTION = 0.5  # k, of leaves at random angles


def greenness(lai, top=1.0, *, flower=0.0, zenith=ZENITH, extinction=EXTINCTION, ground=GROUND, leaves=LEAVES):
    """Green chromatic coordinate of a field in an oblique picture, without noise.

    GCC = c₀ + (c₁ − c₀) · (1 − e^{−k·LAI / cos ζ}) · g_top − c₂·flower

    lai         (...)  leaf area index [m² m⁻²]; of all leaves, where ``top`` says how green they are
    top         (...)  greenness of the visible top, 0–1
    flower      (...)  c₂·flower(t): what flowers or tassels take away [-]
    zenith      (...)  ζ of the line of sight [°]; the larger, the sooner it saturates
    extinction         k
    ground      (...)  c₀
    leaves      (...)  c₁
    returns     (...)  [-]
    raises      InputError for negative leaf area, a share outside 0–1 or ζ outside 0–85°

    Project default. With LAI_max 5, ζ = 75° and k = 0.5 half of the amplitude is reached at LAI 0.36.

    >>> float(greenness(0.0)), round(float(greenness(5.0)), 3)
    (0.33, 0.45)
    """
    lai, top, zenith = (np.asarray(v, dtype=float) for v in (lai, top, zenith))
    if np.any(lai < 0) or np.any((top < 0) | (top > 1)) or np.any((zenith < 0) | (zenith > 85)):
        raise InputError("leaf area must not be negative, the green share 0-1 and the view zenith 0-85 degrees")
    cover = -np.expm1(-extinction * lai / np.cos(np.radians(zenith)))
    return ground + (leaves - ground) * cover * top - flower


def wedge(shape, *, camera, azimuth, pixel=10.0, near=20.0, far=120.0, opening=60.0, parts=4):
    """Which pixels of a map a camera sees: the share of each that lies in a sector before it.

    shape    (y, x) of a map, first row in the north
    camera   (x, y) of the camera from the north-west corner, to the east and to the south [m]; it may stand outside
    azimuth  of the view [°], 0 north, 90 east
    pixel    [m]
    near, far  distance of the region of interest from the camera [m]
    opening  angle of the sector [°]
    parts    into how many parts each side of a pixel is cut
    returns  (y, x)  float32, 0–1
    raises   InputError where distances or angle make no sector, or none of it is on the map

    Project default. Mostly a camera looks north; one on the edge of a field sees another crop than its own pixel has.

    >>> seen = wedge((30, 30), camera=(150, 290), azimuth=0)
    >>> bool(seen[20, 15] == 1), bool(seen[29, 15] == 0), round(float(seen.sum()) * 100 / 7330, 1)
    (True, True, 1.0)
    """
    if not (0 <= near < far and 0 < opening <= 360 and pixel > 0):
        raise InputError(f"near = {near}, far = {far}, opening = {opening}, pixel = {pixel} make no wedge")
    rows, columns = shape
    fine = (np.arange(max(rows, columns) * parts) + 0.5) * pixel / parts
    east, south = fine[None, : columns * parts] - camera[0], fine[: rows * parts, None] - camera[1]
    distance = np.hypot(east, south)
    off = np.abs((np.degrees(np.arctan2(east, -south)) - azimuth + 180) % 360 - 180)
    inside = (distance >= near) & (distance <= far) & (off <= opening / 2)
    if not inside.any():
        raise InputError(f"a camera at {camera} that looks to {azimuth} degrees sees nothing of the map {shape}")
    return inside.reshape(rows, parts, columns, parts).mean(axis=(1, 3), dtype="float32")


def view(values, seen):
    """Mean of a map over what a camera sees.

    values   (..., y, x)
    seen     (y, x)  shares, as ``wedge`` gives them
    returns  (...)
    """
    return np.tensordot(np.asarray(values, dtype=float), seen / seen.sum(dtype=float), axes=2)
