import re

import numpy as np
import pandas as pd
import pytest

from diffbio_core.operators.statistical.design import Design

SAMPLES = pd.DataFrame(
    {
        "batch": ["u", "u", "u", "v", "v", "v"],
        "dose": ["low", "mid", "high", "low", "mid", "high"],
        "age": [1.0, 2, 3, 4, 5, 7],
    },
    index=list("abcdef"),
)


def test_a_formula_has_readable_names_and_contrasts_of_any_two_levels():
    design = Design.of_formula("~ batch + dose", SAMPLES)

    assert design.names == ("Intercept", "batch_v_vs_u", "dose_low_vs_high", "dose_mid_vs_high")
    np.testing.assert_array_equal(design.contrast(("dose", "mid", "low")).weights, [0, 0, -1, 1])
    np.testing.assert_array_equal(design.contrast(("dose", "high", "low")).weights, [0, 0, -1, 0])
    np.testing.assert_array_equal(design.contrast("batch_v_vs_u").weights, [0, 1, 0, 0])
    np.testing.assert_array_equal(design.contrast().weights, [0, 0, 0, 1])
    np.testing.assert_array_equal(design.contrast(("dose", "mid", "low")).samples, [1, 1, 0, 1, 1, 0])
    assert not design.two_groups


def test_categories_say_which_level_is_the_reference():
    samples = SAMPLES.assign(dose=pd.Categorical(SAMPLES["dose"], categories=["low", "mid", "high"]))
    assert Design.of_formula("~dose", samples).names == ("Intercept", "dose_mid_vs_low", "dose_high_vs_low")


def test_a_continuous_covariate_is_a_coefficient():
    design = Design.of_formula("~ age + batch", SAMPLES)
    assert set(design.names) == {"Intercept", "age", "batch_v_vs_u"}
    np.testing.assert_array_equal(design.matrix[:, design.names.index("age")], SAMPLES["age"])


def test_one_factor_of_two_levels_is_two_groups_and_a_number_is_not():
    assert Design.of_formula("~ batch", SAMPLES).two_groups
    assert not Design.of_formula("~ number", SAMPLES.assign(number=[0, 0, 0, 1, 1, 1])).two_groups
    assert Design.of_matrix(np.column_stack([np.ones(4), [0, 0, 1, 1]])).two_groups


@pytest.mark.parametrize("formula", ["~ 0 + batch", "~ 1", "~ 0 + age + batch"])
def test_a_level_of_expression_is_tested_only_where_it_is_asked_for(formula):
    design = Design.of_formula(formula, SAMPLES)
    with pytest.raises(ValueError, match="is how much is expressed, not a difference between samples"):
        design.contrast()
    assert design.contrast(design.names[-1]).name == design.names[-1]


def test_a_slope_is_a_difference_without_an_intercept_too():
    assert Design.of_formula("~ 0 + batch + age", SAMPLES).contrast().name == "age"
    assert Design.of_matrix(SAMPLES[["age"]]).contrast().name == "age"


def test_weights_contrast_several_coefficients():
    design = Design.of_formula("~ dose", SAMPLES)
    np.testing.assert_array_equal(design.contrast([0, 1, -1]).samples, [1, 1, 0, 1, 1, 0])
    assert design.contrast([0, 0.5, 0.5]).samples is None


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        ("~ dosis", r"the sample table has no column \['dosis'\]"),
        ("~ batch + copy", "linearly dependent"),
        ("~ batch * dose", "6 samples for 6 coefficients .* leave no replicates"),
        ("~ gap", "column 'gap' has no value for sample 'c'"),
        ("~ batch +", "cannot be read"),
    ],
)
def test_designs_that_cannot_be_fitted_are_refused(formula, told):
    samples = SAMPLES.assign(copy=SAMPLES["batch"].map({"u": 1.0, "v": 2.0}), gap=[1, 2, None, 4, 5, 6])
    with pytest.raises(ValueError, match=told):
        Design.of_formula(formula, samples)


def test_a_contrast_may_be_text_with_commas_also_within_names():
    samples = SAMPLES.assign(dose=["low, once", "mid", "high"] * 2)
    design = Design.of_formula("~ dose + poly(age, 2)", samples)

    assert design.contrast("dose,mid,high").name == "dose: mid vs high"
    assert design.contrast("dose, mid, high").name == "dose: mid vs high"
    np.testing.assert_array_equal(design.contrast("dose,low, once,high").weights, [0, 1, 0, 0, 0])
    np.testing.assert_array_equal(design.contrast("poly(age, 2)[2]").weights, [0, 0, 0, 0, 1])


def test_levels_of_numbers_are_refused_with_the_coefficient_and_the_way_to_a_factor():
    samples = SAMPLES.assign(condition=[0, 1, 0, 1, 0, 1]).rename(columns={"age": "the age"})
    design = Design.of_formula("~ batch + condition", samples)

    told = (
        "contrast: 'condition' is a column of numbers, which the design takes as continuous, so that it has no levels; "
        "ask for its coefficient 'condition' (a change per unit), or write C(condition) in the design to make a factor "
        "of it"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        design.contrast(("condition", "1", "0"))
    with pytest.raises(ValueError, match=r"coefficient 'scale\(`the age`\)' .* or write C\(`the age`\) in"):
        Design.of_formula("~ scale(`the age`)", samples).contrast("the age,7,1")
    factor = Design.of_formula("~ batch + C(condition)", samples)
    np.testing.assert_array_equal(factor.contrast("condition,1,0").weights, [0, 0, 1])


@pytest.mark.parametrize(
    ("contrast", "told"),
    [
        ("dose,low", "'dose,low' is neither a coefficient nor FACTOR,LEVEL,REFERENCE; there are the coefficients"),
        ("dose_x", "no coefficient 'dose_x'"),
        (("dosis", "a", "b"), "no factor 'dosis'"),
        (("dose", "a", "low"), r"has no level 'a'; there are \['high', 'low', 'mid'\]"),
        (("dose", "low", "low"), "compared with itself"),
        ([0, 0, 0], "weights that are not all 0"),
        (7, "no coefficient number 7"),
    ],
)
def test_contrasts_that_do_not_exist_are_refused(contrast, told):
    with pytest.raises(ValueError, match=told):
        Design.of_formula("~ dose", SAMPLES).contrast(contrast)
