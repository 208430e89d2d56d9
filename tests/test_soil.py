"""Water in soil: a potential on its scale, and the water content that belongs to it."""

import numpy as np
import pytest
import xarray as xr

from phenolib import soil
from phenolib.errors import InputError


def test_wetter_is_larger():
    "pF 2 is -10 kPa, pF 4.2 the wilting point of -1500 kPa; missing stays missing."
    psi = xr.DataArray([-10.0, -100.0, -1500.0, np.nan])
    np.testing.assert_allclose(soil.wetness(psi), [-2, -3, -4.176, np.nan], atol=1e-3)


def test_content_falls_as_it_dries():
    "Saturated at no tension, above the residual when dry; sand lets go sooner than clay."
    psi = -np.array([0.0, 1, 10, 33, 100, 1500])
    for texture, (residual, saturated, *_) in soil.TEXTURES.items():
        theta = soil.water_content(psi, texture)
        assert theta[0] == pytest.approx(saturated) and (np.diff(theta) < 0).all() and theta[-1] > residual
    assert soil.water_content(psi, "sand")[3] < 0.1 < 0.3 < soil.water_content(psi, "clay")[3]


def test_mistakes_are_told():
    "A tension in place of a potential, and a texture that is none."
    with pytest.raises(InputError, match="above zero.*tensions"):
        soil.wetness(np.array([-5.0, 5.0]))
    with pytest.raises(InputError, match="'silt laom' is not known.*silt loam"):
        soil.water_content(np.array(-5.0), "silt laom")
