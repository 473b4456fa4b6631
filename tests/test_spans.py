"""Stretches of time in the configuration."""

import pytest

from stream_app.config.spans import During

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("02:00-04:30", [2 * HOUR, DAY + 4 * HOUR, -22 * HOUR], [0, 4 * HOUR + HOUR // 2, 23 * HOUR]),
        ("22:00-04:00", [23 * HOUR, 0, 3 * HOUR, DAY + 22 * HOUR], [4 * HOUR, 21 * HOUR, DAY + 12 * HOUR]),
        ("22:00-24:00", [23 * HOUR], [0, 21 * HOUR]),
        ("1970-01-02T00:00Z/1970-01-03T06:00+01:00", [DAY, 2 * DAY + 5 * HOUR - 1], [DAY - 1, 2 * DAY + 5 * HOUR]),
    ],
)  # fmt: skip
def test_what_lies_within(text: str, inside: list[int], outside: list[int]) -> None:
    during = During.parse(text)

    assert [during.holds(time) for time in inside] == [True] * len(inside)
    assert [during.holds(time) for time in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("always", "bad stretch of time"),
        ("25:00-26:00", "bad stretch of time"),
        ("02:00-02:00", "is empty"),
        ("2013-12-24T00:00Z", "bad stretch of time"),
        ("2013-12-24T00:00Z/soon", "bad stretch of time"),
        ("2013-12-24T00:00/2013-12-25T00:00Z", "has no time zone"),
        ("2013-12-24T00:00Z/2013-12-23T00:00Z", "is empty"),
    ],
)
def test_a_bad_one_is_refused_with_how_to_write_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        During.parse(text)
