"""One network per file, in plain PyTorch; ``blocks`` holds the parts that they share."""

from importlib import import_module

MODULES = ("blocks", "cropclock", "deepcrop", "leaf", "moisture", "respiration", "response_networks", "soil_blocks",
           "soilnet", "transfer", "unet")


def __getattr__(name):
    if name in MODULES:
        return import_module(f"phenolib.nets.{name}")
    raise AttributeError(f"module 'phenolib.nets' has no attribute '{name}'")


def __dir__():
    return sorted(MODULES)
