"""Commands for who uploads: they see nothing of the server but its core."""
