"""SSMix."""
