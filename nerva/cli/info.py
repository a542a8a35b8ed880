"""The command `nerva info`."""

from argparse import Namespace

from nerva.backends import calibration
from nerva.backends.config import package_version, show_config
from nerva.cli.build import printing


def info(options: Namespace) -> None:
    """Print the version alone, or versions, libraries, processor and the speed of the backends, measured if asked."""
    with printing():
        if options.version:
            print(f"nerva {package_version()}")
        else:
            show_config()
            for dtype in ("float32", "float64"):
                if options.calibrate:
                    calibration.calibrate(dtype)
                print(f"\n{calibration.describe(dtype)}")
