"""What each paper did and what came of it: a folder a paper, and the registry that hands them to what stands below."""

from mixlib.papers import registry as registry
