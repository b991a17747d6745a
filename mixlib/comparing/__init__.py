"""Methods compared on a user's own data."""
