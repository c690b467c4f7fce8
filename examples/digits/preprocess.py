"""Scales the pixels to 0 … 1 and puts some of the images aside for testing."""

import numpy as np
import valohai
from sklearn.model_selection import train_test_split

table = np.loadtxt(valohai.inputs("raw").path(), delimiter=",", skiprows=1)
images, digits = table[:, :-1] / 16, table[:, -1].astype(int)
parts = train_test_split(
    images, digits, test_size=valohai.parameters("test-share").value, random_state=0, stratify=digits
)
with valohai.output_properties() as properties:
    for name, part_images, part_digits in (("train", parts[0], parts[2]), ("test", parts[1], parts[3])):
        np.savez_compressed(valohai.outputs().path(f"{name}.npz"), images=part_images, digits=part_digits)
        properties.add(
            file=f"{name}.npz",
            properties={"valohai.alias": f"{name}-images", "valohai.tags": ["digits"], "images": len(part_digits)},
        )
        with valohai.logger() as logger:
            logger.log(f"{name} images", len(part_digits))
