"""Runs as Prefect flows."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.prefect_flows.call import call_flow
    from diffbio_flows.prefect_flows.terminal import call_in_prefect

__all__ = ["call_flow", "call_in_prefect"]

__getattr__ = lazy_names(
    __name__,
    {"call": ("call_flow",), "terminal": ("call_in_prefect",)},
)
