"""What is asked over HTTP → one call → an answer. A blueprint per surface."""
