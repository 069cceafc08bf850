"""The one exception for what a user can mend: bad input or a bad setting."""


class InputError(ValueError):
    """Names the file, key or argument, what was expected and what was found.

    The command line prints it in one line and exits with status 2.
    """
