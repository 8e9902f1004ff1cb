"""The terminal: how results look, how questions are asked, what the shell completes."""
