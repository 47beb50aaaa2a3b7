import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.errors import OptionError
from ndtools.reproduction.cost import budget_from, slowness
from ndtools.reproduction.plan import Choice, choose


def test_the_smallest_levels_come_first_and_then_the_cheapest_steps():
    items = {"a": Choice((100.0, 10.0, 1.0)), "b": Choice((30.0, 20.0)), "c": Choice((500.0,))}
    assert choose(items, None) == {"a": 0, "b": 0, "c": 0}
    assert choose(items, 0.5) == {"a": None, "b": None, "c": None}
    assert choose(items, 21.0) == {"a": 2, "b": 1, "c": None}
    assert choose(items, 31.0) == {"a": 1, "b": 1, "c": None}
    assert choose(items, 40.0) == {"a": 1, "b": 0, "c": None}
    assert choose(items, 130.0) == {"a": 0, "b": 0, "c": None}


def test_a_level_that_is_passed_over_may_be_dearer_than_a_larger_one():
    assert choose({"a": Choice((5.0, 50.0, 1.0))}, 10.0) == {"a": 0}
    assert choose({"a": Choice((5.0, 2.0, 9.0))}, 3.0) == {"a": 1}


levels = st.lists(st.floats(0, 100), min_size=1, max_size=4).map(lambda times: Choice(tuple(times)))


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=3), levels, max_size=6), st.floats(0, 300))
def test_a_choice_fits_and_no_item_is_left_out_that_would(items, budget):
    chosen = choose(items, budget)
    spent = sum(items[name].seconds[at] for name, at in chosen.items() if at is not None)
    assert spent <= budget * (1 + 1e-12)
    if None in chosen.values():
        assert sum(min(item.seconds) for item in items.values()) > budget


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), (" 0.5 M ", 30), ("1d", 86400), ("none", None)],
)
def test_budgets(text, seconds):
    assert budget_from(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "0s", "-1m", "1x", "15m!", "1h 2", "inf", "nan"])
def test_no_budgets(text):
    with pytest.raises(OptionError, match="15m") as error:
        budget_from(text)
    assert error.value.option == "budget"


def test_the_probe_is_short_and_positive():
    assert 0 < slowness() < 1000
