"""``python -m nif`` is the command ``nif``."""

from nif.cli import main

if __name__ == "__main__":
    main()
