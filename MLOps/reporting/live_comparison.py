"""The page of a comparison in service: the verdict and the confidence sequence."""

from pathlib import Path
from typing import Any

import numpy as np

from MLOps.artifacts import write_text
from MLOps.reporting.charts import Line, line_chart
from MLOps.reporting.page import environment

PAGE = "comparison.html"


def write_comparison(
    folder: Path, values: dict[str, Any], words: str, days: np.ndarray, differences: np.ndarray, bounds: np.ndarray
) -> Path:
    """Write the page into `folder`.

    Args:
        values: of the comparison, by name.
        words: the verdict in a sentence.
        days, differences: (n,) each day's difference.
        bounds: (2, n) lower and upper bounds of the mean difference, as known on each day.
    """
    mean = np.cumsum(differences) / np.arange(1, len(differences) + 1)
    known = np.where(np.isfinite(bounds), bounds, np.nan)
    sequence = line_chart(
        [
            Line("mean difference a day", days, mean),
            Line("lower bound", days, known[0]),
            Line("upper bound", days, known[1]),
        ],
        ".3%",
        "Mean difference a day and its confidence sequence",
        level=0.0,
    )
    earned = line_chart(
        [Line("sum", days, np.cumsum(differences))], ".2%", "Sum of the differences", level=0.0, filled=True
    )
    text = environment().get_template(PAGE).render(values=values, words=words, sequence=sequence, earned=earned)
    write_text(folder / PAGE, text)
    return folder / PAGE
