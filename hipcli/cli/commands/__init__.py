"""One file a verb: each turns options into calls and prints nothing but through `hipcli.output.render`."""
