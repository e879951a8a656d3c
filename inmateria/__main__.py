"""``python -m inmateria`` is the command ``inmateria``."""

from inmateria.cli import main

if __name__ == "__main__":
    main()
