"""A property fails by what the code does, never by the machine's load or the draw of the day.

Left alone Hypothesis fails an example that takes over 200 ms and a strategy that is slow to draw from, which any busy
machine does, and draws other examples in every run: a change then fails by what it did not touch. So there is no
deadline, and the examples follow from the test. `make properties` draws new ones (profile `search`).
"""

from hypothesis import HealthCheck, settings

settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
