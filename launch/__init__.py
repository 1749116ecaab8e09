"""The absl entry points; they run from the checkout (python -m launch.run), and pip does not install them."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):  # it announces that optional GPU packages are missing: nobody asked
    import mujoco.mjx  # noqa: F401
