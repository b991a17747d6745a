"""The book as one site: notebooks, written pages and generated ones, built by Sphinx without a network."""
