"""Other indexes: what is asked of them, kept of their pages and files, and let through."""
