"""Networks and their training. The only place that imports torch, but for the torch backend of inference."""

import os

# Threads of one operation that wait for each other by spinning take the core from the one that they wait for as soon
# as anything else runs, and workers always do: steps became five times slower. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
