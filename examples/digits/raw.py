"""Writes digits.csv: 1,797 images of handwritten digits, 8 x 8 pixels each, as scikit-learn ships them."""

import csv
from pathlib import Path

from sklearn.datasets import load_digits

digits = load_digits()
with Path("digits.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow([*digits.feature_names, "digit"])
    table.writerows([*map(int, pixels), int(digit)] for pixels, digit in zip(digits.data, digits.target, strict=True))
