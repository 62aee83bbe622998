"""The process around the program: standard streams, signals, and how every failure ends."""

import io
import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from hipcli.errors import ExitCode, HipError

_TERMINATED = 128 + signal.SIGTERM


def main() -> NoReturn:
    """Run `hip` and leave with one of the exit codes of `hipcli.errors`, or 143 after SIGTERM."""
    _open_standard_streams()
    try:
        signal.signal(signal.SIGTERM, _terminate)
        code = _run()
        if code == ExitCode.DONE:
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.BROKEN_PIPE
    except OSError as error:
        code = _report(HipError(f"standard output: {error.strerror}"))
    _discard_unwritten()
    sys.exit(code)


def _run() -> int:
    try:
        from hipcli.cli.app import app

        return int(app(prog_name="hip", standalone_mode=False) or ExitCode.DONE)
    except HipError as error:
        return _report(error)
    except SystemExit as stop:
        # Typer turns a broken pipe into sys.exit(1), which a script could not tell from a failure.
        if isinstance(stop.__context__, BrokenPipeError):
            return ExitCode.BROKEN_PIPE
        return stop.code if isinstance(stop.code, int) else ExitCode.FAILED
    except BrokenPipeError:
        raise
    except OSError as error:
        what = error.strerror or str(error)
        return _report(HipError(f"{error.filename}: {what}" if error.filename else what))
    except MemoryError:
        return _report(HipError("out of memory", "read fewer pages or use a smaller model", ExitCode.DOES_NOT_FIT))
    except Exception as error:
        # Typer's usage errors have no public common class, but all of them can format themselves.
        if hasattr(error, "format_message"):
            return _report_usage(error)
        return _report_bug(error)


def _report(error: HipError) -> int:
    from hipcli.output.messages import report

    _trace(error)
    report(error)
    return error.exit_code


def _report_usage(error: Exception) -> int:
    from hipcli.output.messages import report

    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if message:  # empty where the help was printed for want of arguments
        hint = f"see `{context.command_path} --help`" if context else None
        report(HipError(message, hint, ExitCode.USAGE))
    return ExitCode.USAGE


def _report_bug(error: Exception) -> int:
    from hipcli.output.messages import report_internal

    _trace(error)
    report_internal(error)
    return ExitCode.FAILED


def _trace(error: Exception) -> None:
    if os.environ.get("HIPCLI_DEBUG"):
        traceback.print_exception(error)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(_TERMINATED)


def _open_standard_streams() -> None:
    """Give closed standard streams a descriptor, so that no document is opened as number 0, 1 or 2.

    A closed output gets one that cannot be written, so that losing an answer stays an error.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        mode = "r" if name == "stdin" else "w"
        stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _discard_unwritten() -> None:
    """Point outputs that cannot be written to the null device, or Python complains about them on its way out."""
    for number, stream in ((1, sys.__stdout__), (2, sys.__stderr__)):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)


if __name__ == "__main__":
    main()
