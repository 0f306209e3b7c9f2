"""The science of diffbio: differentiable operators, pipelines, windows, calling and training.

Arrays in, arrays out: nothing here opens a file, starts a process or reads a clock.
"""

__version__ = "0.1.0"
