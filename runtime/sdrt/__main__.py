"""`python -m sdrt` is the command `sdrt`."""

from sdrt.cli.main import main

if __name__ == "__main__":
    main()
