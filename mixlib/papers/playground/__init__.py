"""The playground: what every method makes of a pair of texts."""
