"""BatchMixup."""
