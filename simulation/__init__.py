"""The simulated plant: real bytes on a virtual clock. Pure and seeded, no clock and no global randomness."""

from simulation._shop import BadDeploy, Deploy, shop, truth

__all__ = ["BadDeploy", "Deploy", "shop", "truth"]
