"""What is known of a file's cells, without its matrix, read once however often it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.expression import open_expression


class H5MetadataCache:
    """Labels of a file's cells.

    Args:
        h5_path: The .h5ad file.
        pert_col: Column of obs that holds perturbations.
        cell_type_key: Column of cell types.
        control_pert: Label of controls.
        batch_col: Column of batches.

    Attributes:
        h5_path: The file.
        pert_categories: Perturbations, sorted.
        pert_codes: Place of every cell's perturbation among them.
        cell_type_categories: Cell types, sorted.
        cell_type_codes: Place of every cell's type among them.
        batch_categories: Batches, sorted.
        batch_codes: Place of every cell's batch among them.
        control_pert_code: Place of the controls' label.
        control_mask: Which cells are controls.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: A column or the control label is absent, or cells lack labels.
    """

    def __init__(
        self,
        h5_path: str | os.PathLike[str],
        pert_col: str = "perturbation",
        cell_type_key: str = "cell_type",
        control_pert: str = "non-targeting",
        batch_col: str = "batch",
    ):
        self.h5_path = str(h5_path)
        table = open_expression(h5_path, backed=True)
        labels = [table.labels_of(column) for column in (pert_col, cell_type_key, batch_col)]
        self._perturbations, self._cell_types, self._batches = labels
        code = self._perturbations.code(control_pert)
        if code is None:
            known = ", ".join(map(str, self.pert_categories[:8]))
            what = f"{pert_col} holds no control {control_pert!r}, but {known}"
            raise InputError([Problem(self.h5_path, what, "Name the label that controls have.")])
        self.control_pert_code = code
        self.control_mask: Bool[np.ndarray, "cells"] = self.pert_codes == code

    @property
    def pert_categories(self) -> np.ndarray:
        """Perturbations, sorted."""
        return self._perturbations.categories

    @property
    def pert_codes(self) -> Int[np.ndarray, "cells"]:
        """Place of every cell's perturbation among them."""
        return self._perturbations.codes

    @property
    def cell_type_categories(self) -> np.ndarray:
        """Cell types, sorted."""
        return self._cell_types.categories

    @property
    def cell_type_codes(self) -> Int[np.ndarray, "cells"]:
        """Place of every cell's type among them."""
        return self._cell_types.codes

    @property
    def batch_categories(self) -> np.ndarray:
        """Batches, sorted."""
        return self._batches.categories

    @property
    def batch_codes(self) -> Int[np.ndarray, "cells"]:
        """Place of every cell's batch among them."""
        return self._batches.codes

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.pert_codes)

    def get_pert_names(self, codes: Int[np.ndarray, "n"]) -> np.ndarray:
        """Perturbations by code."""
        return self.pert_categories[codes]

    def get_cell_type_names(self, codes: Int[np.ndarray, "n"]) -> np.ndarray:
        """Cell types by code."""
        return self.cell_type_categories[codes]

    def get_batch_names(self, codes: Int[np.ndarray, "n"]) -> np.ndarray:
        """Batches by code."""
        return self.batch_categories[codes]


class GlobalH5MetadataCache:
    """The one store of `H5MetadataCache` in a process; threads may share it.

    A file is read again where other columns are asked for, or where it was written since: neither may get the labels of
    the other.
    """

    _instance: ClassVar[GlobalH5MetadataCache | None] = None
    _lock: ClassVar[Lock] = Lock()
    _caches: dict[tuple, H5MetadataCache]

    def __new__(cls) -> GlobalH5MetadataCache:
        """The one there is."""
        with cls._lock:
            if cls._instance is None:
                cls._instance = super().__new__(cls)
                cls._instance._caches = {}
            return cls._instance

    def get_cache(
        self,
        h5_path: str | os.PathLike[str],
        pert_col: str = "perturbation",
        cell_type_key: str = "cell_type",
        control_pert: str = "non-targeting",
        batch_col: str = "batch",
    ) -> H5MetadataCache:
        """Labels of a file's cells, from memory where they are there; arguments as those of `H5MetadataCache`."""
        columns = (pert_col, cell_type_key, control_pert, batch_col)
        path = Path(h5_path)
        state = path.stat() if path.is_file() else None
        key = (str(path.resolve()), *columns, state and (state.st_mtime_ns, state.st_size, state.st_ino))
        with self._lock:
            if key not in self._caches:
                self._caches[key] = H5MetadataCache(h5_path, *columns)
            return self._caches[key]
