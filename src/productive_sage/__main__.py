"""`python -m productive_sage` is `psage`."""

import sys

from productive_sage.cli import main

sys.exit(main())
