"""`python -m regimes`: the command line."""

from regimes.cli import main

if __name__ == "__main__":
    main()
