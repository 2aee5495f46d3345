"""One machine: processes, connections and signals around the application."""
