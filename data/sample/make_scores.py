"""Make scores.csv.gz: a labelled table in the form of a prediction tournament, with a relation that can be learnt."""

import gzip
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, FEATURES, SEED = 2000, 6, 11


def main() -> None:
    generator = np.random.default_rng(SEED)
    features = generator.standard_normal((ROWS, FEATURES))
    # What counts are two features of the row and one of the row before; the others are noise.
    before = np.concatenate([[0.0], features[:-1, 2]])
    latent = 0.8 * features[:, 0] - 0.5 * features[:, 1] + 0.6 * before + generator.standard_normal(ROWS)
    target = np.searchsorted(np.quantile(latent, [0.2, 0.4, 0.6, 0.8]), latent) / 2 - 1
    features[generator.random(features.shape) < 0.01] = np.nan
    table = pd.DataFrame(features.round(3), columns=[f"feature_{number}" for number in range(FEATURES)])
    table.insert(0, "id", [f"n{number:05d}" for number in range(ROWS)])
    table["target"] = target
    text = StringIO()
    table.to_csv(text, index=False)
    # Without a time of making, the same table is the same file.
    Path(__file__).with_name("scores.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


if __name__ == "__main__":
    main()
