"""What each paper did and what we found: one folder per paper, and the registry that passes them to the layers
below."""

from mixlib.papers import registry as registry
