"""transformers without its progress bars and advice: the terminal belongs to hip."""


def quiet_transformers() -> None:
    """Let transformers log errors alone, and show no bars."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
