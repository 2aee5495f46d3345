"""HTTP: the application, its routes and views."""
