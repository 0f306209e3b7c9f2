"""The text of an alignment file's header, line by line (SAM specification 1.3), whatever it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_MD5 = re.compile("[0-9a-f]{32}")
_RECORD = re.compile(rb"@[A-Za-z][A-Za-z]")


@dataclass
class HeaderText:
    """What the lines of a header say.

    Attributes:
        contigs: Name and length (bp) of each ``@SQ`` line, None where it tells none.
        md5: MD5 by contig, in lower case.
        samples: Names of the samples of all read groups.
        sort_order: What ``@HD`` claims.
        oddities: Lines, or parts of them, that were passed over or read in their own way: their number, what is odd.
        faults: Lines with which no program that is built on htslib reads the file, likewise.
    """

    contigs: list[tuple[str, int | None]] = field(default_factory=list)
    md5: dict[str, str] = field(default_factory=dict)
    samples: set[str] = field(default_factory=set)
    sort_order: str = "unknown"
    oddities: list[tuple[int, str]] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: bytes) -> HeaderText:
        """Reads every line; none can fail."""
        header = cls()
        # As C reads it, a NUL ends the text; some tools pad with them.
        text, _, rest = text.partition(b"\0")
        lines = text.removesuffix(b"\n").split(b"\n") if text else []
        for number, line in enumerate(lines, start=1):
            header._read(number, line.rstrip(b"\r"))
        if rest.strip(b"\0"):
            header.oddities.append((max(1, len(lines)), "holds a NUL; what follows it was passed over"))
        return header

    def _read(self, number: int, line: bytes) -> None:
        if not line.startswith(b"@"):
            self.faults.append((number, f"does not begin with @: {_shown(line)}"))
            return
        if line.startswith(b"@CO"):
            return
        if not _RECORD.match(line):
            self.oddities.append((number, "is of no known kind and was passed over"))
            return
        kind, *parts = line.split(b"\t")
        fields: dict[str, str] = {}
        for part in parts:
            tag, colon, value = part.partition(b":")
            if colon and len(tag) == 2:
                # The specification wants ASCII or UTF-8; old tools wrote Latin-1.
                try:
                    fields[tag.decode("latin-1")] = value.decode()
                except UnicodeDecodeError:
                    fields[tag.decode("latin-1")] = value.decode("latin-1")
                    if (kind, tag) in ((b"@RG", b"SM"), (b"@SQ", b"SN")):
                        self.oddities.append((number, f"is not UTF-8; {tag.decode()} was read as Latin-1"))
            else:
                self.oddities.append((number, f"has a field without a tag, {_shown(part)}, which was passed over"))
        self._take(number, kind, fields)

    def _take(self, number: int, kind: bytes, fields: dict[str, str]) -> None:
        if kind == b"@HD":
            self.sort_order = fields.get("SO", self.sort_order)
        elif kind == b"@RG" and fields.get("SM", "").strip():
            self.samples.add(fields["SM"])
        elif kind == b"@SQ":
            name, length = fields.get("SN"), fields.get("LN", "")
            if not name:
                self.oddities.append((number, "names no contig (no SN) and was passed over"))
                return
            is_number = length.isascii() and length.isdigit() and len(length) < 12
            if not is_number:
                self.oddities.append((number, f"tells no length (LN) of {name!r}"))
            self.contigs.append((name, int(length) if is_number else None))
            md5 = fields.get("M5", "").lower()
            if _MD5.fullmatch(md5):
                self.md5[name] = md5
            elif md5 not in ("", "*"):
                self.oddities.append((number, f"has an M5 of {name!r} that is no MD5 and was passed over"))


def _shown(part: bytes) -> str:
    text = ascii(part.decode("latin-1"))
    return text if len(text) <= 40 else f"{text[:36]}...'"
