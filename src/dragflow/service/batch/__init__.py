"""Many edits from a manifest: each done once, resumable after any end, with failures recorded."""

from dragflow.service.batch.manifest import Item, Listing, read_manifest
from dragflow.service.batch.page import write_page
from dragflow.service.batch.records import BatchRecord, read_records
from dragflow.service.batch.run import Batch, opened
from dragflow.service.batch.watch import Watched
from dragflow.service.batch.work import Settings

__all__ = [
    "Batch",
    "BatchRecord",
    "Item",
    "Listing",
    "Settings",
    "Watched",
    "opened",
    "read_manifest",
    "read_records",
    "write_page",
]
