"""Productive's API."""
