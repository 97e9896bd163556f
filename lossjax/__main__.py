"""`python -m lossjax`: the tools of `lossjax.inspect` on the command line."""

import argparse
import dataclasses
import importlib
import json
import math
import os
import sys
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from lossjax import inspect, losses
from lossjax.core.loss import Loss
from lossjax.core.registry import class_of, classes, example, listed
from lossjax.core.texts import cut, shown
from lossjax.inspect._report import SEVERITIES
from lossjax.inspect._table import Shown, Table, rich
from lossjax.testing import DOMAINS

_LOSS = 'a name ("huber"), or module:attribute of a loss or function of your own'
_ARRAY = "a .npy file, or a .npz file with one array, or file.npz:name"
_UNPACKED = 2**31  # bytes that a compressed array may have, whatever its file has
_TEXT = 1000  # letters of a problem
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Problem(Exception):
    """Something the user can mend, told without a traceback."""


@dataclasses.dataclass(frozen=True)
class _Listing(Shown):
    def tables(self) -> Any:
        """Every registered loss."""
        rows = [
            (found.name, "\n".join(found.others), ", ".join(found.hyperparameters), found.formula)
            for found in sorted(map(listed, classes()))
        ]
        yield Table("Losses", ("class", "other names", "hyperparameters", "value"), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 1 where `check` has findings, or 2 for a problem told on stderr.

    130 after Ctrl-C, and 141 where nobody reads the output any more, as of other programs.
    """
    options = _parser().parse_args(argv)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python writes what is left when it exits, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (_Problem, ValueError, TypeError, ImportError) as error:  # worded by lossjax, or by
        text = str(error)  # the loss
    except (Exception, SystemExit) as error:  # whatever the loss of a user raises
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"
    print(f"lossjax {options.command}: {cut(text, _TEXT)}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(cut(message, _TEXT))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m lossjax", description=inspect.__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="every loss, with its names and its formula")
    listing.set_defaults(run=_list)
    check = _command(commands, "check", _check, "what goes wrong with a loss")
    check.add_argument(
        "--fail-on",
        choices=(*SEVERITIES[2:], "never"),
        default="error",
        help="exit with status 1 from this severity on (default: %(default)s)",
    )
    explain = _command(commands, "explain", _explain, "where the number comes from")
    plot = _command(
        commands,
        "plot",
        _plot,
        "the curve of a loss; of a batch, if --y-true and --y-pred are given",
    )
    plot.add_argument("-o", "--output", required=True, metavar="FILE", help="a .png, .svg or .pdf")
    for command in (explain, plot):
        command.add_argument("--sample-weight", metavar="FILE", help=_ARRAY)
        command.add_argument("--mask", metavar="FILE", help=_ARRAY)
    compare = _command(commands, "compare", _compare, "the largest difference of two losses")
    compare.add_argument("other", metavar="OTHER", help=_LOSS)
    return parser


def _command(commands: Any, name: str, run: Any, what: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    command.set_defaults(run=run)
    command.add_argument("loss", metavar="LOSS", help=_LOSS)
    command.add_argument("--y-true", metavar="FILE", help=f"{_ARRAY}; generated if left out")
    command.add_argument("--y-pred", metavar="FILE", help=_ARRAY)
    command.add_argument("--domain", choices=tuple(DOMAINS), help="what to generate")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter of LOSS, as JSON; in `plot` [0.5, 1, 2] draws a curve for each",
    )
    return command


def _list(_: argparse.Namespace) -> int:
    _show(_Listing())
    return 0


def _check(options: argparse.Namespace) -> int:
    loss = _with(_loss(options.loss), _settings(options.set))
    report = inspect.check(loss, *_data(options), domain=options.domain)
    _show(report)
    return int(options.fail_on != "never" and bool(report.at_least(options.fail_on)))


def _explain(options: argparse.Namespace) -> int:
    loss = _with(_loss(options.loss), _settings(options.set))
    weights = _optional(options.sample_weight), _optional(options.mask)
    _show(inspect.explain(loss, *_data(options), *weights, domain=options.domain))
    return 0


def _plot(options: argparse.Namespace) -> int:
    if not Path(options.output).suffix:
        raise _Problem(f"-o must end in .png, .svg or .pdf, got {_named(options.output)}.")
    settings = _settings(options.set)
    family = {k: v for k, v in settings.items() if isinstance(v, list)}
    fixed = {k: v for k, v in settings.items() if k not in family}
    loss = _with(_loss(options.loss), fixed)
    data = _data(options)
    if data[0] is None:
        figure = inspect.plot(loss, domain=options.domain, **family)
    else:
        weights = _optional(options.sample_weight), _optional(options.mask)
        figure = inspect.plot_batch(_with(loss, family), *data, *weights)
    try:
        figure.savefig(options.output)
    except OSError as error:
        raise _Problem(f"cannot write {_named(options.output)}: {_reason(error)}.") from error
    _print(options.output)
    return 0


def _compare(options: argparse.Namespace) -> int:
    loss = _with(_loss(options.loss), _settings(options.set))
    _show(inspect.compare(loss, _loss(options.other), *_data(options), domain=options.domain))
    return 0


def _show(what: Shown) -> None:
    console = rich().Console()
    if console.is_terminal:
        console.print(what)
    else:  # a file or a pipe: the width must not depend on where it is made
        _print(str(what))


def _print(text: str) -> None:
    """On stdout, also where its encoding lacks a letter: formulas are not ASCII."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _named(text: str) -> str:
    """An argument for a problem's text."""
    return cut(text, 80)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _loss(text: str) -> Any:
    """The loss of a name; `module:attribute` imports the module, as Python would."""
    if ":" not in text:
        found = losses.get(text)
        # Its class: it takes hyperparameters, and has a reduction.
        cls = class_of(found)
        return found if cls is None else example(cls)
    module, _, path = text.partition(":")
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise _Problem(
            f"cannot import {shown(module)}: {type(error).__name__}: "
            f"{cut(error, 160)}. Give module:attribute, with a module that Python finds "
            f"from this folder."
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise _Problem(f"{shown(module)} has no {shown(path)}. Give module:attribute.")
        found = getattr(found, name)
    return losses.get(found)


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name.strip()] = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _Problem(
                f"--set needs NAME=VALUE with a number, true, false, a list or a quoted text, "
                f"got {shown(pair)}."
            ) from error
    return found


def _with(loss: Any, settings: dict[str, Any]) -> Any:
    if not settings:
        return loss
    if not isinstance(loss, Loss):
        raise _Problem("--set is for losses that are a Loss; this is a plain function.")
    return type(loss).from_config(loss.get_config() | settings)


def _data(options: argparse.Namespace) -> tuple[Any, Any]:
    return _optional(options.y_true), _optional(options.y_pred)


def _optional(file: str | None) -> np.ndarray | None:
    return None if file is None else _array(file)


def _array(text: str) -> np.ndarray:
    """An array from a file; pickled objects are refused, as reading them runs code."""
    file, key = text, ""
    if ".npz:" in text:
        file, _, key = text.rpartition(":")
    path, name = Path(file), _named(file)
    if path.suffix not in (".npy", ".npz"):
        raise _Problem(f"{name} must be a .npy or .npz file; write it with numpy.save.")
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if path.suffix == ".npy":
                return _read(name, stream, size)
            with zipfile.ZipFile(stream) as parts:
                part = _part(name, parts, key)
                if part.file_size > max(size, _UNPACKED):
                    raise _Problem(
                        f"cannot read {name}: it unpacks to {part.file_size:,} bytes, more than "
                        f"{_UNPACKED:,}. Write it with numpy.save."
                    )
                with parts.open(part) as unpacked:
                    return _read(name, unpacked, part.file_size)
    except OSError as error:
        raise _Problem(f"cannot read {name}: {_reason(error)}.") from error
    except _Problem:
        raise
    except Exception as error:  # zipfile and NumPy have a kind for every kind of damage
        raise _Problem(f"cannot read {name}: it is damaged, or of another kind.") from error


def _part(name: str, parts: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    found = {part.filename.removesuffix(".npy"): part for part in parts.infolist()}
    if not key and len(found) == 1:
        return next(iter(found.values()))
    if key not in found:
        raise _Problem(f"{name} holds {shown(list(found))}; write one as {name}:NAME.")
    return found[key]


def _read(name: str, stream: IO[bytes], size: int) -> np.ndarray:
    """The array of a stream of `size` bytes; its header says so before memory is taken."""
    shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    if dtype.kind not in "biufc":
        raise _Problem(
            f"cannot read {name}: it holds {shown(dtype)} in place of numbers. Python "
            f"objects are never unpickled."
        )
    if stream.tell() + math.prod(shape) * dtype.itemsize != size:
        raise _Problem(f"cannot read {name}: it is damaged, or not all of it is there.")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


if __name__ == "__main__":
    sys.exit(main())
