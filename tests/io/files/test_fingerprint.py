"""What tells a file's content."""

import hashlib

from diffbio_io.files.fingerprint import WHOLE, fingerprint


def test_of_a_small_file_it_is_what_sha256sum_prints(tmp_path):
    path = tmp_path / "reads.bam"
    path.write_bytes(b"reads")
    assert fingerprint(path) == "3566cf23ecb6f832d67d1439e0cb3d05eb7f4ad702c6f478aa96f19812f18e8c"


def test_of_a_large_file_it_is_that_of_64_pieces_from_its_first_byte_to_its_last(tmp_path):
    content = b"".join(number.to_bytes(4) for number in range(WHOLE // 2))
    path = tmp_path / "reads.bam"
    path.write_bytes(content)
    starts = [number * (len(content) - 65_536) // 63 for number in range(64)]
    assert starts[-1] + 65_536 == len(content)
    pieces = b"".join(content[start : start + 65_536] for start in starts)
    assert fingerprint(path) == hashlib.sha256(pieces).hexdigest()


def test_up_to_4_mib_every_byte_counts(tmp_path):
    path = tmp_path / "reads.bam"
    content = bytearray(WHOLE)
    path.write_bytes(content)
    before = fingerprint(path)
    content[WHOLE // 3] = 1
    path.write_bytes(content)
    assert fingerprint(path) != before
