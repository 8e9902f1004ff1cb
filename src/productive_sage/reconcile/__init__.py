"""reconcile: both books side by side, and what differs."""
