"""How a run is done, and where: its settings, its record, the data and models, the training, the engines."""
