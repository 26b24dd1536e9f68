"""A quiet day: the shop as it is. What is raised on it is a false alarm."""

from simulation._shop_day import Day

PLUGIN = Day
