"""Cholesky factors of the small symmetric matrices that a design gives, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", nogil=True)
def cholesky(matrix: np.ndarray, factor: np.ndarray) -> bool:
    """Factor a symmetric matrix into the lower triangle of `factor`; False where it is not positive definite."""
    size = matrix.shape[0]
    for row in range(size):
        for column in range(row + 1):
            total = matrix[row, column]
            for inner in range(column):
                total -= factor[row, inner] * factor[column, inner]
            if row == column:
                if not total > 0.0:
                    return False
                factor[row, row] = math.sqrt(total)
            else:
                factor[row, column] = total / factor[column, column]
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def solve_factored(factor: np.ndarray, vector: np.ndarray) -> None:
    """Solve in place for the matrix that `cholesky` factored."""
    size = vector.shape[0]
    for row in range(size):
        total = vector[row]
        for column in range(row):
            total -= factor[row, column] * vector[column]
        vector[row] = total / factor[row, row]
    for row in range(size - 1, -1, -1):
        total = vector[row]
        for column in range(row + 1, size):
            total -= factor[column, row] * vector[column]
        vector[row] = total / factor[row, row]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def invert_factored(factor: np.ndarray, inverse: np.ndarray) -> None:
    """Inverse of the matrix that `cholesky` factored."""
    size = factor.shape[0]
    for column in range(size):
        for row in range(size):
            inverse[row, column] = 1.0 if row == column else 0.0
        solve_factored(factor, inverse[:, column])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def add_weighted_products(design: np.ndarray, sample: int, weight: float, matrix: np.ndarray) -> None:
    """Add weight x x' of one sample's row of the design to the lower triangle of a matrix."""
    for row in range(design.shape[1]):
        scaled = weight * design[sample, row]
        if scaled != 0.0:
            for column in range(row + 1):
                matrix[row, column] += scaled * design[sample, column]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def mirror(matrix: np.ndarray) -> None:
    """Copy the lower triangle to the upper one."""
    for row in range(matrix.shape[0]):
        for column in range(row):
            matrix[column, row] = matrix[row, column]
