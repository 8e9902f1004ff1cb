"""Signing in: tokens of both services, from the browser into the keyring."""
