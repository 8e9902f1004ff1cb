"""Sage Accounting's API."""
