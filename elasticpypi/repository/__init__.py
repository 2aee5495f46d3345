"""What is read: projects, files and metadata, each with the moment until which it is known to be true."""
