import pytest
from formulaic import Formula

from diffbio_core.operators.statistical.formula_columns import formula_columns

EXISTING = ["age", "time", "center", "a b", "log"]


@pytest.mark.parametrize(
    ("formula", "used", "only_factors"),
    [
        ("age + time", ["age", "time"], set()),
        ("scale(np.log(age)) : time", ["age", "time"], set()),
        ("C(time, contr.treatment(2)) + C(`a b`)", ["a b", "time"], {"a b", "time"}),
        ("C(Q('a b')) + C(time) + time", ["a b", "time"], {"a b"}),
        ("C(age > abs(time))", ["age", "time"], set()),
        ("center + {age + 1} + age.clip(0, 1)", ["age", "center"], set()),
        ("C(time, Treatment(reference=2)) + log(age)", ["age", "time"], {"time"}),
        ("age.map(lambda year: year + 1) + I(sum([t for t in time]) * age)", ["age", "time"], set()),
        ("1", [], set()),
    ],
)
def test_columns_are_what_stands_as_a_value(formula, used, only_factors):
    found = formula_columns(Formula(formula), EXISTING)
    assert (found.used, set(found.only_factors)) == (used, only_factors)
