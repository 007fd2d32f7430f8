"""`python -m handbones` is `handbones`."""

from handbones.cli import main

if __name__ == "__main__":
    main()
