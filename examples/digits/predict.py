"""Predicts the digits of images with the model in production."""

import csv
from pathlib import Path

import joblib
import numpy as np
import valohai

model = joblib.load(valohai.inputs("model").path())
data = np.load(valohai.inputs("images").path())
predicted = model.predict(data["images"])
with Path(valohai.outputs().path("predictions.csv")).open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["image", "digit"])
    table.writerows(enumerate(map(int, predicted)))
wrong = int((predicted != data["digits"]).sum())
with valohai.logger() as logger:
    logger.log("images", len(predicted))
    logger.log("wrong", wrong)
with valohai.output_properties() as properties:
    properties.add(file="predictions.csv", properties={"valohai.alias": "predictions", "wrong": wrong})
