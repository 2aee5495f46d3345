"""What runs the application."""
