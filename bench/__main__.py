"""`python -m bench COMMAND`, from the root of the repository; `--help` says the rest."""

import argparse
import importlib
import sys
from pathlib import Path

from bench import environment
from bench.record import Record

# What is measured here, and what is not: for the second, nothing is set before its module runs.
MEASURED = {
    "losses": "time the value and gradient of every loss, beside peers and the floor",
    "scaling": "time per element, from small inputs to large ones",
    "memory": "what the compiled program needs beside its inputs and results",
    "compile": "time of the first call, tracing and compiling included",
    "linear-ce": "time and memory of the loss that never makes the logits, over V and chunks",
    "training": "time of a step of `fit`, beside other loops and Keras",
}
OTHER = {
    "devices": "what programs cost on TPUs and GPUs that are not here (estimates)",
    "report": "one page with plots from records",
    "compare": "two records: what became slower, beyond the noise",
}


def main(argv: list[str]) -> int:
    if argv and argv[0] in MEASURED:
        early = argparse.ArgumentParser(
            f"python -m bench {argv[0]}", add_help=False, allow_abbrev=False
        )
        early.add_argument("--device", choices=environment.PLATFORMS)
        environment.choose_device(early.parse_known_args(argv)[0].device)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text in (MEASURED | OTHER).items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if argv and argv[0] == name:
            # Only now: jax reads its settings when it is imported.
            module = importlib.import_module(f"bench.{name.replace('-', '_')}")
            module.add_arguments(command)
    args = parser.parse_args(argv)
    args.argv = argv
    json = getattr(args, "json", None)
    if json and not Path(json).parent.is_dir():  # better now than after an hour
        parser.exit(2, f"bench: the folder of --json {json} does not exist.\n")
    try:
        result = module.run(args)
    except ValueError as error:
        if not str(error).startswith("bench:"):
            raise
        parser.exit(2, f"{error}\n")
    if not isinstance(result, Record):
        return result
    if json:
        result.save(json)
    tables = importlib.import_module("bench.tables")
    tables.show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
