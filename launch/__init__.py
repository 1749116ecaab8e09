"""The absl entry points; they run from the checkout (python -m launch.run), and pip does not install them."""

import contextlib
import io
import warnings

with contextlib.redirect_stdout(io.StringIO()):  # it announces that optional GPU packages are missing: nobody asked
    import mujoco.mjx  # noqa: F401

warnings.filterwarnings('ignore', category=UserWarning, module=r'brax\.io')  # where else physics is maintained
