import numpy as np
import pandas as pd
import pytest

from diffbio_core.operators.statistical.formula import design_of_formula

AGES = np.array([1.0, 3, 5, 7, 9, 11])
SAMPLES = pd.DataFrame(
    {
        "age": AGES,
        "years old": AGES,
        "gap": [1, 2, None, 4, 5, 6],
        "condition": ["a", "b", "a", "b", "b", "a"],
        "center": ["x", "x", "y", "y", "x", "y"],
        "day": [0, 10, 2, 0, 10, 2],
        "dose": [0.5, 1, 1, 0.5, 1, 0.5],
        "same": ["s"] * 6,
    },
    index=list("ABCDEF"),
)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("~ center(age)", [AGES - 6]),
        ("~ scale(age)", [(AGES - 6) / np.sqrt(14)]),
        ("~ scale(np.log(age))", [(np.log(AGES) - np.log(AGES).mean()) / np.log(AGES).std(ddof=1)]),
        ("~ scale(`years old`)", [(AGES - 6) / np.sqrt(14)]),
        ("~ poly(age, 2)", [(AGES - 6) / np.sqrt(70), np.array([5, -1, -4, -4, -1, 5]) / np.sqrt(84)]),
        ("~ bs(age, df=2, degree=1)", [[0, 0.4, 0.8, 0.8, 0.4, 0], [0, 0, 0, 0.2, 0.6, 1]]),
        ("~ Q('years old')", [AGES]),
    ],
)
def test_transforms_that_look_at_all_values_have_the_values_of_their_definition(formula, expected):
    found = design_of_formula(formula, SAMPLES)
    np.testing.assert_allclose(found.matrix.T, [np.ones(6), *expected], atol=1e-12)


def test_levels_are_compared_beside_a_transform():
    found = design_of_formula("~ scale(age) + condition", SAMPLES)
    assert found.names == ("Intercept", "scale(age)", "condition_b_vs_a")
    np.testing.assert_allclose(found.contrast("condition,b,a").weights, [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    "formula", ["~ gap", "~ scale(gap)", "~ condition + poly(gap, 2)", "~ np.log(gap)", "~ C(gap)"]
)
def test_a_missing_value_is_refused_wherever_the_column_stands(formula):
    with pytest.raises(ValueError, match="column 'gap' has no value for sample 'C'"):
        design_of_formula(formula, SAMPLES)


@pytest.mark.parametrize("formula", ["~ agee", "~ scale(agee)", "~ bs(agee, df=3)", "~ np.log(agee)", "~ age:agee"])
def test_an_unknown_column_is_refused_with_those_that_exist(formula):
    with pytest.raises(ValueError, match=r"no column \['agee'\]; it has \['age', 'years old', 'gap', 'condition', "):
        design_of_formula(formula, SAMPLES)


def test_a_column_may_be_called_like_a_function():
    assert design_of_formula("~ center + scale(age)", SAMPLES).names == ("Intercept", "center_y_vs_x", "scale(age)")
    with pytest.raises(ValueError, match=r"column 'center' is called like the function center\(\)"):
        design_of_formula("~ center + center(age)", SAMPLES)


def test_c_makes_a_factor_of_numbers_whose_levels_are_in_the_order_of_numbers():
    found = design_of_formula("~ C(day)", SAMPLES)
    assert list(found.levels["day"]) == ["0", "2", "10"]
    np.testing.assert_array_equal(found.contrast("day,10,2").weights, [0, -1, 1])
    np.testing.assert_array_equal(found.contrast("day,10,2").samples, [0, 1, 1, 0, 1, 1])
    assert list(design_of_formula("~ C(dose)", SAMPLES).levels["dose"]) == ["0.5", "1"]
    assert design_of_formula("~ C(dose)", SAMPLES).two_groups


def test_a_number_that_is_continuous_elsewhere_stays_continuous():
    found = design_of_formula("~ C(dose) + dose:day + condition", SAMPLES)
    assert set(found.levels) == {"condition"}
    assert found.numbers == {"day": ("dose:day",), "dose": ("C(dose)[T.1.0]", "dose:day")}
    np.testing.assert_allclose(found.contrast("condition,b,a").weights, [0, 0, 1, 0])


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        ("~", "is empty"),
        ("counts ~ condition", "several parts; give one, without a left side"),
        ("~ condition | age", "several parts"),
        ("~ foo(age)", "there is no function 'foo'; there are C, "),
        ("~ same", "every sample has 's' in column 'same'"),
        ("~ C(same) + condition", "every sample has 's' in column 'same'"),
        ("~ log(age - 1)", r"log\(age - 1\) is not finite for sample 'A'"),
        ("~ scale(condition)", r"cannot be built: .*text stands in \['condition'\]"),
        ("~ lag(age)", "cannot be built: .*null values"),
        ("~ condition > 3", r"cannot be read: Unknown operator '>'\.$"),
    ],
)
def test_formulas_without_a_design_are_refused(formula, told):
    with pytest.raises(ValueError, match=told):
        design_of_formula(formula, SAMPLES)
