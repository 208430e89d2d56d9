"""Water in soil: what a water potential says of the water content, and how it is put on a scale."""

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
