"""Where packages and records lie: the contracts, and a family of implementations for each kind of place."""
