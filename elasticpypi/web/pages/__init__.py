"""Pages for people: what they show, their templates and static files."""
