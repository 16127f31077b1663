"""The command that makes what is missing or stale, as messages and tables show it."""


def run_command(key: str = "", to: str = "") -> str:
    """Return the command that makes what a config needs and isn't there, and nothing twice.

    Args:
        key: the config; none is needed for what all configs share.
        to: the last asset to make; by default the report.
    """
    return " ".join(["firefusion run", *filter(None, [key]), *(["--to", to] if to else [])])
