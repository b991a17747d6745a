"""Methods compared on data of a user's own."""
