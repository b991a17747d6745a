"""MixUp training and the calibration of transformers."""
