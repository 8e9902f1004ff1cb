"""The two services' contracts, and a check of every HTTP call against them.

`sage.yaml` and `productive.yaml` say what psage may send and what may come back; `check.problems`
says how one recorded call departs from them.
"""
