"""Compare methods on your own data; the entry point is ``mixlib.compare``."""
