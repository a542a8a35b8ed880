"""The command `nerva export`."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from nerva.cli.build import Failure, load_model, printing
from nerva.cli.report import size
from nerva.interop.named_arrays import Layout, export_safetensors
from nerva.interop.to_c import export_c
from nerva.interop.to_onnx import export_onnx, require_onnx
from nerva.models.sequential import Sequential
from nerva.saving.hub import CONFIG, MODEL, save_pretrained
from nerva.system.files import check_writable


def export(options: Namespace) -> None:
    """Write the model in a file in other formats, and say so; raise Failure or OSError if that fails."""
    try:
        if options.onnx is not None:
            require_onnx("--onnx")
        for path in _files(options):
            if path.exists() and not options.overwrite:
                raise Failure(f"{path} exists already, and it would be lost (--overwrite replaces it)")
            if path.parent.exists():
                check_writable(path)
        model = load_model(options.file)
        for name, write in _writers(options, model):
            _write(name, write)
    except ImportError as error:
        raise Failure(error, 2) from error
    with printing():
        for path in _files(options):
            print(f"{path}  {size(path.stat().st_size)}")


def _files(options: Namespace) -> Iterator[Path]:
    """Yield the files that are written; a model card that exists stays as it is."""
    for path in (options.c, options.onnx, options.safetensors):
        if path is not None:
            yield Path(path)
    if options.hub is not None:
        yield from (Path(options.hub) / name for name in (MODEL, CONFIG))


def _writers(options: Namespace, model: Sequential) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the option of each format, and a function that writes it."""
    if options.c is not None:
        yield "--c", lambda: export_c(model, options.c, name=options.name, proba=options.proba)
    if options.onnx is not None:
        yield "--onnx", lambda: export_onnx(model, options.onnx, sparse=not options.dense, proba=options.proba)
    if options.safetensors is not None:
        layout: Layout = "dense" if options.dense else "csr"
        yield "--safetensors", lambda: export_safetensors(model, options.safetensors, layout=layout)
    if options.hub is not None:
        yield "--hub", lambda: save_pretrained(model, options.hub)


def _write(name: str, write: Callable[[], None]) -> None:
    try:
        write()
    except (ValueError, TypeError) as error:
        raise Failure(f"{name}: {error}", 2) from error
