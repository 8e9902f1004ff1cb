"""psage copies invoices from Productive.io into Sage Accounting."""

__version__ = "0.1.0"
