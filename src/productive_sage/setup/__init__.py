"""Getting ready: sign-ins, settings, and what is to be mended."""
