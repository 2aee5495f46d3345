"""``python -m elasticpypi``: the same as the console script."""

from elasticpypi.cli import main

if __name__ == "__main__":
    main()
