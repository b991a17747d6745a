"""Rows that stand for a user's own, and files of them."""

import pandas as pd

from mixlib.runs import synthetic

# texts that a model can learn to tell apart
TWIN = synthetic.twin("own", "train", "sentence", 3).assign(label=lambda rows: rows["label_name"])[["text", "label"]]

SIZES = {"ham": 36, "spam": 18, "other": 6}
ROWS = [(f'text {i} of {name}, "quoted"\nin two lines', name) for name, n in SIZES.items() for i in range(n)]
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])


def write(path, rows=FRAME):
    if path.suffix in (".csv", ".tsv"):
        rows.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    elif path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        rows.to_json(path, orient="records", lines=path.suffix != ".json")
    return path
