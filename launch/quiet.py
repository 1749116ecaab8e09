"""Import first in a launcher: mujoco announces at import that optional GPU packages are missing; nobody asked."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    import mujoco.mjx  # noqa: F401
