"""`hip eval`: what is left of a model's abilities under sparse attention?"""

from hipcli.cli.eval_options import EvalOptions
from hipcli.cli.flatten import flattened


@flattened
def eval(options: EvalOptions) -> int:
    """Measure what a model loses under sparse attention, on your own files. Every number comes with a 95 % confidence
    interval; with --results a run that was stopped goes on where it was.
    """
    from hipcli.evaluation.run import run
    from hipcli.output import messages

    messages.set_quiet(options.quiet)
    return run(options)
