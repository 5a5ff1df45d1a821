"""`python -m seal_cli` is the `seal` command."""

from seal_cli.app import main

if __name__ == "__main__":
    main()
