"""One hypothesis profile for all tests: the same examples in every run, however slow the machine.

A red build is then a change of the code and no new draw. To search further, with examples of a seed of your own:
``pytest --hypothesis-profile=search --hypothesis-seed=7``.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "build",
    deadline=None,
    derandomize=True,
    # Slow examples are a busy machine; temporary folders shared by the examples of a test are overwritten by each.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("search", settings.get_profile("build"), derandomize=False)
settings.load_profile("build")
