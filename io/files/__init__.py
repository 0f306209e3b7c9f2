"""Files and folders that several processes share, that may be left by a killed one, or that must appear whole."""

from diffbio_core.whole_file import naming, put_in_place, whole_file, write_whole

__all__ = ["naming", "put_in_place", "whole_file", "write_whole"]
