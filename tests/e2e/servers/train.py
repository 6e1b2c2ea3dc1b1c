# SPDX-License-Identifier: MIT
"""train.py FOLDER HELD_OUT: the iris classifier as MLflow models in FOLDER, fitted on the rows that HELD_OUT does not have.

iris      all four measurements
iris_old  the sepal's width alone: a version that is plainly worse
"""
import csv
import pathlib
import sys
import warnings

import mlflow.sklearn
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

warnings.filterwarnings("ignore")
folder, held_out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
measurements, species = load_iris(return_X_y=True, as_frame=True)
with held_out.open() as file:
    held = list(csv.reader(file))
measurements.columns = held[0][:4]
seen = [i for i in range(len(species)) if i % 3 != 2]
unseen = [[*map(str, measurements.iloc[i]), str(species[i])] for i in range(len(species)) if i % 3 == 2]
assert unseen == held[1:], f"{held_out} does not hold every third row"

width_alone = make_column_transformer(("passthrough", ["sepal_width"]))
models = {
    "iris": LogisticRegression(max_iter=1000),
    "iris_old": make_pipeline(width_alone, LogisticRegression(max_iter=1000)),
}
for name, model in models.items():
    model.fit(measurements.iloc[seen], species.iloc[seen])
    # Nothing is to be installed to serve it, and skops, the other format, would be one more package.
    mlflow.sklearn.save_model(model, folder / name, pip_requirements=[], serialization_format="cloudpickle")
