"""The process around the program: standard streams, signals, and how every failure ends."""

import io
import os
import sys

from hipcli.errors import ExitCode, HipError
from hipcli.interruption import Interruption


def main() -> None:
    """Run `hip` and leave with one of the exit codes of `hipcli.errors`, or 128 + the number of a signal."""
    interruption = Interruption()
    code: int = ExitCode.INTERRUPTED
    try:
        interruption.begin()
        code = _outcome(interruption)
        interruption.end()
    except KeyboardInterrupt:
        interruption.end()
    _discard_unwritten()
    if interruption.exit_code is not None:
        # After sys.exit, Python may end itself with SIGINT: it saw a KeyboardInterrupt leave code that C had started.
        os._exit(interruption.exit_code)
    sys.exit(code)


def _outcome(interruption: Interruption) -> int:
    _open_standard_streams()
    try:
        code = _run(interruption)
        if code == ExitCode.DONE:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        return _report(HipError(f"standard output: {error.strerror}"))


def _run(interruption: Interruption) -> int:
    try:
        from hipcli.cli.app import app

        return int(app(prog_name="hip", standalone_mode=False) or ExitCode.DONE)
    except (Exception, SystemExit) as error:
        if interruption.exit_code is not None:  # what libraries make of it
            return interruption.exit_code
        return _explained(error)


def _explained(error: Exception | SystemExit) -> int:
    """Say what ended the run. Returns the exit code."""
    match error:
        case HipError():
            return _report(error)
        case SystemExit():
            # Typer turns a broken pipe into sys.exit(1), which a script could not tell from a failure.
            if isinstance(error.__context__, BrokenPipeError):
                return ExitCode.BROKEN_PIPE
            return error.code if isinstance(error.code, int) else ExitCode.FAILED
        case BrokenPipeError():
            return ExitCode.BROKEN_PIPE
        case OSError():
            what = error.strerror or str(error)
            return _report(HipError(f"{error.filename}: {what}" if error.filename else what))
        case MemoryError():
            return _report(HipError("out of memory", "read fewer pages or use a smaller model", ExitCode.DOES_NOT_FIT))
    # Typer's usage errors have no public common class, but all of them can format themselves.
    return _report_usage(error) if hasattr(error, "format_message") else _report_bug(error)


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
        from hipcli.output.messages import report_trace

        report_trace(error)


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
