"""Trains a linear classifier, epoch by epoch, and offers it as model-staging."""

import joblib
import numpy as np
import valohai
from sklearn.linear_model import SGDClassifier

train, test = (np.load(valohai.inputs(name).path()) for name in ("train", "test"))
model = SGDClassifier(loss="log_loss", alpha=valohai.parameters("alpha").value, random_state=0)
accuracy = 0.0
for epoch in range(1, valohai.parameters("epochs").value + 1):
    model.partial_fit(train["images"], train["digits"], classes=range(10))
    accuracy = model.score(test["images"], test["digits"])
    with valohai.logger() as logger:
        logger.log("epoch", epoch)
        logger.log("accuracy", round(accuracy, 4))
joblib.dump(model, valohai.outputs().path("model.joblib"))
with valohai.output_properties() as properties:
    properties.add(
        file="model.joblib",
        properties={
            "valohai.alias": "model-staging",
            "valohai.tags": ["digits", "linear"],
            "accuracy": round(accuracy, 4),
        },
    )
