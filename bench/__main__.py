"""`python -m bench COMMAND`, from the root of the repository; `--help` says the rest."""

import argparse
import importlib
import sys
from typing import Any

from bench import environment

# What is measured here, what is compiled for elsewhere, and what reads records.
MEASURED = {
    "losses": "time the value and gradient of every loss, beside peers and the floor",
    "scaling": "time per element, from small inputs to large ones",
    "memory": "what the compiled program needs beside its inputs and results",
    "compile": "time of the first call, tracing and compiling included",
    "linear-ce": "time and memory of the loss that never makes the logits, over V and chunks",
    "elsewhere": "time of a loss beside the calls of other libraries that are equal to it",
    "training": "time of a step of `fit`, beside other loops and Keras",
}
ESTIMATED = {"devices": "what programs cost on TPUs and GPUs that are not here (estimates)"}
READ = {
    "report": "one page with plots from records",
    "compare": "two records: what became slower, beyond the noise",
}


def main(argv: list[str]) -> int:
    name = argv[0] if argv else ""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for known, text in (MEASURED | ESTIMATED | READ).items():
        command = commands.add_parser(known, help=text, description=text, allow_abbrev=False)
        if known == name:
            module = _module(argv)
            module.add_arguments(command)
            if name in MEASURED:
                _add_device(command)
            if name not in READ:
                command.add_argument("--json", metavar="FILE", help="write the record of the run")
    args = parser.parse_args(argv)
    args.argv = argv
    try:
        if name in READ:
            return int(module.run(args))
        return int(importlib.import_module("bench.jobs").run(args, module.plan))
    except ValueError as error:
        if not str(error).startswith("bench:"):
            raise
        parser.exit(2, f"{error}\n")


def _module(argv: list[str]) -> Any:
    """Only now: jax reads its settings when it is imported."""
    if argv[0] in MEASURED:
        early = argparse.ArgumentParser(
            f"python -m bench {argv[0]}", add_help=False, allow_abbrev=False
        )
        _add_device(early)
        environment.choose_device(early.parse_known_args(argv)[0].device)
    elif argv[0] in ESTIMATED:
        environment.choose_device("cpu")  # the compilers' chips are not to be looked for here
    own = argv[0] in ("elsewhere", "linear-ce", "training", *ESTIMATED, *READ)
    return importlib.import_module(f"bench.{argv[0].replace('-', '_') if own else 'every_case'}")


def _add_device(parser: argparse.ArgumentParser) -> None:
    platforms = environment.PLATFORMS
    parser.add_argument("--device", choices=platforms, help="default: the best that jax sees")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
