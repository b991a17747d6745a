"""AMPLIFY."""
