"""Imputation and scaling."""

import numpy as np
import pytest

from MLOps.features.scaler import COLUMNS_AT_ONCE, Scaler


@pytest.mark.parametrize("columns", [1, 2, COLUMNS_AT_ONCE, COLUMNS_AT_ONCE + 1, 26, 4 * COLUMNS_AT_ONCE + 1])
@pytest.mark.parametrize("rows", [1, 50, 20_001])
def test_some_columns_at_once_change_no_bit(rows: int, columns: int) -> None:
    """NumPy's order of additions depends on the shape, so parts of the columns might be rounded otherwise."""
    generator = np.random.default_rng(columns)
    sizes = 10.0 ** generator.integers(-4, 4, columns)
    values = (generator.standard_normal((rows, columns)) * sizes).astype(np.float32)
    values[1:][generator.random((rows - 1, columns)) < 0.02] = np.nan
    scaler, known = Scaler.fit(values), values.astype(np.float64)
    np.testing.assert_array_equal(scaler.median, np.nanmedian(known, axis=0).astype(np.float32))
    np.testing.assert_array_equal(scaler.mean, np.nanmean(known, axis=0).astype(np.float32))
    std = np.nanstd(known, axis=0)
    np.testing.assert_array_equal(scaler.std, np.where(std > 1e-12, std, 1.0).astype(np.float32))
