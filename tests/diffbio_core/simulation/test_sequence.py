import numpy as np

from diffbio_core.simulation.sequence import decode_bases, encode_bases, reverse_complement


def test_codes_are_letters_of_either_case_and_the_rest_is_n():
    assert encode_bases("ACGTacgtNRx").tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 4, 4]


def test_decoding_undoes_encoding():
    assert decode_bases(encode_bases("GATTACAN")) == "GATTACAN"


def test_reverse_complement_keeps_n():
    assert decode_bases(reverse_complement(encode_bases("AACGTN"))) == "NACGTT"


def test_rows_of_a_matrix_are_decoded_one_after_another():
    assert decode_bases(np.array([[0, 1], [2, 3]], np.uint8)) == "ACGT"
