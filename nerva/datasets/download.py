"""Locate the files of a data set, and download them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def data_home(dir: str | os.PathLike[str] | None, title: str) -> Path:
    """Return the folder or file to look in: `dir`, else the one that NERVA_DATA names, else the user's cache.

    Raises FileNotFoundError, which names the data set by `title`, if it does not exist; the cache need not.
    """
    origin = "dir"
    if dir is None and os.environ.get("NERVA_DATA"):
        dir, origin = os.environ["NERVA_DATA"], "NERVA_DATA"
    if dir is None:
        import pooch

        return Path(pooch.os_cache("nerva"))
    path = Path(dir).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{path} ({origin}) does not exist: name a folder or archive that holds {title}, "
            f"or create the folder (mkdir -p {path}) to have {title} downloaded into it"
        )
    return path


def download(url: str, checksum: str, folder: Path, title: str) -> Path:
    """Download a file into a folder, where it appears once it is complete and verified, and return its path.

    Parameters
    ----------
    url : of the file; its last part becomes the name
    checksum : "sha256:..." or "md5:..."; an existing file that has it is not downloaded again
    folder : created if it does not exist
    title : the name of the data set, for the progress bar

    Raises
    ------
    ConnectionError : the server cannot be reached, or refuses
    ValueError : the checksum is wrong
    OSError : the file cannot be stored
    """
    import pooch
    import requests

    file = url.rsplit("/", 1)[-1]
    by_hand = f"download it by hand into {folder}, or name a folder that holds it"
    try:
        with _progress(title) as bar:
            get = pooch.HTTPDownloader(progressbar=bar, timeout=30)
            return Path(pooch.retrieve(url, checksum, fname=file, path=folder, downloader=get))
    except requests.RequestException as error:
        raise ConnectionError(f"cannot download {url} ({error}); {by_hand}") from error
    except ValueError as error:
        raise ValueError(f"{url} is not the official file, so it was not kept ({error}); {by_hand}") from error
    except OSError as error:
        raise OSError(f"cannot store {file} in {folder}: {error}") from error


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Any]:
    """Show a progress bar on a terminal, with the methods that pooch calls of tqdm's."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        class Bar:
            total: int | None = None

            def update(self, count: int) -> None:
                progress.update(task, advance=count, total=self.total or None)

            def reset(self) -> None:
                progress.reset(task)

            def close(self) -> None:
                pass

        yield Bar()
