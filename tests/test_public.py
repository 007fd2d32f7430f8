"""What `import handbones` gives: quickly, lazily, and whatever was imported before."""

import pkgutil
import subprocess
import sys

import handbones

HEAVY = ("torch", "matplotlib", "pandas", "sklearn", "numba", "cv2", "onnxruntime", "lightning")


def test_import_loads_nothing_heavy() -> None:
    code = f"import handbones, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_public_name_is_also_a_module() -> None:
    """Importing the module would put it in the place of the name."""
    assert not {module.name for module in pkgutil.iter_modules(handbones.__path__)} & set(handbones.__all__)
