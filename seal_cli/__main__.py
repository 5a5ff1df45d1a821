"""The `seal` command. Signals are heard, and stdin is ours alone, before anything is imported."""

from seal_cli import signals


def main() -> None:
    """Entry point of the console script, and of `python -m seal_cli`."""
    signals.install()
    from seal_cli import console
    from stages import sandbox

    console.take_stdin()
    sandbox.own_process()
    from seal_cli.app import app

    app()


if __name__ == "__main__":
    main()
