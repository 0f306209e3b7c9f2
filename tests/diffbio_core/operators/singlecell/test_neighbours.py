import numpy as np

from diffbio_core.operators.singlecell.neighbours import nearest_cells
from tests.diffbio_core.cell_samples import shifted_batches


def test_neighbours_are_the_nearest_others_nearest_first():
    # More cells than a block, far from the origin, where products alone would lose their distances.
    points = shifted_batches(cells=600)[0] + 1000
    distances = np.sqrt(((points[:, None].astype(float) - points[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)

    neighbours, found = nearest_cells(points, 7)

    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :7], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(distances, np.asarray(neighbours), axis=1), found, atol=1e-3)
