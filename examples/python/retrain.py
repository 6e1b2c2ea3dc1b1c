# SPDX-License-Identifier: MIT
"""What dirty data does to a model: train, corrupt, train again, compare. On a data set that scikit-learn carries."""

import chaoseater
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split

data = load_breast_cancer(as_frame=True)
X, X_test, y, y_test = train_test_split(data.data, data.target, random_state=1)


def accuracy(table):
    """Of a model that was trained on that table."""
    return HistGradientBoostingClassifier(random_state=1).fit(table, y).score(X_test, y_test)


print(f"{'clean':<45} {accuracy(X):.3f}")
for fault, parameters in (("missing_data", {"missing_rate": 0.5}), ("data_corruption", {"corruption_rate": 0.5}),
                          ("outlier_injection", {"outlier_rate": 0.3, "magnitude": 10})):
    dirty, key = chaoseater.inject(X, fault, seed=7, return_key=True, **parameters)
    moved = max(column["psi"] or 0 for column in chaoseater.drift(X, dirty)["columns"])
    print(f"{fault + ' ' + str(parameters):<45} {accuracy(dirty):.3f}, most moved column: PSI {moved:.2f}")
    assert chaoseater.revert(dirty, key).equals(X)
