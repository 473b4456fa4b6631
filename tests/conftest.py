"""Settings of hypothesis for all tests: the same examples every time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "driftline",
    deadline=None,  # the first call compiles kernels
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("driftline")
