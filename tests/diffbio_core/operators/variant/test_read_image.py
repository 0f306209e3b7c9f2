import jax.numpy as jnp
import numpy as np

from diffbio_core.operators.variant.read_image import assign_lanes, read_image
from diffbio_core.typing import PADDED_POSITION

A, C, G, T = np.eye(4)


def image_of(reads, positions, height=2, length=5, **more):
    reads = jnp.asarray(np.stack(reads))
    quality = jnp.full(reads.shape[:2], 20.0)
    return np.asarray(read_image(reads, jnp.asarray(positions), quality, height, length, **more))


def test_a_read_lies_in_its_lane_at_its_columns():
    image = image_of([[A, C], [G, T]], [1, 3], strand=jnp.array([0, 1]))

    assert image[0].tolist() == [[0] * 6, [*A, 0.5, 1], [*C, 0.5, 1], [0] * 6, [0] * 6]
    assert image[1].tolist() == [[0] * 6, [0] * 6, [0] * 6, [*G, 0.5, -1], [*T, 0.5, -1]]


def test_reads_of_unknown_strand_have_none():
    assert (image_of([[A, C]], [0])[..., 5] == 0).all()


def test_lanes_go_round_in_the_order_of_starts():
    assert assign_lanes(jnp.array([9, 0, 5, 2]), 2).tolist() == [1, 0, 0, 1]


def test_padding_moves_no_read_to_another_lane():
    assert assign_lanes(jnp.array([PADDED_POSITION, 9, 0, 5]), 3)[1:].tolist() == [2, 0, 1]


def test_reads_that_share_a_cell_are_averaged():
    image = image_of([[A, A], [C, C]], [0, 1], height=1)

    assert image[0, :, :4].tolist() == [A.tolist(), [0.5, 0.5, 0, 0], C.tolist(), [0] * 4, [0] * 4]


def test_bases_outside_the_reference_and_masked_ones_are_left_out():
    image = image_of([[A, C], [G, T]], [-1, 4], read_mask=jnp.array([[1, 1], [0, 1]]))

    assert image[:, :, :4].sum() == 1
    assert image[0, 0, :4].tolist() == C.tolist()
