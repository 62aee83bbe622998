"""Speed and time left, as the bar shows them."""

from hipcli.output.progress import Pace, rate


def test_rate() -> None:
    assert rate(84310, 212004, 9870.4) == "84,310 / 212,004 tokens · 9,870 tok/s · 0:13 left"
    assert rate(0, 100, 0.0) == "0 / 100 tokens"
    assert rate(7, None, 4.0) == "7 tokens · 4 tok/s"
    assert rate(10, 1000, 1.0).endswith("16:30 left")
    assert rate(10, 9010, 1.0).endswith("2:30:00 left")


def paced(*notes: tuple[float, int]) -> float:
    pace = Pace()
    for now, done in notes:
        pace.note(done, now)
    return pace.speed


def test_speed_is_that_of_the_last_seconds() -> None:
    slowing = [(float(second), 1000 * min(second, 60) + 100 * max(0, second - 60)) for second in range(100)]
    assert paced(*slowing) == 100
    assert paced(*slowing[:61]) == 1000


def test_what_was_there_at_the_start_does_not_count() -> None:
    assert paced((0.0, 50_000)) == 0
    assert paced((0.0, 50_000), (2.0, 52_000)) == 1000


def test_steps_longer_than_the_last_seconds_are_still_averaged() -> None:
    assert paced((0.0, 0), (30.0, 30), (60.0, 90), (90.0, 180), (120.0, 300)) == 3
