"""What is written to the store, as ticking tables of Deephaven in the same second.

from bridge import StoreBridge
bridge = StoreBridge(host, port, dbname, user="bridge_user", password="…")
bridge.register(Order)
bridge.start()
orders_raw, orders_live = bridge.table(Order), bridge.live(Order)
"""

from bridge.errors import (
    BridgeClosed,
    BridgeError,
    EngineNotRunning,
    NotRegistered,
    RecordingError,
    RegistrationError,
    RowError,
)
from bridge.playback import PlaybackState, PlaybackStatus, StorePlayback
from bridge.push import Push, push, push_group
from bridge.recording import Recording, record
from bridge.recording.status import RecordingState, RecordingStatus
from bridge.status import BridgeStatus, State, TableStatus
from bridge.store_bridge import StoreBridge
from bridge.type_mapping import extract_row, infer_dh_schema
from publishing.queue import WriterStats
from publishing.table_writer import TableWriter

__all__ = [
    "BridgeClosed",
    "BridgeError",
    "BridgeStatus",
    "EngineNotRunning",
    "NotRegistered",
    "PlaybackState",
    "PlaybackStatus",
    "Push",
    "Recording",
    "RecordingError",
    "RecordingState",
    "RecordingStatus",
    "RegistrationError",
    "RowError",
    "State",
    "StoreBridge",
    "StorePlayback",
    "TableStatus",
    "TableWriter",
    "WriterStats",
    "extract_row",
    "infer_dh_schema",
    "push",
    "push_group",
    "record",
]
